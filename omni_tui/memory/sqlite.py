"""One session's database: one connection under a lock; a commit is on disk when it returns.

SQLite before 3.51.3, which most Pythons have, can lose data with two connections to one file in WAL mode.
Therefore there is exactly one, in exclusive mode, and readers go through its thread.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from omni_tui.memory.backups import BackupFailed, save_backup
from omni_tui.memory.checkpoint import load_checkpoint
from omni_tui.memory.crypto import SealBroken, Sealer, Vault
from omni_tui.memory.disk_trouble import in_words, why_not_written
from omni_tui.memory.private_files import open_private, private_dir, write_new
from omni_tui.memory.salvage import (
    WRAPPED,
    kept_copies,
    new_file,
    put_in_place,
    read_damaged,
    replace_damaged,
    was_cut_off,
)
from omni_tui.memory.session_keys import keys_of, open_key
from omni_tui.memory.snapshot import closed_here, has_log, in_memory, log_of, look, opened_here, read_files
from omni_tui.memory.transaction import Transaction as Transaction
from omni_tui.memory.transaction import Value as Value
from omni_tui.memory.use_order import next_use

SCHEMA_VERSION = 4

_TASKS = """
CREATE TABLE tasks (call TEXT NOT NULL, attempt INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (call, attempt));
"""
_AUDIT = """
CREATE TABLE audit (
    entry INTEGER PRIMARY KEY, event INTEGER NOT NULL, ts REAL NOT NULL, action TEXT NOT NULL,
    actor TEXT NOT NULL, subject TEXT NOT NULL, attempt INTEGER NOT NULL, server TEXT NOT NULL,
    tool TEXT NOT NULL, server_fp TEXT NOT NULL, def_hash TEXT NOT NULL, args_hash TEXT NOT NULL,
    state TEXT NOT NULL, detail BLOB NOT NULL, previous TEXT NOT NULL, mac TEXT NOT NULL);
"""
SCHEMA = f"""
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
{_TASKS}{_AUDIT}"""
_MIGRATIONS = {1: _TASKS, 2: _AUDIT}
"""Statements that migrate a file from a schema version to the next."""
_UNPACKED = 3
"""The schema version before bodies were compressed. Its tables are those of today."""
_KNOWN = (SCHEMA_VERSION, _UNPACKED, *_MIGRATIONS)
_LARGE = 64 << 20
"""Bytes of a file that takes long to check."""
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
_OF_THE_DISK = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class JournalBusy(Exception):
    """Another program, or another part of this one, has the session open."""


class JournalBroken(Exception):
    """The session cannot be opened or written; the text says why and what to do."""


class NothingSaved(JournalBroken):
    """The file of a session is there, but the app ended before it saved anything in it."""


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_fatal(error: BaseException) -> bool:
    """Whether writing must stop after this error."""
    return isinstance(error, sqlite3.Error) and _code(error) in _REASONS


def reason(error: BaseException, folder: Path | None = None) -> str:
    """Return why a database failed, in words. In `folder` it is tried what the disk refuses."""
    if isinstance(error, OSError):
        return in_words(error)
    if folder is not None and _code(error) in _OF_THE_DISK and (why := why_not_written(folder)):
        return why
    return _REASONS.get(_code(error), str(error))


class Database:
    """The open file of one session, used from one thread.

    `closed`: how it was closed last time (`new`, `open` after a crash, `parked`, `clean`). `damage`: what
    opening found damaged and how much of it could be read, "" if nothing. `draft`: it is new and has no
    file yet; what is written is in memory, until `keep`. `used` tells the order of use of sessions.
    """

    def __init__(
        self,
        path: Path,
        session: str,
        vault: Vault,
        expected: int = 0,
        *,
        draft: bool = False,
        background: bool = False,
    ) -> None:
        """Open or create it. Raises `JournalBroken`, `OSError`. The caller holds the session's lock.

        `expected` is how many events are known to be in it. It is looked at before anything is written; a
        damaged file is kept, and replaced by one with everything that can be read of it. With `draft` a new
        session has no file yet. `background`: no person opens it. A damaged one is refused then, as who
        opens it is to be told; and it does not count as used.
        """
        self.path = path
        self.damage = ""
        self._session = session
        self._vault = vault
        self._keys = keys_of(path)
        self._expected = expected
        self._sure = 0
        self._count: int | None = None
        self._older = 0
        self._background = background
        self.used = 0
        private_dir(path.parent)
        self.draft = False
        if not expected and not is_there(path):
            self._begin()
            if not draft:
                self.keep()
            return
        if os.path.lexists(path):
            os.close(open_private(path, os.O_RDWR))
        if doubt := self._doubt():
            if background:
                raise JournalBroken(
                    f"the session in {path} is damaged ({doubt.what}); open it to repair it"
                )
            self._rescue(doubt)
            self._count = None
        if self._older:
            self._migrate()
        self._open()

    def _begin(self) -> None:
        """Make a new session in memory; `keep` gives it a file."""
        self.draft = True
        self.closed = "new"
        wrapped, sealer = self._key()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("BEGIN")
        for statement in filter(str.strip, SCHEMA.split(";")):
            self.connection.execute(statement)
        facts: dict[str, Value] = {
            "schema": SCHEMA_VERSION,
            "session": self._session,
            "created": time.time(),
            "key": wrapped,
            "key_id": self._vault.id,
            "title": b"",
            "closed": "open",
        }
        self.connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
        self.connection.execute("COMMIT")
        self.tx = Transaction(self.connection, sealer, self._session)

    def _key(self) -> tuple[bytes, Sealer]:
        """Return the wrapped key of a session without a file: its backups go on with the key they have."""
        try:
            return open_key(self._vault, self._session, self._keys.find(self._session))
        except SealBroken:
            wrapped = self._vault.new_key(f"key of {self._session}")
            return open_key(self._vault, self._session, [wrapped])

    def keep(self) -> None:
        """Give a draft its file. It appears whole, with the key in it, or not at all.

        Raises `OSError`, `sqlite3.Error`, `JournalBroken`; the session is a draft still then.
        """
        draft, tx = self.connection, self.tx
        self._keys.put(self._session, self._meta("key"))
        write_new(self.path, draft.serialize())
        try:
            self._open()
        except BaseException:
            self.connection, self.tx = draft, tx
            for end in ("", "-wal", "-shm"):  # nothing was saved in it
                Path(f"{self.path}{end}").unlink(missing_ok=True)
            raise
        draft.close()
        self.draft, self.closed = False, "new"

    def _refused(self, error: BaseException) -> JournalBroken:
        return JournalBroken(
            f"the session in {self.path} cannot be opened: {reason(error, self.path.parent)}. "
            f"It can still be read: omni-tui sessions show {self._session}"
        )

    # --- before anything is written -------------------------------------------------------------

    def _doubt(self) -> _Doubt | None:
        """Return what is wrong with the file and its log, None if nothing is. Raises `JournalBroken`."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return _Doubt("it is gone")
        if not size:
            return _Doubt("it is empty")
        if was_cut_off(self.path):
            return _Doubt("the app ended while it was being replaced")
        log = log_of(self.path)
        if log.lost:
            return _Doubt(f"its write-ahead log is damaged, {log.lost} writes after the damage")
        try:
            with closing(look(self.path, mine=True, log=log)) as connection:
                return self._wrong_in(connection)
        except sqlite3.Error as error:
            if _code(error) in _DAMAGED or isinstance(error, sqlite3.OperationalError):
                return _Doubt(reason(error))
            raise self._refused(error) from error

    def _wrong_in(self, connection: sqlite3.Connection) -> _Doubt | None:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return _Doubt("it holds nothing: its write-ahead log is missing")
        facts = dict(connection.execute("SELECT name, value FROM meta"))
        vouched = self._vouched_for(connection, facts)
        if not vouched or facts.get("closed") == "open":
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                return _Doubt(str(verdict).strip().splitlines()[-1])
        if facts.get("schema") not in _KNOWN:
            return None  # whatever it means there, it is of another version
        if facts.get("session") != self._session:
            return None  # it is not damaged, but another's
        key = facts.get("key")
        if self._key_is_damaged(key):
            return _Doubt("its key is damaged")
        if facts["schema"] in _MIGRATIONS:
            with suppress(SealBroken):  # without its key it is left alone
                open_key(self._vault, self._session, [key])
                self._older = int(facts["schema"])
        (last,) = connection.execute("SELECT ifnull(max(seq), 0) FROM events").fetchone()
        (count,) = connection.execute("SELECT count(*) FROM events WHERE seq > ?", (vouched,)).fetchone()
        count += vouched
        noted, lost = facts.get("events"), facts.get("lost")
        self._expected = max(self._expected, last, noted if isinstance(noted, int) else 0)
        self._sure = self._count = count
        if self._expected - count > (lost if isinstance(lost, int) else 0):
            return _Doubt("events are missing", torn=False)
        return None

    def _vouched_for(self, connection: sqlite3.Connection, facts: dict[str, Any]) -> int:
        """Return the number of events at the beginning that a checkpoint vouches for, in a large file.

        They are not counted again, and unless the app was killed their pages are not checked: if the disk
        lost some, that is found when they are read, and the next start checks all.
        """
        if self.path.stat().st_size < _LARGE or facts.get("session") != self._session:
            return 0
        try:
            _, sealer = open_key(self._vault, self._session, [facts.get("key")])
        except SealBroken:
            return 0
        found = load_checkpoint(Transaction(connection, sealer, self._session))
        return found.seq if found else 0

    def _key_is_damaged(self, key: object) -> bool:
        """Whether the key in the file does not open, and not for lack of the master key."""
        try:
            open_key(self._vault, self._session, [key])
        except SealBroken:
            with suppress(SealBroken):
                open_key(self._vault, self._session, self._keys.find(self._session))
                return True
            if not isinstance(key, bytes) or len(key) != WRAPPED or not any(key):
                return True
            return self._vault.has_key_of(key)
        return False

    def _rescue(self, doubt: _Doubt) -> None:
        """Write a new file of everything that can be read, or find that the present one has all of it."""
        path = self.path
        try:
            wrapped = self._keys.find(self._session)
            found = read_damaged(path, self._session, self._vault, wrapped, self._expected)
        except sqlite3.Error as error:
            raise _hopeless(path, f"{doubt.what}; {reason(error)}") from error
        if found is None:
            raise _hopeless(path, f"{doubt.what}; its key cannot be read, or is not here")
        if not found.events:
            raise _hopeless(path, f"{doubt.what}; nothing of it can be read")
        count = f"{len(found.events)} of {found.expected} saved events could be read"
        if not doubt.torn and len(found.events) <= self._sure:
            self.damage = f"saved events of this session are gone: {count}"
            self._expected = found.expected
            return
        try:
            kept = replace_damaged(path, found, SCHEMA, SCHEMA_VERSION, self._vault.id)
        except sqlite3.Error as error:
            raise JournalBroken(
                f"the session in {path} is damaged ({doubt.what}). {count}, but not written to a new file: "
                f"{reason(error)}. The damaged file is left as it is"
            ) from error
        self._expected, self._older = found.expected, 0
        self.damage = (
            f"the session's file was damaged ({doubt.what}): {count} and are in a new file. "
            f"The damaged one is kept as {kept} until you delete the session"
        )

    def _migrate(self) -> None:
        """Migrate the file of an older version: back it up, migrate a copy, and put that in its place."""
        try:
            self._migrate_from(self._older)
        except (sqlite3.Error, BackupFailed) as error:
            raise JournalBroken(
                f"the session in {self.path} is of an older version and cannot be brought up to date: "
                f"{reason(error, self.path.parent)}. It is left as it is"
            ) from error

    def _migrate_from(self, version: int) -> None:
        new = new_file(self.path)
        new.unlink(missing_ok=True)
        with closing(in_memory(*read_files(self.path))) as copy:
            save_backup(self.path.parent.parent, self._session, copy)
            copy.execute("BEGIN")
            while version in _MIGRATIONS:
                for statement in filter(str.strip, _MIGRATIONS[version].split(";")):
                    copy.execute(statement)
                version += 1
            copy.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (version,))
            copy.execute("COMMIT")
            write_new(new, copy.serialize())
        kept = put_in_place(new, self.path)
        for end in ("", "-wal"):
            Path(f"{kept}{end}").unlink(missing_ok=True)  # the backup has it

    # --- open -----------------------------------------------------------------------------------

    def _open(self) -> None:
        opened_here(self.path)  # from here on nobody else in this process may open the file
        self.connection = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
        try:
            self._configure()
            self.closed = str(self._meta("closed"))
            sealer = self._check()
            self.tx = Transaction(self.connection, sealer, self._session)
            if self._meta("schema") == _UNPACKED:
                self.set_meta(
                    "schema", SCHEMA_VERSION
                )  # earlier versions could not read what is written now
            self.set_meta("closed", "open")
            self._use()
            self._keys.put(self._session, self._meta("key"))
            self._note_lost()
        except sqlite3.Error as error:
            self._shut()
            raise self._refused(error) from error
        except BaseException:
            self._shut()
            raise

    def _shut(self) -> None:
        self.connection.close()
        closed_here(self.path)

    def _use(self) -> None:
        if self._background:
            self.used = self._meta("used") or 0
            return
        self.used = next_use(self.path.parent.parent)
        self.set_meta("used", self.used)

    def _note_lost(self) -> None:
        """Remember how many events are lost, so that the next start looks for no others."""
        count = self._count
        if count is None:
            (count,) = self.connection.execute("SELECT count(*) FROM events").fetchone()
        lost = self.head() - count
        if lost != (self._meta("lost") or 0):
            self.set_meta("lost", lost)

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

    def _check(self) -> Sealer:
        if self._meta("schema") not in _KNOWN:
            raise JournalBroken(
                f"{self.path} was written by another version of omni-tui; update, then open it again"
            )
        if self._meta("session") != self._session:
            raise JournalBroken(f"{self.path} holds another session; give the file its own name back")
        try:
            sealer = self._vault.unwrap(self._meta("key"), f"key of {self._session}")
        except SealBroken:
            raise JournalBroken(
                f"the key that session {self._session} was saved with is not here "
                f"(now in use: {self._vault.kind}); bring it back, or start a new session"
            ) from None
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

    def head(self) -> int:
        """Return the number of the last event, also of one that is lost: no number is given twice."""
        (last,) = self.connection.execute("SELECT ifnull(max(seq), 0) FROM events").fetchone()
        return max(int(last), self._expected)

    def checkpoint(self, *, whole: bool = False) -> None:
        """Move commits from the log into the file; with `whole`, empty the log."""
        self.connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if whole else 'PASSIVE'})").close()

    def discard(self) -> None:
        """Close a session in which nothing was said, and leave nothing of it."""
        self._shut()
        if not self.draft:
            for end in ("", "-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
            self._keys.drop(self._session)

    def begin_log(self) -> None:
        """Begin a new log after a checkpoint: that takes a flush, which the next commit then saves."""
        self.set_meta("closed", "open")  # which it is

    def close(self, state: str) -> None:
        """Close, and record how (`clean` or `parked`)."""
        try:
            self.set_meta("events", self.head())
            self._use()
            self.set_meta("closed", state)
            self.checkpoint(whole=True)
        finally:
            self._shut()


class _Doubt:
    """What is wrong with a file. `torn`: more than that rows are missing."""

    def __init__(self, what: str, *, torn: bool = True) -> None:
        self.what = what
        self.torn = torn


def is_there(path: Path) -> bool:
    """Whether anything is left of a session, if not its file: then it is not a new one."""
    return os.path.lexists(path) or has_log(path) or bool(kept_copies(path))


def _hopeless(path: Path, what: str) -> JournalBroken:
    return JournalBroken(
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
