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
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from omni_tui.memory.backups import backups_of, erase_backups
from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.installation_audit import DELETED, InstallationAudit
from omni_tui.memory.keys import known_ids
from omni_tui.memory.private_files import FileLock, is_held, private_dir, sync_dir
from omni_tui.memory.salvage import was_cut_off
from omni_tui.memory.saved_session import saved_copy
from omni_tui.memory.search_file import erase_from_index, erase_what_came_back
from omni_tui.memory.session_keys import SessionKeys, key_places, open_key, overwrite
from omni_tui.memory.snapshot import OpenHere, look
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, Transaction, erase_key, is_there
from omni_tui.memory.writer import (
    count_open_calls,
    event_count_in_lock,
    read_lock_info,
    read_tags,
    read_title,
)
from omni_tui.protocol.events import SessionInfo
from omni_tui.security.text import safe_line

logger = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HIDDEN = re.compile(rf"\.(?:fetched-)?({_ID.pattern})\..*")
_LEFT_S = 3600.0
"""Age in seconds of a file that nobody is writing any more."""
_UNREADABLE = (
    sqlite3.Error,
    SealBroken,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    OpenHere,
    JournalBroken,
    JournalBusy,
)
_TRIES, _PAUSE = 10, 0.02
_TOLD = ("created", "updated", "events", "open_calls", "state")
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
    """The sessions of a state folder, last used first, and why others cannot be read, by id.

    `used`: when each was opened or closed last, in Unix seconds, by id.
    """

    sessions: list[SessionInfo]
    unreadable: dict[str, str]
    used: dict[str, float] = field(default_factory=dict)


def list_sessions(state_dir: Path, vault: Vault) -> SessionList:
    """Return the saved sessions. Writes nothing. Takes a millisecond for each: not on the event loop."""
    found: list[tuple[int, SessionInfo]] = []
    unreadable: dict[str, str] = {}
    used: dict[str, float] = {}
    for session in _all_ids(state_dir):
        try:
            if summary := _summary(state_dir, session, vault):
                found.append((_use(summary), _shown(session, summary)))
                used[session] = _use(summary) / 1000  # a number of use is the time in milliseconds
        except _UNREADABLE as error:
            unreadable[session] = _why_unreadable(session_path(state_dir, session), error)
            logger.info("session %s cannot be read: %s", session, error)
    found.sort(key=itemgetter(0), reverse=True)
    return SessionList([info for _, info in found], unreadable, used)


def _all_ids(state_dir: Path) -> list[str]:
    """Return the ids of all sessions of which something is there, newest first."""
    endings = (".db", ".lock", ".db-wal", ".db.damaged")
    return sorted({each for ending in endings for each in saved_ids(state_dir, ending)}, reverse=True)


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, SealBroken):
        return "the key it was saved with is not here, or its file is damaged"
    try:
        if path.stat().st_size == 0:
            return "its file is empty"
    except FileNotFoundError:
        return "its file is gone"
    except OSError:
        return "its file cannot be used"
    return f"its file cannot be read: {error}" if isinstance(error, OSError) else "its file is damaged"


def last_unclean(state_dir: Path) -> str | None:
    """Return the last used session that was cut off or has something open, None if there is none.

    Skips sessions that a process has open, unreadable ones, and those with a key that the last start
    lacked.
    """
    keys = known_ids(state_dir)
    found: list[tuple[int, str]] = []
    for session in saved_ids(state_dir, ending=".lock"):
        path = session_path(state_dir, session)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            if not lock.acquire(0):
                continue
            if not path.exists():
                # If it is empty, the app was killed before anything was said; else it names a lost session.
                lock.release(remove=not path.with_suffix(".lock").stat().st_size)
                continue
            with closing(look(path, mine=True)) as connection:
                meta = dict(
                    connection.execute(
                        "SELECT name, value FROM meta WHERE name IN ('closed', 'key_id', 'used', 'created')"
                    )
                )
            if meta["closed"] != "clean" and (not keys or meta["key_id"] in keys):
                used = meta.get("used")
                found.append((used if isinstance(used, int) else int(meta["created"] * 1000), session))
        except _UNREADABLE as error:
            logger.info("session %s is not resumed: %s", session, error)
        finally:
            lock.release()
    return max(found)[1] if found else None


def delete_session(
    state_dir: Path, session: str, audit: InstallationAudit | None = None, vault: Vault | None = None
) -> bool:
    """Erase a session's words from the search index, destroy its key, then its files.

    Return False if there is no such session. It is noted in `audit` first, so that the file is not missed;
    on a full disk, once the files are gone. Without `vault` the whole index is destroyed; it is made anew
    when it is needed.

    Raises `JournalBusy` if it is open, `ValueError` for an invalid id.
    """
    path = session_path(state_dir, session)
    keys = SessionKeys(state_dir)
    if not anything_left(state_dir, session):
        return False
    private_dir(path.parent)
    lock = FileLock(path.with_suffix(".lock"))
    if not lock.acquire(0.5):
        raise JournalBusy(f"session {session} is open; close it first")
    try:
        if is_held(_fetched(path).with_suffix(".lock")):
            raise JournalBusy(f"session {session} is being fetched; wait until that has ended")
    except BaseException:
        lock.release()
        raise
    try:
        files = sorted([*path.parent.glob(f"{session}.db*"), *_left_behind(path)])
        wrapped = keys.find(session)
        steps: list[Callable[[], None]] = [
            partial(erase_from_index, state_dir, session, path, vault),
            partial(keys.drop, session),
        ]
        if audit is not None:
            steps.insert(0, partial(audit.add, DELETED, session))
        late = [step for step in steps if not _done(step)]
        for each in files:
            _erase_key(each, wrapped)
        for each in files:
            _remove(each)
        for step in late:
            step()
        erase_what_came_back(state_dir, session, vault)
        keys.drop(session)  # a backup that was made meanwhile put it back
        erase_backups(state_dir, session)
    finally:
        lock.release(remove=True)
    sync_dir(path.parent)
    return True


def anything_left(state_dir: Path, session: str) -> bool:
    """Whether there is anything of a session, if only its key. Raises `ValueError` for an invalid id."""
    path = session_path(state_dir, session)
    return (
        any(path.parent.glob(f"{session}.*"))
        or any(_left_behind(path))
        or bool(SessionKeys(state_dir).find(session))
        or bool(backups_of(state_dir, session))
    )


def _fetched(path: Path) -> Path:
    """Return where a session is written while it is fetched from Redis."""
    return path.with_name(f".fetched-{path.name}")


def _left_behind(path: Path) -> list[Path]:
    """Return what is there of a session under other names: whoever wrote it was killed, or still writes."""
    names = (f".{path.stem}.*", f".fetched-{path.stem}.*")
    return [found for name in names for found in path.parent.glob(name)]


def sweep_left_behind(state_dir: Path) -> None:
    """Erase what killed processes left of sessions under other names. It holds their words and keys."""
    folder = state_dir / "sessions"
    found = (_HIDDEN.fullmatch(each.name) for each in folder.glob(".*"))
    for session in sorted({match[1] for match in found if match}):
        path = session_path(state_dir, session)
        try:
            _sweep(path, SessionKeys(state_dir).find(session))
        except OSError:
            logger.warning("what is left of session %s cannot be erased", session, exc_info=True)


def _sweep(path: Path, wrapped: list[bytes]) -> None:
    lock, marked = FileLock(path.with_suffix(".lock")), path.with_suffix(".lock").exists()
    if not lock.acquire(0):
        return  # who has it may be writing them
    try:
        if is_held(_fetched(path).with_suffix(".lock")):
            return
        for each in _left_behind(path):
            # A fetched session is without its lock for a moment before it gets its name.
            status = each.lstat()
            if time.time() - status.st_mtime > _LEFT_S:
                if status.st_nlink == 1:  # else it is the session's own file under a second name
                    overwrite(each, wrapped)
                _remove(each)
    finally:
        lock.release(remove=not marked)


def _done(step: Callable[[], object]) -> bool:
    """Do something now; False if that must wait until the disk has room."""
    try:
        step()
    except OSError:
        return False
    return True


def _erase_key(file: Path, wrapped: list[bytes]) -> None:
    """Overwrite the wrapped key of a session in one of its files, as far as that can be done."""
    try:
        overwrite(file, wrapped)
        if not file.name.endswith(("-wal", "-shm", "-journal", ".lock")):
            erase_key(file)
    except (OSError, sqlite3.Error) as error:
        logger.warning("the key in %s could not be overwritten: %s", file, error)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):
        file.rmdir()  # somebody put a folder there


def saved_ids(state_dir: Path, ending: str = ".db") -> list[str]:
    """Return the ids of sessions with a file of that ending, newest first."""
    try:
        names = [path.name for path in (state_dir / "sessions").iterdir() if path.name.endswith(ending)]
    except OSError:
        return []
    return sorted(filter(_ID.fullmatch, (name.removesuffix(ending) for name in names)), reverse=True)


def file_mark(path: Path) -> str:
    """Return what differs once something was written into a session's file, "" if there is none."""
    marks = []
    for each in (path, Path(f"{path}-wal")):
        try:
            found = each.stat()
        except OSError:
            continue
        marks.append(f"{found.st_size} {found.st_mtime_ns}")
    return ", ".join(marks)


def _summary(state_dir: Path, session: str, vault: Vault) -> dict[str, Any] | None:
    """Return what is to be told of a session, None for one that nothing was said in yet."""
    path = session_path(state_dir, session)
    lock = path.with_suffix(".lock")
    if is_held(lock):
        if told := _told_by_owner(lock, session, vault):
            return {**told, "state": "open"}
        if not os.path.lexists(path):
            return None
    elif not is_there(path):
        if event_count_in_lock(lock, session, vault):
            raise FileNotFoundError(f"{path} is gone")
        return None
    state = "unfinished" if lock.exists() else "closed"
    try:
        if was_cut_off(path):
            raise SealBroken("it was being replaced")
        with closing(look(path)) as connection:
            (wrapped,) = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
            _, sealer = open_key(vault, session, key_places(path, session, wrapped))
            return {**_read_summary(Transaction(connection, sealer, session)), "state": state}
    except (sqlite3.Error, SealBroken, TypeError):
        with saved_copy(path, session, vault) as copy:  # it is damaged
            summary = {**_read_summary(copy.tx), "state": state}
        if not summary["events"]:
            raise JournalBroken(f"nothing of {path} can be read") from None
        return summary


def _told_by_owner(lock: Path, session: str, vault: Vault) -> dict[str, Any] | None:
    """Return what the process that has a session open tells of it, None if it tells nothing readable.

    While it opens the session it has not yet told anything.
    """
    for _ in range(_TRIES):
        try:
            return read_lock_info(lock, session, vault)
        except FileNotFoundError:
            break  # it was closed meanwhile
        except (SealBroken, ValueError, IndexError, TypeError):
            if not is_held(lock) or not os.path.lexists(lock.with_suffix(".db")):
                break
            time.sleep(_PAUSE)
    return None


def _read_summary(tx: Transaction) -> dict[str, Any]:
    facts = dict(tx.execute("SELECT name, value FROM meta WHERE name IN ('created', 'used')").fetchall())
    last = tx.execute("SELECT seq, ts FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return {
        "title": read_title(tx),
        "tags": read_tags(tx),
        "created": facts["created"],
        "updated": last[1] if last else facts["created"],
        "events": last[0] if last else 0,
        "open_calls": count_open_calls(tx),
        "used": facts.get("used", 0),
    }


def _use(summary: dict[str, Any]) -> int:
    """Return a number that tells the order of use; for a session of an earlier version it is the time."""
    used = summary.get("used")
    return used if isinstance(used, int) and used else int(summary["updated"] * 1000)


def _shown(session: str, summary: dict[str, Any]) -> SessionInfo:
    title = safe_line(summary["title"], joined=True)
    tags = tuple(safe_line(tag, joined=True) for tag in summary.get("tags", ()))
    return SessionInfo(id=session, **{name: summary[name] for name in _TOLD}, title=title, tags=tags)
