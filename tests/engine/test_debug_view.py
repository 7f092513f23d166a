"""The debug view of a real engine: what passes between client, engine, model and server."""

from __future__ import annotations

from pathlib import Path

from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.debug import DebugRead, ReadDebug
from tests.engine.rig import Rig, rig
from tests.engine.test_execution import ECHO, go
from tests.scripted_model import ScriptedModel, reply


async def read(running: Rig, after: int = 0) -> DebugRead:
    answer = await running.ask(ReadDebug(after=after))
    assert isinstance(answer, DebugRead)
    return answer


async def test_a_turn_is_seen_from_the_command_to_the_server(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ECHO)], [reply("a")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        first = await read(running)
        assert first.entries == ()
        assert {queue.name for queue in first.queues} == {
            "events to this client", "journal", "waiting for you", "threads", "export", "log",
        }  # fmt: skip
        await go(running)
        told = await read(running)
        seen = [(entry.kind, entry.what, entry.where) for entry in told.entries]
        for wanted in (
            ("command", "send_message", ""),
            ("event", "turn_started", ""),
            ("model", "answer", "scripted"),
            ("server", "tools/call", "demo"),
            ("server", "answer tools/call", "demo"),
            ("event", "turn_ended", ""),
        ):
            assert wanted in seen, wanted
        call = next(entry for entry in told.entries if entry.what == "answer tools/call")
        assert call.ms is not None
        assert call.size > 0
        again = await read(running, told.entries[-1].number)
        assert [entry.what for entry in again.entries] == []
        running.link.send(c.SetMode(mode="chat"))
        await running.until(e.ModeChanged)
        more = await read(running, told.entries[-1].number)
        assert "mode_changed" in [entry.what for entry in more.entries]


async def test_nothing_is_recorded_before_somebody_looks(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("a")])) as running:
        await running.connected()
        await go(running)
        assert (await read(running)).entries == ()
        for name in running.engine.context.registry.names():
            assert running.engine.context.registry.get(name).wire.meter.on
