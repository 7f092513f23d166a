"""Backups of sessions: whole copies without the key. The key is in the key store alone (`session_keys`).

So deleting a session, which drops its key there, makes noise of every backup of it, wherever it was copied
to. `backups/ID.NUMBER.db`; the number rises, whatever the clock says, and the oldest go.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from omni_tui.memory.private_files import private_dir, read_private, write_new
from omni_tui.memory.session_keys import SessionKeys

logger = logging.getLogger(__name__)

KEPT = 3
"""How many backups of a session are kept."""
_NAME = re.compile(r"([0-9a-f-]{36})\.(\d{1,9})\.db")


class BackupFailed(Exception):
    """A backup could not be made or restored; the text says why. Nothing has changed."""


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup. `made` in Unix seconds by the file's time, `size` in bytes."""

    session: str
    number: int
    path: Path
    made: float
    size: int


def all_backups(state_dir: Path) -> list[Backup]:
    """Return the backups of a state folder, by session, the newest of each first. Raises `OSError`."""
    found = []
    folder = state_dir / "backups"
    for path in folder.iterdir() if folder.is_dir() else ():
        if name := _NAME.fullmatch(path.name):
            status = path.lstat()
            found.append(Backup(name[1], int(name[2]), path, status.st_mtime, status.st_size))
    return sorted(found, key=lambda backup: (backup.session, -backup.number))


def backups_of(state_dir: Path, session: str) -> list[Backup]:
    """Return the backups of a session, newest first. Raises `OSError`."""
    return [backup for backup in all_backups(state_dir) if backup.session == session]


def save_backup(
    state_dir: Path, session: str, connection: sqlite3.Connection, *, one_more: bool = False
) -> Backup:
    """Store a copy of the open database of a session, and let the oldest backup go unless `one_more`.

    The key goes from the database into the key store. Raises `OSError`, `sqlite3.Error`, `BackupFailed` if
    the disk gives back something else than was written.
    """
    (wrapped,) = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
    if any(wrapped):
        SessionKeys(state_dir).put(session, wrapped)
    connection.execute("PRAGMA secure_delete=ON").close()
    connection.execute("UPDATE meta SET value = zeroblob(length(value)) WHERE name = 'key'")
    image = connection.serialize()
    connection.execute("UPDATE meta SET value = ? WHERE name = 'key'", (wrapped,))
    former = backups_of(state_dir, session)
    number = former[0].number + 1 if former else 1
    path = private_dir(state_dir / "backups") / f"{session}.{number}.db"
    write_new(path, image)
    if read_private(path) != image:
        raise BackupFailed(f"the disk did not keep {path} as it was written")
    for backup in () if one_more else former[KEPT - 1 :]:
        backup.path.unlink(missing_ok=True)
    return Backup(session, number, path, path.stat().st_mtime, len(image))


def erase_backups(state_dir: Path, session: str) -> None:
    """Remove the backups of a session; without its key they are noise already."""
    try:
        for backup in backups_of(state_dir, session):
            backup.path.unlink(missing_ok=True)
    except OSError:
        logger.warning("the backups of session %s could not be removed", session, exc_info=True)
