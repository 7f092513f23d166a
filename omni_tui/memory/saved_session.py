"""Read the events of a session's file, whole or damaged, without its lock and without changing it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from omni_tui.memory.crypto import SealBroken, Sealer, Vault
from omni_tui.memory.salvage import read_damaged, rows, was_cut_off, write_salvaged
from omni_tui.memory.session_keys import key_places, keys_of, open_key
from omni_tui.memory.snapshot import OpenHere, in_memory, read_files
from omni_tui.memory.sqlite import (
    SCHEMA,
    SCHEMA_VERSION,
    JournalBroken,
    JournalBusy,
    NothingSaved,
    Transaction,
    reason,
)
from omni_tui.memory.writer import event_count_in_lock
from omni_tui.protocol import AnyEvent, ProtocolError, decode_event

_MISSING = "it is missing"


@dataclass(frozen=True, slots=True)
class SavedCopy:
    """What is saved of a session.

    `expected` is how many events it should hold (0: not known), `lost` how many of those are known to be
    lost. `whole`: its file is not damaged.
    """

    tx: Transaction
    connection: sqlite3.Connection
    expected: int
    lost: int
    whole: bool


@contextmanager
def saved_copy(path: Path, session: str, vault: Vault) -> Iterator[SavedCopy]:
    """Look at what is saved of a session, as it is now. A process may have it open; this one may not.

    Of a damaged file this is what can be read of its pages. Changes of the copy go nowhere. Raises
    `JournalBusy` if this process has it open, `NothingSaved`, `JournalBroken` if nothing can be read,
    `OSError`.
    """
    expected = event_count_in_lock(path.with_suffix(".lock"), session, vault)
    try:
        whole = _whole(path, session, vault, expected)
        found = whole or _damaged(path, session, vault, expected)
    except OpenHere as error:
        raise JournalBusy(str(error)) from None
    connection, sealer, expected = found
    with closing(connection):
        try:
            lost = connection.execute("SELECT value FROM meta WHERE name = 'lost'").fetchone()
            yield SavedCopy(
                Transaction(connection, sealer, session),
                connection,
                expected,
                lost[0] if lost else 0,
                bool(whole),
            )
        except sqlite3.Error as error:
            raise JournalBroken(f"the session's file {path} cannot be read: {reason(error)}") from error


_Found = tuple[sqlite3.Connection, Sealer, int]


def _whole(path: Path, session: str, vault: Vault, expected: int) -> _Found | None:
    """Return a connection to a file without damage, and how many events there should be; else None."""
    data, log = read_files(path)
    if log.lost or was_cut_off(path):
        return None
    connection = in_memory(data, log)
    try:
        facts = dict(connection.execute("SELECT name, value FROM meta"))
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        _, sealer = open_key(vault, session, key_places(path, session, facts["key"]))
        (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
    except (sqlite3.Error, SealBroken, KeyError, TypeError):
        connection.close()
        return None
    noted, lost = facts.get("events"), facts.get("lost")
    expected = max(expected, noted if isinstance(noted, int) else 0)
    if verdict == "ok" and count + (lost if isinstance(lost, int) else 0) >= expected:
        return connection, sealer, expected
    connection.close()
    return None


def _damaged(path: Path, session: str, vault: Vault, expected: int) -> _Found:
    """Return a connection to what can be read of a damaged file. Raises `JournalBroken`."""
    found = read_damaged(path, session, vault, keys_of(path).find(session), expected)
    if found is None:
        if not expected and _is_empty(path):
            raise NothingSaved(f"the session's file {path} is empty; it is left as it is")
        raise JournalBroken(
            f"the key that session {session} was saved with is not here (now in use: {vault.kind}), or its "
            f"file {path} is damaged beyond that; it is left as it is"
        )
    connection = sqlite3.connect(":memory:", isolation_level=None)
    write_salvaged(connection, found, SCHEMA, SCHEMA_VERSION, vault.id)
    return connection, found.sealer, found.expected


def _is_empty(path: Path) -> bool:
    """Whether nothing was ever saved: what an earlier version leaves if it is killed at the start."""
    data, log = read_files(path)
    if log.lost:
        return False
    with closing(in_memory(data, log)) as connection, suppress(sqlite3.Error):
        return not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    return False


class SavedSession:
    """The events of a saved session, read from a copy. Iterate once.

    Afterwards `unread` is the number of saved events that are missing or unreadable.
    """

    def __init__(self, path: Path, session: str, vault: Vault) -> None:
        self._path = path
        self._session = session
        self._vault = vault
        self.unread = 0

    def __iter__(self) -> Iterator[AnyEvent]:
        """Yield the readable events, oldest first. Raises what `saved_copy` raises."""
        with saved_copy(self._path, self._session, self._vault) as copy:
            for _, event in saved_events(copy.tx, last=copy.expected):
                if isinstance(event, str):
                    self.unread += 1
                else:
                    yield event


def saved_events(tx: Transaction, after: int = 0, last: int = 0) -> Iterator[tuple[int, AnyEvent | str]]:
    """Yield the number of each event after `after`, with the event or why it cannot be read.

    Events are numbered without gaps up to `last`, if not further: a missing number is a lost event.
    """
    expected = after + 1
    for row in rows(tx.execute, "events", after):
        seq = int(row[0])
        yield from ((missing, _MISSING) for missing in range(expected, seq))
        expected = seq + 1
        try:
            yield seq, decode_event(tx.open(row[-1], f"events/{seq}/body"))
        except (SealBroken, ProtocolError) as error:
            yield seq, f"it cannot be read: {error}"
    yield from ((missing, _MISSING) for missing in range(expected, last + 1))


def saved_events_of(
    tx: Transaction, tags: Sequence[str], after: int, upto: int, limit: int
) -> Iterator[AnyEvent]:
    """Yield up to `limit` readable events of some kinds (the tags of their types), in order."""
    marks = ", ".join("?" * len(tags))
    found = tx.execute(
        f"SELECT seq, body FROM events WHERE seq > ? AND seq <= ? AND type IN ({marks}) ORDER BY seq",
        (after, upto, *tags),
    )
    for seq, body in found:
        if limit <= 0:
            return
        with suppress(SealBroken, ProtocolError):
            yield decode_event(tx.open(body, f"events/{seq}/body"))
            limit -= 1


def saved_event(tx: Transaction, seq: int) -> Iterator[AnyEvent]:
    """Yield the event of this number if it is there and can be read."""
    for (body,) in tx.execute("SELECT body FROM events WHERE seq = ?", (seq,)):
        with suppress(SealBroken, ProtocolError):
            yield decode_event(tx.open(body, f"events/{seq}/body"))
