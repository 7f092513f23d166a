"""A server that sends without an end costs the engine a bounded amount of memory."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from omni_tui.links import spawn_engine
from omni_tui.protocol import JsonText, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.chaos.test_engine_kill import Face
from tests.lengths import times
from tests.wire.redis_machine import until

FLOODING = Path(__file__).with_name("flooding_server.py")
MB = 1 << 20
SENT = times(100, 1_000) * MB
"""Bytes that a flood sends, if it gets rid of them: more than an engine may grow by."""
CALLS = times(8, 40)
GROWS = 80 * MB
"""What an engine may grow by: a message may have 16 MiB, and stands a few times while it is read."""
GROWS_BY_RESULTS = 150 * MB
"""The same where results of 15 MiB are taken, shown and saved: 106 MB in a run of forty."""
HOWS = ("notes", "errors", "line", "pages", "results")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
]


def memory(pid: int, name: str) -> int:
    """Return one of a process's figures, in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


async def calls(face: Face) -> None:
    """Make calls, one after the other."""
    for number in range(CALLS):
        call = c.CallTool(
            request=10 + number, server="flood", tool="tool_0_0", arguments_json=JsonText("{}")
        )
        face.link.send(call)
        before = sum(isinstance(event, e.CallFinished) for event in face.seen)
        await until(
            lambda: sum(isinstance(event, e.CallFinished) for event in face.seen) > before,  # noqa: B023
            200,
        )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", HOWS)
async def test_a_flood_costs_a_bounded_amount_of_memory(tmp_path: Path, how: str) -> None:
    config, sent = tmp_path / "config.toml", tmp_path / "sent"
    arguments = json.dumps(["-I", "-S", str(FLOODING), how, str(sent), str(SENT // MB)])
    config.write_text(f"[servers.flood]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n")
    launch = LaunchOptions(config=str(config), state_dir=str(tmp_path / "state"), connect="none")
    face = Face(await spawn_engine(launch).link())
    try:
        face.link.send(c.Hello(client="test", request=1))
        await face.until(e.ReplayDone)
        before = memory(face.link.pid, "VmRSS")
        face.link.send(c.ReconnectServer(request=2, server="flood"))
        if how in ("notes", "errors"):
            await until(lambda: sent.exists() and int(sent.read_text() or 0) >= SENT, 200)
        elif how == "results":
            await face.until(e.ToolsListed, lambda event: event.server == "flood" and bool(event.tools))
            await calls(face)
        else:
            over = "idle" if how == "pages" else "failed"
            await face.until(e.ServerChanged, lambda event: event.name == "flood" and event.state == over)
        grown = memory(face.link.pid, "VmHWM") - before
        assert grown < (GROWS_BY_RESULTS if how == "results" else GROWS), f"{grown / MB:.0f} MB"
    finally:
        await face.link.close()
