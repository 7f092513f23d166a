"""Read the events of a session's file, whole or damaged, without changing it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, open_private
from omni_tui.memory.salvage import readable_copy, rows, wal_state
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, Transaction, reason
from omni_tui.memory.writer import event_count_in_lock
from omni_tui.protocol import AnyEvent, ProtocolError, decode_event

_MISSING = "it is missing"


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
        """Yield the readable events, oldest first.

        Raises `JournalBusy` if a process has the session open, `JournalBroken` if nothing can be read,
        `OSError`.
        """
        os.close(open_private(self._path, os.O_RDONLY))
        told = self._path.with_suffix(".lock")
        lock = FileLock(told)
        kept = told.exists()
        if kept and not lock.acquire(0.5):
            raise JournalBusy(f"session {self._session} is open in another omni-tui; close it there first")
        try:
            expected = (
                event_count_in_lock(self._path.with_suffix(".lock"), self._session, self._vault)
                if kept
                else 0
            )
            with tempfile.TemporaryDirectory(prefix="omni-tui-") as folder:
                copy = Path(folder) / self._path.name
                readable_copy(self._path, copy)
                yield from self._read(copy, expected)
        finally:
            lock.release()

    def _read(self, copy: Path, expected: int) -> Iterator[AnyEvent]:
        if self._path.stat().st_size == 0:
            raise JournalBroken(f"the session's file {self._path} is empty; it is left as it is")
        lost = wal_state(copy).lost
        try:
            with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
                found = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
                sealer = self._vault.unwrap(found[0] if found else b"", f"key of {self._session}")
                told = connection.execute("SELECT value FROM meta WHERE name = 'events'").fetchone()
                if told and isinstance(told[0], int):
                    expected = max(expected, told[0])
                last = 0
                for seq, event in saved_events(Transaction(connection, sealer, self._session)):
                    last = seq
                    if isinstance(event, str):
                        self.unread += 1
                    else:
                        yield event
        except SealBroken:
            raise JournalBroken(
                f"the key that session {self._session} was saved with is not here (now in use: "
                f"{self._vault.kind})"
            ) from None
        except sqlite3.Error as error:
            raise JournalBroken(
                f"the session's file {self._path} is damaged ({reason(error)}); it is left as it is"
            ) from error
        self.unread += max(0, expected - last, lost if not expected else 0)


def saved_events(tx: Transaction, after: int = 0) -> Iterator[tuple[int, AnyEvent | str]]:
    """Yield the number of each event after `after`, with the event or why it cannot be read.

    Events are numbered without gaps: a missing number is a lost event.
    """
    expected = after + 1
    for row in rows(tx, "events", after):
        seq = row[0]
        yield from ((missing, _MISSING) for missing in range(expected, seq))
        expected = seq + 1
        try:
            yield seq, decode_event(tx.open(row[-1], f"events/{seq}/body"))
        except (SealBroken, ProtocolError) as error:
            yield seq, f"it cannot be read: {error}"
