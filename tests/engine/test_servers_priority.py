"""Server processes run with a lower priority than the engine, their sessions too."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni_tui.servers import processes

GROUPS = pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="needs automatic task groups")


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, which waits for the end of its input."""
    wait = "import sys; sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", wait], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="needs priorities")
def test_a_process_yields(server: subprocess.Popen[bytes]) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    processes.yield_process(server.pid)
    assert os.getpriority(os.PRIO_PROCESS, server.pid) == min(own + processes.NICENESS, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


@GROUPS
def test_a_session_yields_once_the_system_takes_it(server: subprocess.Popen[bytes]) -> None:
    for _ in range(processes.YIELD_TRIES):
        if processes.yield_session(server.pid):
            break
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(processes.YIELD_RETRY_S)
    words = Path(f"/proc/{server.pid}/autogroup").read_text().split()
    assert words[-2:] == ["nice", str(processes.NICENESS)]


def test_a_process_that_is_gone_is_no_trouble() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as process:
        process.wait()
    processes.yield_process(process.pid)
    assert processes.yield_session(process.pid)


@pytest.mark.parametrize(("number", "done"), [(errno.EAGAIN, False), (errno.EPERM, True)])
def test_only_a_system_that_is_busy_is_asked_again(
    number: int, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    duplicate = os.dup

    def refuse(_descriptor: int, _data: bytes) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "open", lambda *_: duplicate(2))
    monkeypatch.setattr(os, "write", refuse)
    assert processes.yield_session(1) is done
