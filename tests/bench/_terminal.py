"""A program on a pseudo-terminal of 160×45, for benchmarks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 8.0
"""How long a program may take to end before it is killed."""


@contextmanager
def on_terminal(command: list[str], **environ: str) -> Iterator[int]:
    """Run a command with bytecode caching on; gives the terminal's file descriptor, ends it at the end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", **environ)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 160, 0, 0))
    try:
        yield terminal
    finally:
        _end(pid, terminal)


def read_within(terminal: int, until: float) -> bytes:
    """Return what the program wrote next, b"" if nothing comes until then (`time.perf_counter`)."""
    if not select.select([terminal], [], [], max(0.0, until - time.perf_counter()))[0]:
        return b""
    return os.read(terminal, 1 << 20)


def _end(pid: int, terminal: int) -> None:
    # Left by its own key, the app waits for its engine, which would else compete with the next run.
    with contextlib.suppress(OSError):
        os.write(terminal, b"\x11")
    deadline = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < deadline:
        with contextlib.suppress(OSError):  # a full terminal would keep it from ending
            read_within(terminal, time.perf_counter() + 0.05)
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(terminal)
