"""An engine killed with SIGKILL leaves no server behind, whatever the server does about it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from omni_tui.servers import reaper, sweep_leases
from tests.chaos.fleet import GONE_WITHIN_S
from tests.engine.faults.harness import connected, fault

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
ROOT = Path(__file__).resolve().parent.parent.parent
MODES = ("good", "stubborn", "grandchild", "deaf", "flood")


async def engine(folder: Path) -> None:
    """Be an engine: run servers of all kinds, say when they run, and wait to be killed."""
    specs = [fault(mode, str(folder / "grandchild"), connect_timeout=300) for mode in MODES]
    async with connected(folder, *specs) as servers:
        for mode in MODES:
            if mode != "deaf":
                await servers.reach(mode, "idle")
        await servers.until(lambda: len(servers.processes.groups) == len(MODES))
        sys.stdout.write(f"{servers.processes.reaper_pid} {' '.join(map(str, servers.processes.groups))}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], int, list[int]]:
    """Start an engine; return it, its reaper and all processes of its servers."""
    program = "import asyncio, pathlib, sys; from tests.chaos.test_reaper import engine;"
    program += "asyncio.run(engine(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    words = process.stdout.readline().split()
    process.stdout.close()
    own = [int(word) for word in words[1:]] + [
        int(word) for word in (folder / "grandchild").read_text().split()
    ]
    return process, int(words[0]), own


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if reaper.start_time(pid)]


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_nothing_lives_five_seconds_after_the_engine_was_killed(tmp_path: Path) -> None:
    process, reaper_pid, own = _start(tmp_path)
    assert len(_alive(own)) == len(own) > len(MODES)
    process.kill()
    process.wait()
    assert _within(GONE_WITHIN_S, lambda: not _alive(own)), f"still there: {_alive(own)}"
    assert _within(GONE_WITHIN_S, lambda: not _alive([reaper_pid])), "the reaper must not outlive its work"


def test_polite_signals_do_not_stop_the_reaper(tmp_path: Path) -> None:
    process, reaper_pid, own = _start(tmp_path)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(reaper_pid, number)
    process.kill()
    process.wait()
    assert _within(GONE_WITHIN_S, lambda: not _alive(own)), f"still there: {_alive(own)}"


def test_next_engine_ends_what_is_left_if_the_reaper_was_killed_too(tmp_path: Path) -> None:
    process, reaper_pid, own = _start(tmp_path)
    os.kill(reaper_pid, signal.SIGKILL)
    process.kill()
    process.wait()
    assert _alive(own), "the stubborn ones are still there"
    assert sweep_leases(tmp_path) == 1
    assert not _alive(own)
    assert sweep_leases(tmp_path) == 0
