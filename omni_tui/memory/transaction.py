"""One transaction of a session's database: statements, and bodies sealed for their place."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from omni_tui.memory.crypto import SealBroken, Sealer

Value = str | int | float | bytes | None
"""The value of a column."""


class Transaction:
    """One transaction. Valid only while the function that gets it runs."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer, session: str) -> None:
        self._connection = connection
        self._sealer = sealer
        self._session = session

    def execute(self, sql: str, params: Sequence[Value] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, params)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each of some rows."""
        self._connection.executemany(sql, rows)

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt a body for this place in this session (`context`: table, row, column).

        A long one is compressed first.
        """
        return self._sealer.seal_packed(data, f"{self._session}/{context}")

    def digest(self, data: bytes, purpose: str) -> str:
        """Return the HMAC-SHA-256 of `data` in hex, keyed by this session and for one purpose."""
        return self._sealer.digest(f"{purpose} of {self._session}\n".encode() + data)

    def open(self, sealed: Value, context: str) -> bytes:
        """Return what was sealed for this place. Raises `SealBroken`, also for a missing body."""
        if not isinstance(sealed, bytes):
            raise SealBroken("a saved body is missing")
        return self._sealer.unseal(sealed, f"{self._session}/{context}")
