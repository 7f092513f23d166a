"""Read a damaged session page by page, and write what is right into a new file.

The seal is the checksum: a row found anywhere whose body opens as what it says it is, is right, whatever
SQLite thinks of its page. The damaged file is kept beside the new one until the session is deleted.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from filecmp import cmp
from pathlib import Path
from typing import Any, get_args

from omni_tui.memory.crypto import SealBroken, Sealer, Vault
from omni_tui.memory.private_files import open_private, sync_dir
from omni_tui.memory.snapshot import read_files
from omni_tui.memory.sqlite_pages import Column, all_rows, read_log
from omni_tui.protocol import ProtocolError, decode_event
from omni_tui.protocol.events import CallChanged, CallFinished, CallProposed
from omni_tui.protocol.values import CallState
from omni_tui.security.files import open_regular

WRAPPED = 69
"""Bytes of a wrapped key."""
_UNSENT = ("pending", "held", "approved")
_STATES: frozenset[str] = frozenset(get_args(CallState))
_FACTS = (
    "schema",
    "session",
    "created",
    "key",
    "key_id",
    "title",
    "tags",
    "closed",
    "events",
    "audit",
    "used",
)
_ENDINGS = ("", "-wal")
_CALL = ("call", "turn", "step", "agent", "origin", "server", "tool", "server_fp", "def_hash", "args",
         "args_hash", "state", "attempt", "nonce", "decider", "provider_call_id", "created")  # fmt: skip
_STATE, _ATTEMPT = _CALL.index("state"), _CALL.index("attempt")

Values = tuple[Column, ...]


def lost_commits(path: Path) -> int:
    """Return how many commits in the log of the database at `path` SQLite would drop, all being well 0.

    Raises `OSError`.
    """
    try:
        with open_regular(f"{path}-wal") as file:
            return read_log(file.read()).lost
    except FileNotFoundError:
        return 0


@dataclass(slots=True)
class Salvaged:
    """What was read of a session, by the number of the row or the id of the call.

    `expected` is how many events there should be.
    """

    wrapped: bytes
    sealer: Sealer
    session: str
    expected: int
    facts: dict[str, Column] = field(default_factory=dict)
    events: dict[int, Values] = field(default_factory=dict)
    calls: dict[str, tuple[int, Values]] = field(default_factory=dict)
    results: dict[tuple[str, int], Values] = field(default_factory=dict)
    tasks: dict[tuple[str, int], Values] = field(default_factory=dict)
    audit: dict[int, Values] = field(default_factory=dict)
    _told: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    _proposed: dict[str, CallProposed] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether no event is missing."""
        return len(self.events) >= self.expected

    def take(self, rows: Iterable[tuple[int | None, Values]]) -> None:
        """Take the rows that are right. The first of several with one number counts."""
        kinds: dict[int, Callable[[int, Values], None]] = {
            5: self._event, 17: self._call, 4: self._result, 3: self._task, 16: self._entry
        }  # fmt: skip
        for number, values in rows:
            with suppress(SealBroken, ValueError, TypeError):
                if number is not None and len(values) in kinds:
                    kinds[len(values)](number, values)
                elif number is None and len(values) == 2 and values[0] in _FACTS:
                    self.facts.setdefault(str(values[0]), values[1])

    def end(self) -> None:
        """Work out how many events there should be, and what is known of each call."""
        noted = self.facts.get("events")
        noted = noted if isinstance(noted, int) else 0
        self.expected = max(self.expected, noted, *self.events, 0)
        for call, (number, values) in self.calls.items():
            self.calls[call] = number, self._settled(call, values)

    def _open(self, sealed: Column, place: str) -> bytes:
        if not isinstance(sealed, bytes):
            raise SealBroken("a saved body is missing")
        return self.sealer.unseal(sealed, f"{self.session}/{place}")

    def _event(self, seq: int, values: Values) -> None:
        if seq in self.events or seq < 1:
            return
        _, ts, kind, call, body = values
        data = self._open(body, f"events/{seq}/body")
        try:
            event = decode_event(data)
        except ProtocolError:  # of a newer version
            if not (isinstance(ts, int | float) and isinstance(kind, str) and isinstance(call, str)):
                ts, kind, call = 0.0, "", ""
            self.events[seq] = (seq, ts, kind, call, body)
            return
        named = event.call if isinstance(event, CallChanged | CallFinished | CallProposed) else call
        tag = str(type(event).__struct_config__.tag)
        self.events[seq] = (seq, event.ts, tag, named if isinstance(named, str) else "", body)
        if isinstance(event, CallProposed):
            self._proposed[event.call] = event
        elif isinstance(event, CallChanged | CallFinished) and seq > self._told.get(event.call, (0,))[0]:
            cached = isinstance(event, CallFinished) and event.cached_s is not None
            self._told[event.call] = seq, event.attempt, "cached" if cached else event.state

    def _call(self, number: int, values: Values) -> None:
        call = values[0]
        if isinstance(call, str) and call not in self.calls:
            row = dict(zip(_CALL, values, strict=True))
            self._open(row["args"], f"calls/{call}/args/{row['args_hash']!s}")
            numbers = (row["step"], row["attempt"], row["created"])
            if all(isinstance(each, int | float) for each in numbers):
                self.calls[call] = number, values

    def _settled(self, call: str, values: Values) -> Values:
        """Return a call with the state it really had: its row may be older than its last event.

        In doubt it was being sent. The next start makes it uncertain.
        """
        row = list(values)
        _, attempt, told = self._told.get(call, (0, 0, "pending"))
        own, state = row[_ATTEMPT], row[_STATE]
        if (proposed := self._proposed.get(call)) is not None:
            row[_CALL.index("server")], row[_CALL.index("tool")] = proposed.server, proposed.tool
        behind = isinstance(own, int) and attempt > own
        if behind or state in (*_UNSENT, "dispatching") or state not in _STATES:
            if told not in (*_UNSENT, "dispatching"):
                row[_STATE] = told
            elif behind or not self.whole or told not in _UNSENT or state not in _UNSENT:
                row[_STATE] = "dispatching"
            row[_ATTEMPT] = max(attempt, own) if isinstance(own, int) else attempt or 1
        return tuple(row)

    def _result(self, _: int, values: Values) -> None:
        call, attempt, _size, data = values
        if isinstance(call, str) and isinstance(attempt, int) and (call, attempt) not in self.results:
            opened = self._open(data, f"results/{call}/{attempt}/data")
            self.results[call, attempt] = (call, attempt, len(opened), data)

    def _task(self, _: int, values: Values) -> None:
        call, attempt, body = values
        if isinstance(call, str) and isinstance(attempt, int) and (call, attempt) not in self.tasks:
            self._open(body, f"tasks/{call}/{attempt}/body")
            self.tasks[call, attempt] = values

    def _entry(self, entry: int, values: Values) -> None:
        kinds = (int, int | float, *[str] * 3, int, *[str] * 6, bytes, str, str)
        right = all(isinstance(each, kind) for each, kind in zip(values[1:], kinds, strict=True))
        if entry > 0 and right:
            self.audit.setdefault(entry, (entry, *values[1:]))


def read_damaged(
    path: Path, session: str, vault: Vault, wrapped: Sequence[bytes] = (), expected: int = 0
) -> Salvaged | None:
    """Return what can be read of a session's file, its log, and damaged copies kept of both.

    `wrapped`: where else the session's wrapped key was found; `expected`: how many events are known of.
    None if its key is nowhere. Raises `OSError`, and `OpenHere`.
    """
    files = [read_files(path), *(read_files(each) for each in kept_copies(path))]
    parts = (part for data, log in files for part in (data, log.data))
    for candidate in itertools.chain(wrapped, *(_keys_in(part, vault) for part in parts)):
        try:
            sealer = vault.unwrap(candidate, f"key of {session}")
        except SealBroken:
            continue
        found = Salvaged(candidate, sealer, session, expected)
        for data, log in files:
            found.take(all_rows(data, log))
        found.end()
        return found
    return None


def _keys_in(data: bytes, vault: Vault) -> Iterator[bytes]:
    for name in vault.ids:
        mark = b"\x01" + bytes.fromhex(name)
        at = data.find(mark)
        while at >= 0:
            yield data[at : at + WRAPPED]
            at = data.find(mark, at + 1)


def write_salvaged(
    connection: sqlite3.Connection, found: Salvaged, schema: str, version: int, key_id: str
) -> None:
    """Write what was read into an empty database. `schema`: the statements that make its tables."""
    created = found.facts.get("created")
    begun = min(
        (values[1] for values in found.events.values() if isinstance(values[1], float)), default=0.0
    )
    facts: dict[str, Column] = {
        "title": b"",
        **found.facts,
        "schema": version,
        "session": found.session,
        "created": created if isinstance(created, int | float) else begun,
        "key": found.wrapped,
        "key_id": key_id,
        "closed": "open",
        "events": found.expected,
        "lost": found.expected - len(found.events),
    }
    connection.execute("BEGIN")
    for statement in filter(str.strip, schema.split(";")):
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
    marks = {width: ", ".join("?" * width) for width in (3, 4, 5, 16, 18)}
    connection.executemany(f"INSERT INTO events VALUES ({marks[5]})", _sorted(found.events))
    calls = ((number, *values) for number, values in sorted(found.calls.values()))
    connection.executemany(
        f"INSERT OR IGNORE INTO calls (rowid, {', '.join(_CALL)}) VALUES ({marks[18]})", calls
    )
    connection.executemany(f"INSERT INTO results VALUES ({marks[4]})", _sorted(found.results))
    connection.executemany(f"INSERT INTO tasks VALUES ({marks[3]})", _sorted(found.tasks))
    connection.executemany(f"INSERT INTO audit VALUES ({marks[16]})", _sorted(found.audit))
    connection.execute("COMMIT")


def _sorted(rows: dict[int, Values] | dict[tuple[str, int], Values]) -> Iterator[Values]:
    return (values for _, values in sorted(rows.items()))


# --- files ------------------------------------------------------------------------------------------


def kept_copies(path: Path) -> list[Path]:
    """Return the damaged copies kept of a session's file, newest first."""
    kept: list[Path] = []
    for number in itertools.count(1):
        copy = _copy_name(path, number)
        if not any(os.path.lexists(f"{copy}{end}") for end in _ENDINGS):
            return kept[::-1]
        kept.append(copy)
    raise AssertionError


def _copy_name(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.damaged{'' if number == 1 else f'.{number}'}")


def replace_damaged(path: Path, found: Salvaged, schema: str, version: int, key_id: str) -> Path:
    """Put a new file with what was read in the place of a damaged one, and return where that is kept.

    The caller holds the session's lock, and nobody has the file open. Raises `OSError`, `sqlite3.Error`;
    then the damaged file is in its place.
    """
    new = new_file(path)
    _remove(new)
    try:
        os.close(open_private(new, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL").close()
            write_salvaged(connection, found, schema, version, key_id)
        return put_in_place(new, path)
    except BaseException:
        _remove(new)
        raise


def was_cut_off(path: Path) -> bool:
    """Whether the app ended while a new file was to take the place of a session's.

    The former file may have lost its log by then; both are among what was kept.
    """
    return os.path.lexists(new_file(path))


def new_file(path: Path) -> Path:
    """Return where a new file is written that is to take the place of a session's."""
    return path.with_name(f"{path.name}.new")


def put_in_place(new: Path, path: Path) -> Path:
    """Replace a session's file by a new one, and return where the former and its log are kept.

    Raises `OSError`; then nothing has changed.
    """
    kept = keep(path)
    # In this order: SQLite would apply the old log to the new file. Until that is in its place it shows
    # that this was cut off (`was_cut_off`), and what was kept is read.
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    new.replace(path)
    sync_dir(path.parent)
    return kept


def keep(path: Path) -> Path:
    """Keep a session's file and its log under a free name, and return the file's. Each is kept once."""
    copies = kept_copies(path)
    for copy in copies:
        if all(_same(Path(f"{path}{end}"), Path(f"{copy}{end}")) for end in _ENDINGS):
            return copy
    kept = _copy_name(path, len(copies) + 1)
    for end in _ENDINGS:
        if os.path.lexists(f"{path}{end}"):
            _keep(Path(f"{path}{end}"), Path(f"{kept}{end}"))
    sync_dir(path.parent)
    return kept


def _keep(file: Path, kept: Path) -> None:
    try:
        kept.hardlink_to(file)  # needs no room on a disk that may be full
    except OSError:
        target = open_private(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open_regular(file) as old, os.fdopen(target, "wb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())


def _same(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return one.exists() == other.exists()
    return cmp(one, other, shallow=False)


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{end}").unlink(missing_ok=True)


def rows(execute: Callable[..., sqlite3.Cursor], table: str, after: int = 0) -> Iterator[tuple[Any, ...]]:
    """Yield `(rowid, *columns)` of a table in order. Nothing for a table that is not there."""
    if execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
        yield from execute(f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid", (after,))
