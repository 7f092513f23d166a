"""Keeps track of every server process group, so that none outlives the engine.

Three nets, each for the failure of the one before: the engine stops its servers itself; a small
program of its own (`reaper.py`) ends them when the engine is killed; a lease file tells the next
engine what a dead one may have left behind, should the reaper have been killed too.

Server processes also run with a lower priority, so that a dozen starting interpreters do not slow the
screen down. It matters only while others want the processors too.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from omni_tui.servers import reaper

_log = logging.getLogger(__name__)
_THREADS = 4
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Processes:
    """The process groups of one engine. Methods may be called from any thread.

    `state_dir` holds the lease file. `engine_id` is unique per engine and becomes the value of the
    marker variable in each server's environment. Raises `ValueError` for an id that cannot be a
    file name.
    """

    def __init__(self, state_dir: Path, engine_id: str) -> None:
        if not _ID.fullmatch(engine_id):
            raise ValueError(f"{engine_id!r} cannot name an engine: letters, digits, '_', '.' and '-' only")
        self.engine_id = engine_id
        self._lease = _lease_dir(state_dir) / f"{engine_id}.lease"
        self._lock = threading.Lock()
        self._groups: dict[int, int] = {}
        self._reaper: subprocess.Popen[bytes] | None = None
        self._closed = False
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="omni-spawn")
        """For starting and unregistering servers, which wait for the system."""

    @property
    def groups(self) -> frozenset[int]:
        """The registered groups."""
        return frozenset(self._groups)

    @property
    def reaper_pid(self) -> int | None:
        """Process id of the reaper, None before the first group is registered."""
        return self._reaper.pid if self._reaper else None

    def environment(self) -> dict[str, str]:
        """Return the marker variable that every server process must inherit."""
        return {reaper.MARKER: self.engine_id}

    def prepare(self) -> None:
        """Start the reaper and write the lease, so that the next server is covered at once."""
        with self._lock:
            if self._reaper is None and not self._closed:
                pid = os.getpid()
                self._write_lease(f"engine {pid} {reaper.start_time(pid)} {_boot()}\n")
                self._start_reaper()

    def register(self, group: int) -> None:
        """Register a process group. Call it right after the start."""
        self.prepare()
        with self._lock:
            self._groups[group] = reaper.start_time(group)
            self._tell(f"+ {group} {self._groups[group]}\n")

    def unregister(self, group: int) -> None:
        """Unregister a process group whose processes have all ended."""
        with self._lock:
            if self._groups.pop(group, None) is not None:
                self._tell(f"- {group}\n")

    def kill_all(self, deadline: float) -> bool:
        """End every registered group and marked process within `deadline` seconds (5 at most).

        For a plain thread when the loop hangs: blocks, needs no loop, and no lock for long. SIGTERM first,
        SIGKILL after a second or a third of the time. Returns whether nothing is left.
        """
        held = self._lock.acquire(timeout=0.2)
        groups = dict(self._groups)
        if held:
            self._lock.release()
        term = min(reaper.GRACE, deadline / 3)
        return reaper.end_all(groups, f"{reaper.MARKER}={self.engine_id}", grace=0.0, term=term)

    def close(self) -> None:
        """End the reaper, which first ends marked processes that are left, and remove the lease.

        For the regular end, after all servers were stopped. Blocks, usually for a moment and at most four
        seconds. The lease stays if a group is left.
        """
        self.threads.shutdown(wait=False)
        with self._lock:
            self._closed = True
            left = bool(self._groups)
            self._close_pipe()
        if self._reaper is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._reaper.wait(4.0)
        if not left:
            self._lease.unlink(missing_ok=True)

    def _write_lease(self, text: str) -> None:
        self._lease.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lease, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w") as file:
            file.write(text)

    def _start_reaper(self) -> None:
        """Start the reaper and tell it of every group there is."""
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, self.engine_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={},
            cwd="/" if os.name == "posix" else None,
            start_new_session=True,
        )
        self._send("".join(f"+ {group} {start}\n" for group, start in self._groups.items()))

    def _tell(self, line: str) -> None:
        """Write a change into the lease and to the reaper; start another reaper if it is gone."""
        with contextlib.suppress(OSError):
            self._write_lease(line)
        if not self._send(line) and not self._closed:
            _log.warning("the process that ends servers after a crash was gone; starting another")
            self._close_pipe()
            if self._reaper is not None:
                self._reaper.wait()
            self._start_reaper()

    def _close_pipe(self) -> None:
        if self._reaper is not None and self._reaper.stdin is not None:
            with contextlib.suppress(OSError):
                self._reaper.stdin.close()

    def _send(self, text: str) -> bool:
        if self._reaper is None or self._reaper.stdin is None:
            return False
        try:
            self._reaper.stdin.write(text.encode())
        except (OSError, ValueError):
            return False
        return True


def sweep_leases(state_dir: Path) -> int:
    """End what dead engines left running, remove their leases, and return how many there were.

    Blocks for up to three seconds per lease if something is left: run it in a thread. An engine is dead
    if no process has its id and start time. A lease from before the last boot is only removed, and so is
    any without /proc, where a process cannot be told from a later one with the same id.
    """
    swept = 0
    for lease in sorted(_lease_dir(state_dir).glob("*.lease")):
        try:
            first, _, rest = lease.read_bytes().partition(b"\n")
        except OSError:
            continue
        if _engine_lives(first):
            continue
        groups: dict[int, int] = {}
        reaper.read_groups(rest.split(b"\n"), groups)
        if _same_boot(first):
            ours = {
                group: start for group, start in groups.items() if start == reaper.start_time(group) != 0
            }
            reaper.end_all(ours, f"{reaper.MARKER}={lease.stem}", grace=0.0)
        lease.unlink(missing_ok=True)
        swept += 1
    return swept


def _lease_dir(state_dir: Path) -> Path:
    return state_dir / "leases"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _same_boot(line: bytes) -> bool:
    words = line.split()
    return len(words) == 4 and words[3].decode("ascii", "replace") == _boot() != "unknown"


def _engine_lives(line: bytes) -> bool:
    words = line.split()
    if not _same_boot(line):
        return False
    return words[1].isdigit() and words[2] != b"0" and reaper.start_time(int(words[1])) == int(words[2])


NICENESS = 5
"""How much lower a server's priority is than the engine's: a third of its share if they compete."""

YIELD_RETRY_S = 0.13
"""Seconds until `yield_session` may be tried again: the system allows one such change in 0.1 s."""
YIELD_TRIES = 30


def yield_process(pid: int) -> None:
    """Lower the priority of a process group, if the system allows it."""
    with contextlib.suppress(OSError, AttributeError):  # not on Windows
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PGRP, pid, min(own + NICENESS, 19))


def yield_session(pid: int) -> bool:
    """Lower the priority of a process's session; False means: try again.

    Linux with automatic task groups (sched(7), "The autogroup feature") shares the processors among
    sessions; the niceness of a process counts only within its session.
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
