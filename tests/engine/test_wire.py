"""The wire log of a real server, through the engine's commands."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from omni_tui.protocol import MAX_FRAME, encode
from omni_tui.protocol import events as e
from omni_tui.protocol import wire_log as m
from omni_tui.protocol.commands import CallTool, ReconnectServer, RefreshServer
from omni_tui.protocol.text import JsonText
from omni_tui.protocol.wire_log import WireFrame, WireRead, WireText
from tests.engine.faults.harness import SERVER
from tests.engine.rig import Rig, rig
from tests.engine.test_manage import edit, idle, tiny

CANARY = "canary-of-the-wire-0123"
TINY = f"""
[servers.tiny]
command = {sys.executable!r}
args = ["-I", "-S", {SERVER!r}, "good"]
env = {{A_TOKEN = "${{WIRE_CANARY}}"}}
"""


async def frames(running: Rig, after: int = 0) -> list[WireFrame]:
    found: list[WireFrame] = []
    while True:
        reply = await running.ask(m.ReadWire(server="tiny", after=found[-1].number if found else after))
        assert isinstance(reply, WireRead), reply
        assert len(encode(reply)) < MAX_FRAME
        found += reply.frames
        if not reply.more:
            return found


async def initialized(running: Rig) -> None:
    """Wait for the first frame of a connection: the one before it may have been idle once more."""
    async with asyncio.timeout(60):
        while not any(frame.method == "initialize" for frame in await frames(running)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def call(running: Rig, tool: str, arguments: object) -> e.CallFinished:
    done = await running.ask(
        CallTool(server="tiny", tool=tool, arguments_json=JsonText(json.dumps(arguments)))
    )
    assert isinstance(done, e.CommandDone), done
    return await running.until(e.CallFinished, lambda event: event.call == done.id)


async def test_off_by_default_on_by_command_and_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIRE_CANARY", CANARY)
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.connected("tiny")
        assert await frames(running) == []
        await running.ask(m.SetWireLog(server="tiny", on=True))
        await running.until(e.ServerChanged, lambda event: event.wire)
        await call(running, "echo", {"text": f"say {CANARY}", "bad": "\x1b[2Jx"})
        seen = await frames(running)
        asked, answered = (frame for frame in seen if frame.method == "tools/call")
        assert (asked.sent, asked.kind, answered.sent, answered.kind) == (True, "request", False, "answer")
        assert asked.id == answered.id
        assert answered.exact
        assert answered.after_ms is not None
        whole = await running.ask(m.ReadWireFrame(server="tiny", number=asked.number))
        assert isinstance(whole, WireText)
        assert '"text": "say [redacted]"' in whole.text
        assert "\x1b" not in whole.text
        for event in running.seen:
            if isinstance(event, WireRead | WireText):
                assert CANARY.encode() not in encode(event)
        await running.ask(m.SetWireLog(server="tiny", on=False))
        assert await frames(running) == []
        gone = await running.ask(m.ReadWireFrame(server="tiny", number=asked.number))
        assert isinstance(gone, e.CommandFailed)


async def test_it_goes_on_through_reconnecting_and_editing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIRE_CANARY", CANARY)
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.connected("tiny")
        await running.ask(m.SetWireLog(server="tiny", on=True))
        seen = len(running.seen)
        await running.ask(ReconnectServer(server="tiny"))
        await idle(running, "tiny", seen)
        await initialized(running)
        seen = len(running.seen)
        await edit(running, "tiny", tiny())
        await idle(running, "tiny", seen)
        await initialized(running)


async def test_a_large_answer_arrives_whole_and_is_noted_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIRE_CANARY", CANARY)
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.connected("tiny")
        await running.ask(m.SetWireLog(server="tiny", on=True))
        done = await call(running, "big", {"size": 14_000_000})
        assert done.size > 14_000_000
        big = max(await frames(running), key=lambda frame: frame.size)
        assert big.cut
        assert big.exact
        assert big.size > 14_000_000
        whole = await running.ask(m.ReadWireFrame(server="tiny", number=big.number))
        assert isinstance(whole, WireText)
        assert whole.cut
        assert len(encode(whole)) < MAX_FRAME


async def test_saved_to_a_file_of_this_person_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIRE_CANARY", CANARY)
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.connected("tiny")
        assert isinstance(await running.ask(m.SaveWire(server="tiny")), e.CommandFailed)
        await running.ask(m.SetWireLog(server="tiny", on=True))
        await call(running, "echo", {"text": CANARY})
        both = await asyncio.gather(*(running.ask(m.SaveWire(server="tiny")) for _ in range(2)))
        paths = [Path(each.path) for each in both if isinstance(each, e.FileSaved)]
        assert len(set(paths)) == 2
        for path in paths:
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            assert "tools/call" in {line["method"] for line in lines}
            assert CANARY not in path.read_text()


async def test_many_frames_are_read_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIRE_CANARY", CANARY)
    async with rig(tmp_path, demo=False, config=TINY) as running:
        await running.connected("tiny")
        await running.ask(m.SetWireLog(server="tiny", on=True))
        for _ in range(130):
            await running.ask(RefreshServer(server="tiny"))
        found = await frames(running)
        assert len(found) >= 260
        assert [frame.number for frame in found] == list(
            range(found[0].number, found[0].number + len(found))
        )
