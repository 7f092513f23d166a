"""A message that is sent before the servers have told their tools: the turn waits, but not for ever."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from omni_tui.engine import startup_wait
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.faults.harness import SERVER
from tests.engine.rig import rig
from tests.scripted_model import ScriptedModel, reply


def silent(name: str = "silent") -> str:
    arguments = json.dumps(["-I", "-S", SERVER, "mute"])
    return f"[servers.{name}]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n"


async def test_a_message_sent_at_once_finds_the_tools(tmp_path: Path) -> None:
    model = ScriptedModel([reply("done")])
    async with rig(tmp_path, model=model) as running:
        assert not running.of(e.ToolsListed)
        await running.ask(c.SendMessage(text="go"))
        ended = await running.until(e.TurnEnded)
        assert ended.status == "done"
        assert "demo__add" in [tool.name for tool in model.requests[0].tools]


async def test_a_server_that_never_answers_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup_wait, "PATIENCE_S", 0.2)
    model = ScriptedModel([reply("done")])
    async with rig(tmp_path, model=model, demo=False, config=silent()) as running:
        await running.ask(c.SendMessage(text="go"))
        assert (await running.until(e.TurnEnded)).status == "done"


async def test_esc_ends_the_wait_and_the_turn(tmp_path: Path) -> None:
    model = ScriptedModel([reply("one")], [reply("two")])
    async with rig(tmp_path, model=model, demo=False, config=silent()) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.until(e.TurnStarted)
        await running.ask(c.StopRun())
        ended = await running.until(e.TurnEnded)
        assert (ended.status, ended.reason) == ("stopped", "stopped by you")
        assert model.requests == []
        assert not running.session.runner.unfinished


async def test_the_wait_is_told_and_so_is_what_was_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup_wait, "PATIENCE_S", 0.2)
    model = ScriptedModel([reply("done")], [reply("done again")])
    async with rig(tmp_path, model=model, config=silent()) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        ended = await running.until(e.TurnEnded)
        waits = [event.servers for event in running.of(e.AwaitingTools)]
        assert (waits[-2:], ended.missing) == ([("silent",), ()], ("silent",))
        # It was waited for once; the next message goes out at once and says what it had to do without.
        told = len(running.of(e.AwaitingTools))
        await running.ask(c.SendMessage(text="again"))
        again = await running.until(e.TurnEnded, lambda event: event.turn != ended.turn)
        assert again.missing == ("silent",)
        assert len(running.of(e.AwaitingTools)) == told


async def test_a_message_long_after_the_start_waits_for_a_server_that_is_connecting(tmp_path: Path) -> None:
    """What counts is what is connecting when the message is sent, not how long the engine runs."""
    model = ScriptedModel([reply("one")], [reply("two")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        first = await running.until(e.TurnEnded)
        assert first.missing == ()
        await running.ask(c.DisconnectServer(server="demo"))
        seen = len(running.seen)
        await running.ask(c.ReconnectServer(server="demo"))
        await running.ask(c.SendMessage(text="again"))
        ended = await running.until(e.TurnEnded, after=seen)
        assert ended.missing == ()
        assert "demo__add" in [tool.name for tool in model.requests[1].tools]
        assert [event.servers for event in running.of(e.AwaitingTools)][-2:] == [("demo",), ()]


async def test_the_person_may_send_at_once(tmp_path: Path) -> None:
    model = ScriptedModel([reply("done")])
    async with rig(tmp_path, model=model, demo=False, config=silent()) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.until(e.AwaitingTools)
        await running.ask(c.SendNow())
        ended = await running.until(e.TurnEnded)
        assert (ended.status, ended.missing) == ("done", ("silent",))
