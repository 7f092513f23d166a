"""Server processes yield to the screen: where processors are short, the person's keys come first.

A dozen interpreters that start at the same time else leave the screen a dozenth of a processor. A
server notices it only while others want the processors too.
"""

from __future__ import annotations

import contextlib
import errno
import os

NICENESS = 5
"""By how much a server's priority is lower than the engine's: a third of its share, if they compete."""

AGAIN_S = 0.13
"""Seconds after which `yield_session` may be tried again: the system takes one such change in 0.1 s."""
TRIES = 30


def yield_process(pid: int) -> None:
    """Lower the priority of a process group. What cannot be done is left."""
    with contextlib.suppress(OSError, AttributeError):  # no such call on Windows
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PGRP, pid, min(own + NICENESS, 19))


def yield_session(pid: int) -> bool:
    """Lower the priority of a process's session; False if that is worth another try.

    Linux with automatic task groups (sched(7), "The autogroup feature") shares the processors among
    sessions, and the niceness of processes counts only within theirs; each server has a session.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/autogroup", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        os.write(descriptor, str(NICENESS).encode())
    except OSError as error:
        return error.errno != errno.EAGAIN
    finally:
        os.close(descriptor)
    return True
