"""Repair the damaged file of a session: what SQL can read goes into a new file, the old one is kept.

SQLite reads a write-ahead log up to the first frame with a wrong checksum and silently drops the rest.
`wal_state` counts those frames before the file is opened and anything is overwritten. Layout and checksum:
https://www.sqlite.org/fileformat2.html, section 4.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path
from typing import Any, Protocol

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import open_private, sync_dir
from omni_tui.security.files import open_regular

_HEADER = 32
_FRAME = 24
_LITTLE = 0x377F0682
_BIG = 0x377F0683
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class WalState:
    """`read`: commits that SQLite takes from the log; `lost`: commits after the first broken frame."""

    read: int = 0
    lost: int = 0


def wal_state(path: Path) -> WalState:
    """Count the commits in the log of the database at `path`; zero if there is none.

    A log with a broken header counts as one lost commit: SQLite drops all of it. Takes about 0.1 ms a
    frame. Raises `OSError`.
    """
    try:
        data = Path(f"{path}-wal").read_bytes()
    except FileNotFoundError:
        return WalState()
    if len(data) < _HEADER + _FRAME:
        return WalState()  # it has no commits
    magic, version, size, _, *salt = struct.unpack_from(">6I", data)
    order = "<" if magic == _LITTLE else ">"
    sums = _checksum(order, data[:24])
    if magic not in (_LITTLE, _BIG) or version != 3_007_000 or sums != struct.unpack_from(">2I", data, 24):
        return WalState(lost=1)
    read = lost = 0
    whole = True
    for at in range(_HEADER, len(data) - _FRAME - size + 1, _FRAME + size):
        number, commit, *salts = struct.unpack_from(">4I", data, at)
        if salts != salt or not number:
            if whole:
                break  # left over from before the log was restarted
            continue
        if whole:
            sums = _checksum(order, data[at : at + 8], sums)
            sums = _checksum(order, data[at + _FRAME : at + _FRAME + size], sums)
            whole = sums == struct.unpack_from(">2I", data, at + 16)
        if commit:
            read, lost = (read + 1, lost) if whole else (read, lost + 1)
    return WalState(read, lost)


def _checksum(order: str, data: bytes, before: tuple[int, ...] = (0, 0)) -> tuple[int, int]:
    first, second = before
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second


_GIVE_UP = 20_000
"""After this many unreadable rows in a row, reading stops."""
_LARGEST = 1 << 36
_TABLES = {"events": 5, "calls": 17, "results": 4, "tasks": 3}
"""The tables of a session, and their numbers of columns."""


class JournalDamaged(Exception):
    """SQLite found a session's file damaged; the text says how."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """The result of a repair: how many events were read, and where the damaged file is kept."""

    read: int
    kept: Path


class SqlExecutor(Protocol):
    """Runs SQL: a connection, or a transaction."""

    def execute(self, sql: str, params: tuple[int | str, ...] = (), /) -> sqlite3.Cursor:
        """Run one statement."""
        ...


def keep_copies(path: Path) -> Path:
    """Copy a session's file and its log to a free name, and return the file's.

    Existing copies are not made again. Nobody may have the session open. Raises `OSError`.
    """
    kept, there = _name_for(path)
    if there:
        return kept
    for end in ("", "-wal"):
        source = Path(f"{path}{end}")
        if source.exists():
            with (
                source.open("rb") as old,
                os.fdopen(
                    open_private(Path(f"{kept}{end}"), os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb"
                ) as new,
            ):
                shutil.copyfileobj(old, new)
                new.flush()
                os.fsync(new.fileno())
    sync_dir(path.parent)
    return kept


def readable_copy(path: Path, copy: Path) -> None:
    """Copy a session's file and log for SQL to read.

    A truncated file is filled with zeros: SQLite reads nothing of a file that is shorter than its first
    page says. Nobody may have the session open. Raises `OSError`.
    """
    for end in ("", "-wal"):
        if Path(f"{path}{end}").exists():
            target = open_private(Path(f"{copy}{end}"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with open_regular(f"{path}{end}") as old, os.fdopen(target, "wb") as new:
                shutil.copyfileobj(old, new)
    with copy.open("r+b") as file:
        head = file.read(32)
        # Page size and number of pages: https://www.sqlite.org/fileformat2.html, section 1.3.
        size, pages = int.from_bytes(head[16:18]) or 0, int.from_bytes(head[28:32])
        whole = (65536 if size == 1 else size) * pages
        if head.startswith(b"SQLite format 3\0") and file.seek(0, os.SEEK_END) < whole <= _LARGEST:
            file.truncate(whole)


def salvage(path: Path, session: str, vault: Vault, schema: str, version: int) -> Salvage | None:
    """Replace the damaged file at `path` by one with all rows that SQL can read.

    `schema` are the statements that create the tables, `version` their version. Returns None and changes
    nothing if the session's key cannot be read: the rows would be useless. The caller holds the session's
    lock. Raises `OSError`, `sqlite3.Error` if the new file cannot be made.
    """
    kept = keep_copies(path)
    new, work = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.work")
    _remove(new)
    _remove(work)
    try:
        readable_copy(path, work)
        with closing(sqlite3.connect(work, isolation_level=None)) as damaged:
            meta = _meta(damaged)
            try:
                vault.unwrap(meta["key"], f"key of {session}")
            except (KeyError, TypeError, SealBroken):
                _remove(kept)
                return None
            os.close(open_private(new, os.O_RDWR | os.O_CREAT | os.O_EXCL))
            read = _write(new, schema, {**meta, "schema": version}, damaged)
    except BaseException:
        _remove(new)
        _remove(kept)
        raise
    finally:
        _remove(work)
    # In this order: SQLite would apply the old log to the new file.
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    new.replace(path)
    sync_dir(path.parent)
    return Salvage(read, kept)


def rows(connection: SqlExecutor, table: str, after: int = 0) -> Iterator[tuple[Any, ...]]:
    """Yield `(rowid, *columns)` of a table in order; skip unreadable rows."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
        return
    after_that = f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid"
    at, missed = after, 0
    while missed < _GIVE_UP:
        try:
            for row in connection.execute(after_that, (at,)):
                if row[0] > at:  # a damaged page can hold any number
                    at, missed = row[0], 0
                    yield row
        except sqlite3.DatabaseError:
            at, missed = at + 1, missed + 1
            yield from _one(connection, table, at)
        else:
            return


def _one(connection: SqlExecutor, table: str, at: int) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(f"SELECT rowid, * FROM {table} WHERE rowid = ?", (at,)).fetchall()
    except sqlite3.DatabaseError:
        return []


def _meta(connection: sqlite3.Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("schema", "session", "created", "key", "key_id", "title", "closed", "events"):
        try:
            row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        except sqlite3.DatabaseError:
            continue
        if row is not None:
            found[name] = row[0]
    return found


def _write(path: Path, schema: str, meta: dict[str, Any], damaged: sqlite3.Connection) -> int:
    """Make the new file and return its number of events."""
    events = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL").close()
        connection.execute("BEGIN")
        for statement in filter(str.strip, schema.split(";")):
            connection.execute(statement)
        for name, value in {"title": b"", "created": 0.0, **meta, "closed": "open"}.items():
            connection.execute("INSERT INTO meta VALUES (?, ?)", (name, value))
        for table, width in _TABLES.items():
            marks = ", ".join("?" * width)
            for row in rows(damaged, table):
                if len(row) == width + 1:
                    done = connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row[1:])
                    events += done.rowcount if table == "events" else 0
        connection.execute("COMMIT")
    return events


def _name_for(path: Path) -> tuple[Path, bool]:
    """Return the name for the copies of a file, and whether they exist already."""
    number = 1
    while True:
        name = path.with_name(f"{path.name}.damaged{'' if number == 1 else f'.{number}'}")
        if not any(Path(f"{name}{end}").exists() for end in ("", "-wal")):
            return name, False
        if all(_same(Path(f"{path}{end}"), Path(f"{name}{end}")) for end in ("", "-wal")):
            return name, True
        number += 1


def _same(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return one.exists() == other.exists()
    return cmp(one, other, shallow=False)


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{end}").unlink(missing_ok=True)
