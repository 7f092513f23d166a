"""A call cancelled while its grant is used up, or whose end cannot be written, is told as it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from omni_tui.memory import JournalBroken, call_table
from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.rig import rig
from tests.engine.test_gate import execute, granted, written
from tests.scripted_model import ScriptedModel, reply


async def test_cancelled_while_the_grant_is_used_up_the_call_ends_as_cancelled(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        journal = running.session.journal
        commit, on_disk, go = journal.commit, asyncio.Event(), asyncio.Event()

        async def slowly(*events, change=None):  # type: ignore[no-untyped-def]
            answer = await commit(*events, change=change)
            if any(isinstance(each, e.CallChanged) and each.state == "dispatching" for each in events):
                on_disk.set()
                await go.wait()
            return answer

        grant = await granted(running)
        journal.commit = slowly  # type: ignore[method-assign]
        task = asyncio.create_task(execute(running, grant))
        await on_disk.wait()
        task.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        row = await journal.run(lambda tx: call_table.load(tx, "c-test"))
        assert row is not None
        assert row.state == "cancelled"
        assert written(tmp_path) == []
        assert running.session.gate.row("c-test") is None
        ended = await running.until(e.CallChanged, lambda event: event.state == "cancelled")
        assert "before anything was sent" in ended.reason


async def test_a_sent_call_whose_end_cannot_be_written_is_not_told_as_unsent(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ToolCall("p1", "demo__write_note", '{"name":"a","text":"x"}'))])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        session = running.session
        commit, outcomes = session.journal.commit, []
        by_agent = session.calls.by_agent

        async def broken(*events, change=None):  # type: ignore[no-untyped-def]
            if any(isinstance(each, e.CallFinished) for each in events):
                raise JournalBroken("no space left")
            return await commit(*events, change=change)

        async def listened(*args, **more):  # type: ignore[no-untyped-def]
            outcomes.append(await by_agent(*args, **more))
            return outcomes[-1]

        session.journal.commit = broken  # type: ignore[method-assign]
        session.calls.by_agent = listened  # type: ignore[method-assign]
        await running.ask(c.SendMessage(text="write it"))
        await running.until(e.TurnEnded)
        (outcome,) = outcomes
        assert written(tmp_path) != []
        assert outcome.status == "uncertain"
        assert "Nothing was sent" not in outcome.text
        assert "no space left" in outcome.text
