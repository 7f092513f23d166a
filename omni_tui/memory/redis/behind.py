"""Which sessions of a state folder may have more events than Redis.

A session is noted while it is mirrored, and until all of it is there. After a crash, or if Redis was away
when it was closed, a later start finds it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from omni_tui.memory.private_files import FileLock
from omni_tui.memory.state_file import LARGEST_LIST, StateFile

logger = logging.getLogger(__name__)


class _Behind(msgspec.Struct):
    sessions: list[str] = []


class SessionsBehind:
    """The ids, in `redis-behind.json`. Calls access the disk; a disk that fails is told in the log only."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "redis-behind.json", _Behind, LARGEST_LIST)
        self._lock = state_dir / "redis-behind.lock"

    def ids(self) -> list[str]:
        """Return the sessions, first noted first."""
        return self._file.read().sessions

    def add(self, session: str) -> None:
        """Note a session."""
        self._change(session, there=True)

    def remove(self, session: str) -> None:
        """All of a session is in Redis, or it is not to be sent there."""
        self._change(session, there=False)

    def _change(self, session: str, *, there: bool) -> None:
        try:
            with self._file.lock, FileLock(self._lock):  # another app may do the same
                found = self._file.read().sessions
                if (session in found) is not there:
                    others = [each for each in found if each != session]
                    self._file.write(_Behind([*others, session] if there else others))
        except OSError:
            logger.exception("it cannot be noted which sessions Redis lacks")
