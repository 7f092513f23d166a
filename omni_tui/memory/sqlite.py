"""One session's database: one connection under a lock; a commit is on disk when it returns.

SQLite before 3.51.3, which most Pythons have, can lose data with two connections to one file in WAL mode.
Therefore there is exactly one, in exclusive mode, and readers go through its thread.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from omni_tui.memory.crypto import SealBroken, Sealer, Vault
from omni_tui.memory.private_files import open_private, private_dir, sync_dir
from omni_tui.memory.salvage import JournalDamaged, keep_copies, salvage, wal_state

SCHEMA_VERSION = 2

Value = str | int | float | bytes | None
"""The value of a column."""

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, ts REAL NOT NULL, type TEXT NOT NULL, call TEXT NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE calls (
    call TEXT NOT NULL UNIQUE, turn TEXT NOT NULL, step INTEGER NOT NULL, agent TEXT NOT NULL,
    origin TEXT NOT NULL, server TEXT NOT NULL, tool TEXT NOT NULL, server_fp TEXT NOT NULL,
    def_hash TEXT NOT NULL, args BLOB NOT NULL, args_hash TEXT NOT NULL, state TEXT NOT NULL,
    attempt INTEGER NOT NULL, nonce TEXT NOT NULL, decider TEXT NOT NULL,
    provider_call_id TEXT NOT NULL, created REAL NOT NULL);
CREATE INDEX calls_of_turn ON calls (turn, step, provider_call_id);
CREATE TABLE results (call TEXT NOT NULL, attempt INTEGER NOT NULL, size INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (call, attempt));
CREATE TABLE tasks (call TEXT NOT NULL, attempt INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (call, attempt));
"""
_MIGRATIONS = {
    1: """
CREATE TABLE tasks (call TEXT NOT NULL, attempt INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (call, attempt));
""",
}
"""Statements that migrate a file from a schema version to the next."""
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the disk or the file is read-only",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is damaged",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_NOMEM: "memory ran out",
    sqlite3.SQLITE_PERM: "the file may not be used",
    sqlite3.SQLITE_AUTH: "the file may not be used",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class JournalBusy(Exception):
    """Another program, or another part of this one, has the session open."""


class JournalBroken(Exception):
    """The session cannot be opened or written; the text says why and what to do."""


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_fatal(error: BaseException) -> bool:
    """Whether writing must stop after this error."""
    return isinstance(error, sqlite3.Error) and _code(error) in _REASONS


def reason(error: BaseException) -> str:
    """Return why a database failed, in words."""
    return _REASONS.get(_code(error), str(error))


class Transaction:
    """One transaction. Valid only while the function that gets it runs."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer, session: str) -> None:
        self._connection = connection
        self._sealer = sealer
        self._session = session

    def execute(self, sql: str, params: Sequence[Value] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, params)

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt a body for this place in this session (`context`: table, row, column)."""
        return self._sealer.seal(data, f"{self._session}/{context}")

    def open(self, sealed: Value, context: str) -> bytes:
        """Return what was sealed for this place. Raises `SealBroken`, also for a missing body."""
        if not isinstance(sealed, bytes):
            raise SealBroken("a saved body is missing")
        return self._sealer.unseal(sealed, f"{self._session}/{context}")


class Database:
    """The open file of one session, used from one thread.

    `closed`: how it was closed last time (`new`, `open` after a crash, `parked`, `clean`). `damage`: what
    opening found damaged and how it was repaired, "" if nothing.
    """

    def __init__(self, path: Path, session: str, vault: Vault) -> None:
        """Open or create it. Raises `JournalBroken`, `OSError`. The caller holds the session's lock.

        A damaged file is kept, and replaced by one with everything that can be read of it.
        """
        self.path = path
        self.damage = ""
        private_dir(path.parent)
        new = not os.path.lexists(path)
        os.close(open_private(path, os.O_RDWR | os.O_CREAT))
        sync_dir(path.parent)
        if new:
            self._begin(session, vault)
            return
        self._look_before_opening()
        try:
            self._open(session, vault, new=False)
        except JournalDamaged as damaged:
            self._salvage(session, vault, str(damaged))
            try:
                self._open(session, vault, new=False)
            except JournalDamaged as again:
                raise JournalBroken(_hopeless(path, str(again))) from again

    def _begin(self, session: str, vault: Vault) -> None:
        try:
            self._open(session, vault, new=True)
        except BaseException as error:
            # Nothing was saved in it, and an unfinished file would look like a lost session.
            for end in ("", "-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
            if isinstance(error, JournalDamaged):
                raise JournalBroken(f"the session in {self.path} cannot be begun: {error}") from error
            raise

    def _look_before_opening(self) -> None:
        """Copy what opening would lose. Raises `JournalBroken` for an empty file."""
        if self.path.stat().st_size == 0:
            raise JournalBroken(
                f"the session's file {self.path} is empty: what it held is lost, or nothing was saved in "
                "it. It is left as it is; start a new session, or restore the file from a backup"
            )
        if lost := wal_state(self.path).lost:
            kept = keep_copies(self.path)
            self.damage = (
                f"the session's write-ahead log is damaged: its last {lost} writes cannot be read. "
                f"The file and its log were kept as {kept}"
            )

    def _open(self, session: str, vault: Vault, *, new: bool) -> None:
        self.connection = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
        try:
            self._configure()
            if new:
                self._create(session, vault)
            elif self._is_new():
                raise JournalBroken(
                    f"the session's file {self.path} holds nothing: its write-ahead log is missing. It is "
                    "left as it is; start a new session, or restore both from a backup"
                )
            self.closed = "new" if new else str(self._meta("closed"))
            sealer = self._check(session, vault)
            self.tx = Transaction(self.connection, sealer, session)
            self.set_meta("closed", "open")
        except sqlite3.Error as error:
            self.connection.close()
            if _code(error) in _DAMAGED:
                raise JournalDamaged(str(error)) from error
            raise JournalBroken(f"the session in {self.path} cannot be opened: {reason(error)}") from error
        except BaseException:
            self.connection.close()
            raise

    def _salvage(self, session: str, vault: Vault, what: str) -> None:
        try:
            saved = salvage(self.path, session, vault, _SCHEMA, SCHEMA_VERSION)
        except sqlite3.Error as error:
            raise JournalBroken(_hopeless(self.path, f"{what}; {reason(error)}")) from error
        if saved is None:
            raise JournalBroken(_hopeless(self.path, f"{what}; its key cannot be read, or is not here"))
        self.damage = (
            f"the session's file was damaged ({what}): {saved.read} saved events could be read. "
            f"The damaged file is kept as {saved.kept}"
        )

    @property
    def crashed(self) -> bool:
        """Whether the session was not closed last time."""
        return self.closed == "open"

    def _configure(self) -> None:
        run = self.connection.execute
        # Exclusive before the first access: no shared-memory file, no second connection.
        run("PRAGMA locking_mode=EXCLUSIVE")
        # A list of sessions may have left one; it belongs to no connection now.
        Path(f"{self.path}-shm").unlink(missing_ok=True)
        (mode,) = run("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise JournalBroken(
                f"the file system of {self.path.parent} cannot hold sessions (no write-ahead log)"
            )
        for setting in (
            "synchronous=FULL",
            "fullfsync=ON",
            "checkpoint_fullfsync=ON",
            "secure_delete=ON",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "wal_autocheckpoint=4000",
        ):
            run(f"PRAGMA {setting}").close()

    def _is_new(self) -> bool:
        found = self.connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()
        return bool(found[0] == 0)

    def _create(self, session: str, vault: Vault) -> None:
        _, wrapped = vault.new_key(f"key of {session}")
        self.connection.execute("BEGIN IMMEDIATE")
        for statement in filter(str.strip, _SCHEMA.split(";")):
            self.connection.execute(statement)
        first: dict[str, Value] = {"schema": SCHEMA_VERSION, "session": session, "created": time.time()}
        for name, value in {
            **first,
            "key": wrapped,
            "key_id": vault.id,
            "title": b"",
            "closed": "open",
        }.items():
            self.set_meta(name, value)
        self.connection.execute("COMMIT")
        # The key must not be in the log alone: losing the log would lose everything.
        self.checkpoint(whole=True)

    def _migrate(self) -> None:
        """Migrate the file of an older version, wholly or not at all."""
        version = self._meta("schema")
        if not isinstance(version, int) or version not in _MIGRATIONS:
            return
        self.connection.execute("BEGIN IMMEDIATE")
        while version in _MIGRATIONS:
            for statement in filter(str.strip, _MIGRATIONS[version].split(";")):
                self.connection.execute(statement)
            version += 1
        self.set_meta("schema", version)
        self.connection.execute("COMMIT")

    def _check(self, session: str, vault: Vault) -> Sealer:
        if self._meta("schema") not in (SCHEMA_VERSION, *_MIGRATIONS):
            raise JournalBroken(
                f"{self.path} was written by another version of omni-tui; update, then open it again"
            )
        if self._meta("session") != session:
            raise JournalBroken(f"{self.path} holds another session; give the file its own name back")
        if self.closed != "new":
            (verdict,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise JournalDamaged(str(verdict).strip().splitlines()[-1])
        try:
            sealer = vault.unwrap(self._meta("key"), f"key of {session}")
        except SealBroken:
            raise JournalBroken(
                f"the key that session {session} was saved with is not here (now in use: {vault.kind}); "
                "bring it back, or start a new session"
            ) from None
        self._migrate()
        return sealer

    def _meta(self, name: str) -> Any:
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_meta(self, name: str, value: Value) -> None:
        """Write one value about the session."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def created(self) -> float:
        """Return when the session began, in Unix seconds."""
        return float(self._meta("created"))

    def last_moment(self) -> float:
        """Return the time of the last event in Unix seconds, 0 if there is none."""
        found = self.connection.execute("SELECT ts FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        return float(found[0]) if found else 0.0

    def told(self) -> int:
        """Return how many events there were when it was closed last time, 0 if unknown."""
        found = self._meta("events")
        return found if isinstance(found, int) else 0

    def head(self) -> int:
        """Return the number of the last event."""
        return int(self.connection.execute("SELECT ifnull(max(seq), 0) FROM events").fetchone()[0])

    def checkpoint(self, *, whole: bool = False) -> None:
        """Move commits from the log into the file; with `whole`, empty the log."""
        self.connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if whole else 'PASSIVE'})").close()

    def freeze(self) -> None:
        """Refuse all further writes; reads still work."""
        self.connection.execute("PRAGMA query_only=ON").close()

    def close(self, state: str) -> None:
        """Close, and record how (`clean` or `parked`)."""
        try:
            self.set_meta("events", self.head())
            self.set_meta("closed", state)
            self.checkpoint(whole=True)
        finally:
            self.connection.close()

    def abandon(self) -> None:
        """Close without writing: the next start finds it as after a crash."""
        self.connection.close()


def _hopeless(path: Path, what: str) -> str:
    return (
        f"the session's file {path} is damaged ({what}). It is left as it is; start a new session, or "
        "restore the file from a backup"
    )


def erase_key(path: Path) -> None:
    """Overwrite the wrapped key of a session: no key opens its bodies afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5.0)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA secure_delete=ON").close()
        connection.execute("UPDATE meta SET value = zeroblob(length(value)) WHERE name IN ('key', 'title')")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
