"""Ends the servers of an engine that was killed. Run as `python -I -S reaper.py ENGINE_ID`.

The engine holds the other end of this program's standard input and writes one line per change:
`+ GROUP START` when a process group begins (START is the start time of its leader, 0 if unknown),
`- GROUP` when it has ended. At the end of input the engine is gone: what still runs gets one second to
notice that its own input has ended, then SIGTERM, one more second, then SIGKILL. On Linux this includes
processes that left their group but have the engine's marker in their environment. Standard library only,
so that it starts in milliseconds and depends on nothing that could break.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

MARKER = "OMNI_TUI_LEASE"
"""Name of the environment variable that every server process inherits; its value is the engine's id."""

GRACE = 1.0
"""Seconds for a process after the end of its input, and again after SIGTERM."""

_LAST_LOOK = 1.5
_PAUSE = 0.04
_PROC = "/proc"


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot, 0 if it is gone or unknown."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _stat(pid: int | str) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third (state) on; empty for a zombie or no process."""
    try:
        with open(f"{_PROC}/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return []
    return [] if len(fields) < 20 or fields[0] in (b"Z", b"X") else fields


def _carries(pid: str, marker: bytes) -> bool:
    try:
        with open(f"{_PROC}/{pid}/environ", "rb") as file:
            return marker in file.read().split(b"\0")
    except OSError:
        return False


def survivors(groups: dict[int, int], marker: str) -> list[int]:
    """Return the processes that belong to one of `groups` (group → start of its leader) or carry `marker`.

    `marker` is `NAME=value`, "" for none. A group whose number was reused since is left alone. Without
    /proc, the groups themselves are tested and returned as negative numbers, as `os.kill` takes them.
    """
    if not os.path.isdir(f"{_PROC}/self"):
        return [-group for group in groups if _group_answers(group)]
    ours = {group for group, start in groups.items() if not start or start_time(group) in (0, start)}
    wanted = marker.encode()
    found = []
    me = os.getpid()
    for name in os.listdir(_PROC):
        if not name.isdigit() or int(name) == me:
            continue
        fields = _stat(name)
        if fields and (int(fields[2]) in ours or (wanted and _carries(name, wanted))):
            found.append(int(name))
    return found


def _group_answers(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def send(pids: list[int], number: int) -> None:
    """Send a signal to each of `pids`; those already gone are skipped."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_all(groups: dict[int, int], marker: str, *, grace: float = GRACE, term: float = GRACE) -> bool:
    """End everything that `survivors` finds; return whether nothing is left.

    Waits `grace` seconds for processes to exit, sends SIGTERM, waits `term` seconds, then sends SIGKILL
    until none is left, for at most 1.5 s.
    """
    if _wait_gone(groups, marker, grace):
        return True
    send(survivors(groups, marker), signal.SIGTERM)
    if _wait_gone(groups, marker, term):
        return True
    until = time.monotonic() + _LAST_LOOK
    while left := survivors(groups, marker):
        send(left, signal.SIGKILL)
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)
    return True


def _wait_gone(groups: dict[int, int], marker: str, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while survivors(groups, marker):
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)
    return True


def read_groups(lines: list[bytes], groups: dict[int, int]) -> None:
    """Apply lines of the engine to `groups`; skip invalid ones (cut off by a crash)."""
    for line in lines:
        words = line.split()
        with contextlib.suppress(ValueError, IndexError):
            if words[0] == b"+":
                groups[int(words[1])] = int(words[2])
            elif words[0] == b"-":
                groups.pop(int(words[1]), None)


def main(engine_id: str) -> None:
    """Read the engine's lines until they end, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    rest = b""
    while data := os.read(0, 65536):
        *lines, rest = (rest + data).split(b"\n")
        read_groups(lines, groups)
    end_all(groups, f"{MARKER}={engine_id}")


if __name__ == "__main__":
    main(sys.argv[1])
