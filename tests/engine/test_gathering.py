"""A message that is sent before the servers have told their tools: the turn waits, but not for ever."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from omni_tui.engine import gathering
from omni_tui.models.scripted import ScriptedModel, reply
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.faults.harness import SERVER
from tests.engine.rig import rig


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
    monkeypatch.setattr(gathering, "PATIENCE_S", 0.2)
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
        assert not running.engine.session.runner.unfinished
