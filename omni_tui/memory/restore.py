"""Back a session up as it is now, and put a backup in its place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from omni_tui.memory.backups import Backup, BackupFailed, backups_of, erase_backups, save_backup
from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, private_dir, read_private, write_new
from omni_tui.memory.redis_claim import Claim, read_claim, write_claim
from omni_tui.memory.salvage import new_file, put_in_place, read_damaged
from omni_tui.memory.saved_session import saved_copy, saved_events
from omni_tui.memory.session_files import session_path
from omni_tui.memory.session_keys import SessionKeys, open_key
from omni_tui.memory.snapshot import in_memory
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, Transaction, is_there, reason
from omni_tui.memory.sqlite_pages import Log
from omni_tui.memory.writer import OPEN_STATES, event_count_in_lock


def back_up(state_dir: Path, session: str, vault: Vault, *, one_more: bool = False) -> Backup:
    """Make a backup of a session, also while another process has it open; the oldest goes, unless
    `one_more`.

    Raises `BackupFailed` if the session is damaged: it would push out a good backup; and if it is deleted
    meanwhile. Raises `JournalBusy` if this process has it open, `JournalBroken`, `ValueError` for an
    invalid id, `OSError`.
    """
    path = session_path(state_dir, session)
    with saved_copy(path, session, vault) as copy:
        unread = sum(isinstance(event, str) for _, event in saved_events(copy.tx, last=copy.expected))
        if unread > copy.lost + _without_body(copy.connection) or not copy.whole:
            raise BackupFailed(
                f"session {session} is damaged ({unread} of its events cannot be read), so it was not "
                "backed up; open it to repair it, or restore an earlier backup"
            )
        backup = save_backup(state_dir, session, copy.connection, one_more=one_more)
    # Deleting takes no notice of who reads: what it erased was just written again.
    if not is_there(path):
        SessionKeys(state_dir).drop(session)
        erase_backups(state_dir, session)
        raise BackupFailed(f"session {session} was not backed up: it was deleted meanwhile")
    return backup


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup in its place. `lacks`: how many newer events it lacks; `kept`: where the former file is."""

    backup: Backup
    events: int
    lacks: int
    kept: Path | None


def restore(state_dir: Path, session: str, vault: Vault, number: int = 0) -> Restored:
    """Check a backup of a session (0: the newest) and put it in its place; what was there is kept.

    Calls that were unfinished in it are uncertain at the next start: they may have been sent since. Raises
    `BackupFailed`, `JournalBusy` if the session is open, `ValueError` for an invalid id, `OSError`.
    """
    path = session_path(state_dir, session)
    chosen = [each for each in backups_of(state_dir, session) if number in (0, each.number)]
    if not chosen:
        raise BackupFailed(f"there is no backup {number or ''} of session {session}".replace("  ", " "))
    private_dir(path.parent)
    lock = FileLock(path.with_suffix(".lock"))
    if not lock.acquire(0.5):
        raise JournalBusy(f"session {session} is open; close it first")
    try:
        image, events, lacks = _checked(path, chosen[0], vault)
        new = new_file(path)
        new.unlink(missing_ok=True)
        write_new(new, image)
        try:
            kept = put_in_place(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except BaseException:
        lock.release()
        raise
    lock.release(remove=True)  # it counted the events of the former file
    return Restored(chosen[0], events, lacks, kept if kept.exists() else None)


def _checked(path: Path, backup: Backup, vault: Vault) -> tuple[bytes, int, int]:
    """Return a backup with its key in it, its number of events, and how many newer ones there are."""
    session = backup.session
    try:
        wrapped, sealer = open_key(vault, session, SessionKeys(path.parent.parent).find(session))
    except SealBroken:
        raise BackupFailed(
            f"the key of session {session} is not here: it was deleted, or saved with another master key "
            f"(now in use: {vault.kind})"
        ) from None
    try:
        with closing(in_memory(read_private(backup.path), Log())) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise BackupFailed(f"the backup {backup.path} is damaged ({verdict})")
            facts = dict(connection.execute("SELECT name, value FROM meta"))
            if facts.get("session") != session:
                raise BackupFailed(f"the backup {backup.path} is of another session")
            lost = facts.get("lost") or 0
            count, last = connection.execute("SELECT count(*), ifnull(max(seq), 0) FROM events").fetchone()
            tx = Transaction(connection, sealer, session)
            unread = sum(isinstance(event, str) for _, event in saved_events(tx))
            if unread > lost + _without_body(connection):
                raise BackupFailed(f"the backup {backup.path} is damaged: {unread} events cannot be read")
            head = max(last, _head_now(path, session, vault))
            marks = ", ".join("?" * len(OPEN_STATES))
            connection.execute(
                f"UPDATE calls SET state = 'dispatching' WHERE state IN ({marks})", OPEN_STATES
            )
            for name, value in (
                ("key", wrapped), ("closed", "open"), ("events", head), ("lost", head - count)
            ):  # fmt: skip
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
            if (claim := _claim_now(path, session, vault)) is not None:
                write_claim(tx, claim)
            return connection.serialize(), count, head - last
    except sqlite3.Error as error:
        raise BackupFailed(f"the backup {backup.path} is damaged ({reason(error)})") from error


def _without_body(connection: sqlite3.Connection) -> int:
    """Return how many events have an empty body: fetching writes those that Redis did not have any more.

    They are no damage, which leaves no row that is whole and empty.
    """
    (count,) = connection.execute("SELECT count(*) FROM events WHERE length(body) = 0").fetchone()
    return int(count)


def _claim_now(path: Path, session: str, vault: Vault) -> Claim | None:
    """Return who the session is in Redis, of which a backup knows what it was then; None if unknown.

    With an older name it would take itself for another machine there, and leave what is there undeleted.
    """
    try:
        with saved_copy(path, session, vault) as copy:
            claim = read_claim(copy.tx)
    except (JournalBroken, OSError):
        return None
    return claim if claim.names else None


def _head_now(path: Path, session: str, vault: Vault) -> int:
    """Return the number of the last event known of: none of them is given again."""
    expected = event_count_in_lock(path.with_suffix(".lock"), session, vault)
    found = read_damaged(path, session, vault, SessionKeys(path.parent.parent).find(session), expected)
    return found.expected if found else expected
