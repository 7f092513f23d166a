"""Look into another program's SQLite database: a copy is read, with limits; the file is not touched.

A database from anywhere may hold views, triggers and columns that compute for ever. Only ordinary tables
are read, by their columns, and every query has a limited number of steps.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omni_tui.conversations.document import UnreadableFile
from omni_tui.security.files import open_regular
from omni_tui.security.text import safe_line

LARGEST = 512 * 1024 * 1024
"""Bytes of a database with its log."""
MOST_ROWS = 500_000
MAGIC = b"SQLite format 3\x00"
_LONGEST_VALUE = 16_000_000
_STEPS = 1_000_000
_MOST_STEPS = 2_000
"""How many times `_STEPS` instructions a file may cost: about a minute."""

Value = str | bytes | int | float | None


class ForeignDatabase:
    """A copy of a database, open for reading."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._tables = {
            str(name)
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
            )
        }

    def has(self, *tables: str) -> bool:
        """Whether there are such tables."""
        return self._tables.issuperset(tables)

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's plain columns: a computed one is left out."""
        found = self._connection.execute(f"PRAGMA table_xinfo({table})")
        return {str(row[1]) for row in found if row[6] == 0}

    def rows(self, table: str, columns: Sequence[str], order: str = "rowid") -> Iterator[dict[str, Value]]:
        """Yield the rows of a table; a column that it lacks is None. Names come from this package only."""
        there = self.columns(table)
        picked = ", ".join(f'"{name}"' if name in there else "NULL" for name in columns)
        query = f'SELECT {picked} FROM "{table}" ORDER BY "{order}" LIMIT {MOST_ROWS + 1}'
        for number, row in enumerate(self._connection.execute(query)):
            if number >= MOST_ROWS:
                raise UnreadableFile(f"its table {table} has more than {MOST_ROWS:,} rows")
            yield dict(zip(columns, row, strict=True))


@contextmanager
def foreign_database(path: Path) -> Iterator[ForeignDatabase]:
    """Open a copy of a database and of its log. Raises `UnreadableFile`, `OSError`."""
    with tempfile.TemporaryDirectory(prefix="omni-tui-import-") as folder:
        copy = Path(folder) / "copy.db"
        _copy(path, copy)
        log = path.with_name(f"{path.name}-wal")
        if log.is_file():
            _copy(log, copy.with_name("copy.db-wal"))
        connection = sqlite3.connect(copy, isolation_level=None)
        left = _MOST_STEPS

        def step() -> int:
            nonlocal left
            left -= 1
            return left < 0

        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            connection.set_progress_handler(step, _STEPS)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("PRAGMA query_only = ON")
            connection.text_factory = _as_text
            yield ForeignDatabase(connection)
        except sqlite3.Error as error:
            raise UnreadableFile(f"its database cannot be read: {safe_line(str(error))}") from None
        finally:
            connection.close()


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _copy(source: Path, target: Path) -> None:
    with open_regular(source) as file:
        size = file.seek(0, 2)
        if size > LARGEST:
            raise UnreadableFile(
                f"it is too large: {size / 1e6:,.0f} MB; at most {LARGEST / 1e6:,.0f} MB are read"
            )
        file.seek(0)
        with target.open("wb") as copy:
            shutil.copyfileobj(file, copy)


def text_of(value: Value) -> str:
    """Return a value if it is a text, "" otherwise."""
    return value if isinstance(value, str) else ""
