"""A turn that is stopped while it is only just beginning, or is all but over, still ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.conversation import RunReport
from tests.engine.rig import rig
from tests.scripted_model import ScriptedModel, reply

CALL = ToolCall("a", "demo__add", '{"a": 1, "b": 2}')


@pytest.mark.parametrize(
    ("at", "status"), [(e.TurnStarted, "stopped"), (RunReport, "done"), (e.TurnEnded, "done")]
)
@pytest.mark.parametrize("late", [False, True])
async def test_a_turn_that_is_stopped_at_its_edge_has_one_end(
    tmp_path: Path, at: type[AnyEvent], status: str, late: bool
) -> None:
    model = ScriptedModel([reply("", CALL)], [reply("done")], [reply("again")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        runner, journal = running.session.runner, running.session.journal
        commit = journal.commit
        stops: list[asyncio.Future[bool]] = []

        async def stopping(*events: AnyEvent, **more: Any) -> object:
            meant = any(isinstance(event, at) for event in events) and not stops
            writing = asyncio.ensure_future(commit(*events, **more))
            if meant:
                stops.append(asyncio.ensure_future(runner.stop()))
                if late:  # it is on disk, and nobody knows yet
                    await asyncio.wait([writing])
            return await writing

        journal.commit = stopping  # type: ignore[method-assign, assignment]
        done = await running.ask(c.SendMessage(text="go"))
        assert isinstance(done, e.CommandDone)
        ended = await running.until(e.TurnEnded)
        assert (ended.turn, ended.status) == (done.id, status)
        assert await stops[0]
        history = [message.role for message in runner.history()]
        assert history[0] == "user", "what was sent is in the history"
        again = await running.ask(c.SendMessage(text="go on"))
        assert isinstance(again, e.CommandDone)
        await running.until(e.TurnEnded, lambda event: event.turn == again.id)
        assert [event.turn for event in running.of(e.TurnEnded)] == [done.id, again.id]
        assert runner.unfinished == ""
