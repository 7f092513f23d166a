"""Look at a session's journal without its lock: nothing is written, and who has it open notices nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from omni_tui.memory.crypto import SealBroken, Sealer, Vault
from omni_tui.memory.saved_session import saved_copy
from omni_tui.memory.session_keys import key_places, open_key
from omni_tui.memory.snapshot import OpenHere, look
from omni_tui.memory.sqlite import JournalBroken, JournalBusy, Transaction, reason


@contextmanager
def session_view(path: Path, session: str, vault: Vault) -> Iterator[Transaction]:
    """Open what is saved of a session for reading; of a damaged file what can be read of it.

    Raises `JournalBroken` if nothing can be read, or if this process has the session open: then it is to be
    read through its journal. `OSError`.
    """
    try:
        found = _whole(path, session, vault)
        if found is None:
            with saved_copy(path, session, vault) as copy:
                if not copy.tx.execute("SELECT 1 FROM events LIMIT 1").fetchone():
                    raise JournalBroken(f"nothing of {path} can be read")
                yield copy.tx
            return
    except (OpenHere, JournalBusy) as error:
        raise JournalBroken(str(error)) from None
    connection, sealer = found
    with closing(connection):
        try:
            yield Transaction(connection, sealer, session)
        except sqlite3.Error as error:
            raise JournalBroken(f"the session's file {path} cannot be read: {reason(error)}") from error


def _whole(path: Path, session: str, vault: Vault) -> tuple[sqlite3.Connection, Sealer] | None:
    """Return a connection to what is saved, and the session's key; None if it looks damaged."""
    try:
        connection = look(path)
    except sqlite3.Error:
        return None
    try:
        (wrapped,) = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
        _, sealer = open_key(vault, session, key_places(path, session, wrapped))
    except (sqlite3.Error, SealBroken, TypeError):
        connection.close()
        return None
    return connection, sealer
