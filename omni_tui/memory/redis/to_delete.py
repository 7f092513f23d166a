"""Sessions that were deleted here and are to be deleted in Redis, once it can be reached."""

from __future__ import annotations

from pathlib import Path

import msgspec

from omni_tui.memory.private_files import FileLock
from omni_tui.memory.state_file import LARGEST_LIST, StateFile


class _ToDelete(msgspec.Struct):
    sessions: dict[str, tuple[str, ...]] = {}


class SessionsToDelete:
    """Ids, with the names under which each was written, in `redis-to-delete.json`.

    Calls access the disk and raise `OSError`.
    """

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "redis-to-delete.json", _ToDelete, LARGEST_LIST)
        self._lock = state_dir / "redis-to-delete.lock"

    def all(self) -> dict[str, tuple[str, ...]]:
        """Return the names of each session."""
        return self._file.read().sessions

    def add(self, session: str, names: tuple[str, ...]) -> None:
        """Note a session."""
        self._change(session, names)

    def remove(self, session: str) -> None:
        """A session is not in Redis any more, or not to be deleted there."""
        self._change(session, ())

    def _change(self, session: str, names: tuple[str, ...]) -> None:
        with self._file.lock, FileLock(self._lock):  # another app may do the same
            others = {each: known for each, known in self.all().items() if each != session}
            self._file.write(_ToDelete(others | {session: names} if names else others))
