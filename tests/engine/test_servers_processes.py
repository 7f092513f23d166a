"""No server outlives its engine: groups, leases, and ending everything from a plain thread."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni_tui.servers import Processes, reaper, sweep_leases
from omni_tui.servers.processes import _boot
from tests.engine.faults.harness import connected, fault

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
)
LINUX = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
pytestmark = LINUX


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Collects processes and reaps them in the end."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _stubborn(started: list[subprocess.Popen[bytes]], engine: str = "") -> subprocess.Popen[bytes]:
    env = {reaper.MARKER: engine} if engine else {}
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True, env=env
    )
    started.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _lease(folder: Path, engine: str, *, pid: int, begun: int, boot: str = "", groups: str = "") -> Path:
    lease = folder / "leases" / f"{engine}.lease"
    lease.parent.mkdir(parents=True, exist_ok=True)
    lease.write_text(f"engine {pid} {begun} {boot or _boot()}\n{groups}")
    return lease


def _alive(pid: int) -> bool:
    return reaper.start_time(pid) != 0


async def test_kill_all_from_a_thread_while_the_loop_hangs(tmp_path: Path) -> None:
    async with connected(tmp_path, fault("stubborn"), fault()) as servers:
        await servers.reach("stubborn", "idle")
        await servers.reach("good", "idle")
        groups = servers.processes.groups
        outcome: list[bool] = []
        began = time.monotonic()
        thread = threading.Thread(target=lambda: outcome.append(servers.processes.kill_all(5)))
        thread.start()
        thread.join(60)  # on the loop: it hangs for as long as the thread works
        assert time.monotonic() - began < 30
        assert outcome == [True]
        assert not any(_alive(group) for group in groups)


async def test_process_that_left_its_group_ends_with_the_servers(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    async with connected(tmp_path, fault("grandchild", str(note))) as servers:
        await servers.reach("grandchild", "idle")
        server, grandchild = map(int, note.read_text().split())
        assert os.getsid(grandchild) == grandchild
        await asyncio.wait_for(servers.registry.stop(), 30)
        assert not _alive(server)
        assert not _alive(grandchild)


async def test_reaper_that_was_killed_is_replaced(tmp_path: Path) -> None:
    async with connected(tmp_path, fault(), fault(name="second", enabled=False)) as servers:
        await servers.reach("good", "idle")
        first = servers.processes.reaper_pid
        assert first is not None
        os.kill(first, 9)
        await asyncio.to_thread(os.waitid, os.P_PID, first, os.WEXITED | os.WNOWAIT)
        await servers.registry.get("second").reconnect()
        await servers.reach("second", "idle")
        assert servers.processes.reaper_pid not in (None, first)


def test_lease_is_written_before_the_first_server_and_dropped_at_the_end(tmp_path: Path) -> None:
    processes = Processes(tmp_path, "e1")
    lease = tmp_path / "leases" / "e1.lease"
    assert not lease.exists()
    processes.prepare()
    assert lease.read_text().startswith(f"engine {os.getpid()} {reaper.start_time(os.getpid())} ")
    assert lease.stat().st_mode & 0o777 == 0o600
    assert sweep_leases(tmp_path) == 0, "this engine lives"
    processes.close()
    assert not lease.exists()


def test_sweep_ends_what_a_dead_engine_left(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    group = _stubborn(sleepers)
    marked = _stubborn(sleepers, "dead")
    lease = _lease(
        tmp_path, "dead", pid=os.getpid(), begun=1, groups=f"+ {group.pid} {reaper.start_time(group.pid)}\n"
    )
    assert sweep_leases(tmp_path) == 1
    assert group.wait(5) == marked.wait(5) == -9
    assert not lease.exists()


def test_sweep_leaves_a_process_alone_that_only_has_the_number(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    other = _stubborn(sleepers)
    begun = reaper.start_time(other.pid)
    _lease(
        tmp_path, "dead", pid=os.getpid(), begun=1, groups=f"+ {other.pid} {begun - 1}\n+ 1 \nnonsense\n"
    )
    _lease(tmp_path, "old", pid=os.getpid(), begun=1, boot="before", groups=f"+ {other.pid} {begun}\n")
    _lease(tmp_path, "over", pid=os.getpid(), begun=1, groups=f"+ {other.pid} {begun}\n- {other.pid}\n")
    assert sweep_leases(tmp_path) == 3
    assert other.poll() is None


def test_sweep_leaves_a_living_engine_alone(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    other = _stubborn(sleepers)
    begun = reaper.start_time(other.pid)
    mine = reaper.start_time(os.getpid())
    lease = _lease(tmp_path, "live", pid=os.getpid(), begun=mine, groups=f"+ {other.pid} {begun}\n")
    assert sweep_leases(tmp_path) == 0
    assert lease.exists()
    assert other.poll() is None


@pytest.mark.parametrize("name", ["", "a/b", "..\n", "x" * 65])
def test_engine_id_must_fit_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="engine"):
        Processes(tmp_path, name)
