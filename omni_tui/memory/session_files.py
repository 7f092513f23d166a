"""The folder of saved sessions: name, find, list and delete them.

While a session is open, its lock file holds what a list shows, and only its owner opens the database. A
clean end removes the lock file. A lock file that no process holds marks a session that was cut off or has
something left to decide.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.keys import known_ids
from omni_tui.memory.private_files import FileLock, open_private, private_dir, sync_dir
from omni_tui.memory.sqlite import JournalBusy, Transaction, erase_key
from omni_tui.memory.writer import count_open_calls, read_lock_info, read_title
from omni_tui.protocol.events import SessionInfo
from omni_tui.security.text import safe_line

logger = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UNREADABLE = (sqlite3.Error, SealBroken, OSError, ValueError, KeyError, TypeError)
_last_moment = 0
_moments = threading.Lock()


def new_session_id() -> str:
    """Return a UUID of version 7: 36 characters, and later ones sort after earlier ones."""
    global _last_moment
    with _moments:
        # Milliseconds in 48 bits and the rest of them in 12 (RFC 9562, section 6.2, method 3).
        now = time.time_ns()
        moment = (now // 1_000_000 << 12) | (now % 1_000_000 << 12) // 1_000_000
        _last_moment = moment = max(moment, _last_moment + 1)
    milliseconds, fraction = divmod(moment, 1 << 12)
    value = milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def session_path(state_dir: Path, session: str) -> Path:
    """Return the file of a session. Raises `ValueError` if it is not a session id."""
    if not _ID.fullmatch(session):
        raise ValueError(f"{session[:60]!r} is not a session id; `omni-tui sessions list` shows them")
    return state_dir / "sessions" / f"{session}.db"


@dataclass(frozen=True, slots=True)
class SessionList:
    """The sessions of a state folder, last used first, and why others cannot be read, by id."""

    sessions: list[SessionInfo]
    unreadable: dict[str, str]


def list_sessions(state_dir: Path, vault: Vault) -> SessionList:
    """Return the saved sessions. Writes nothing. Takes a millisecond for each: not on the event loop."""
    found: list[SessionInfo] = []
    unreadable: dict[str, str] = {}
    for session in _saved(state_dir):
        try:
            found.append(_info(state_dir, session, vault))
        except _UNREADABLE as error:
            unreadable[session] = _why_unreadable(session_path(state_dir, session), error)
            logger.info("session %s cannot be read: %s", session, error)
    return SessionList(sorted(found, key=lambda info: info.updated, reverse=True), unreadable)


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, SealBroken):
        return "the key it was saved with is not here, or its file is damaged"
    try:
        if path.stat().st_size == 0:
            return "its file is empty"
    except OSError:
        return "its file cannot be used"
    return f"its file cannot be read: {error}" if isinstance(error, OSError) else "its file is damaged"


def last_unclean(state_dir: Path) -> str | None:
    """Return the newest session that was cut off or has something open, None if there is none.

    Skips sessions that a process has open, unreadable ones, and those with a key that the last start
    lacked.
    """
    keys = known_ids(state_dir)
    for session in _saved(state_dir, ending=".lock"):
        path = session_path(state_dir, session)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            if not path.exists() or not lock.acquire(0):
                continue
            with closing(_reader(path)) as connection:
                meta = dict(
                    connection.execute("SELECT name, value FROM meta WHERE name IN ('closed', 'key_id')")
                )
            if meta["closed"] != "clean" and (not keys or meta["key_id"] in keys):
                return session
        except _UNREADABLE as error:
            logger.info("session %s is not resumed: %s", session, error)
        finally:
            lock.release()
    return None


def delete_session(state_dir: Path, session: str) -> bool:
    """Destroy a session's key, then its files. Return False if there is none.

    Raises `JournalBusy` if it is open, `ValueError` for an invalid id.
    """
    path = session_path(state_dir, session)
    if not any(path.parent.glob(f"{session}.db*")):
        return False
    private_dir(path.parent)
    lock = FileLock(path.with_suffix(".lock"))
    if not lock.acquire(0.5):
        raise JournalBusy(f"session {session} is open; close it first")
    try:
        files = sorted(path.parent.glob(f"{session}.db*"))
        for each in files:
            if not each.name.endswith(("-wal", "-shm", "-journal")):
                _erase(each)
        for each in files:
            each.unlink(missing_ok=True)
    finally:
        lock.release(remove=True)
    sync_dir(path.parent)
    return True


def _erase(path: Path) -> None:
    try:
        if path.exists():
            erase_key(path)
    except sqlite3.Error as error:
        logger.warning("the key in %s could not be overwritten: %s", path, error)


def _saved(state_dir: Path, ending: str = ".db") -> Iterator[str]:
    """Yield the ids of sessions with a file of that ending, newest first."""
    try:
        names = sorted(
            (path.stem for path in (state_dir / "sessions").iterdir() if path.suffix == ending),
            reverse=True,
        )
    except OSError:
        return
    yield from filter(_ID.fullmatch, names)


def _info(state_dir: Path, session: str, vault: Vault) -> SessionInfo:
    path = session_path(state_dir, session)
    lock_path = path.with_suffix(".lock")
    if not lock_path.exists():
        return _info_from_file(path, session, vault, alone=True)
    lock = FileLock(lock_path)
    if not lock.acquire(0):
        return _info_from_lock(lock_path, session, vault)
    try:
        return _info_from_file(path, session, vault, alone=False)
    finally:
        lock.release()


def _info_from_lock(path: Path, session: str, vault: Vault) -> SessionInfo:
    info = read_lock_info(path, session, vault)
    return SessionInfo(
        id=session,
        title=safe_line(info["title"], joined=True),
        created=info["created"],
        updated=info["updated"],
        events=info["events"],
        open_calls=info["open_calls"],
    )


def _info_from_file(path: Path, session: str, vault: Vault, *, alone: bool) -> SessionInfo:
    with closing(_reader(path, immutable=alone)) as connection:
        meta = dict(connection.execute("SELECT name, value FROM meta WHERE name IN ('key', 'created')"))
        tx = Transaction(connection, vault.unwrap(meta["key"], f"key of {session}"), session)
        last = tx.execute("SELECT seq, ts FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        return SessionInfo(
            id=session,
            title=safe_line(read_title(tx), joined=True),
            created=meta["created"],
            updated=last[1] if last else meta["created"],
            events=last[0] if last else 0,
            open_calls=count_open_calls(tx),
        )


def _reader(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open for reading. `immutable`: it was closed cleanly and has no log.

    Raises `UnsafePlace` for something that is not a file of this user: SQLite might block on it.
    """
    os.close(open_private(path, os.O_RDONLY))
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    return sqlite3.connect(
        f"file:{quote(str(path))}?{options}", uri=True, isolation_level=None, timeout=1.0
    )
