"""The words of all sessions, in a database in memory (SQLite FTS5, without the texts themselves).

A row of the index is one text of a session (`memory.search_text`), or its title with its tags. What was
found is read again from the session. The index is derived from the journals: when in doubt it is made anew.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from omni_tui.memory.search_text import ROLES, FoundText, SessionTexts, read_text
from omni_tui.memory.search_words import VERSION, indexed, match_expression
from omni_tui.memory.sqlite import Transaction
from omni_tui.protocol.session_search import TextRole
from omni_tui.security.text import encodable

RANKED = 20_000
"""Hits up to which the best come first; of more, the newest: ranking takes a microsecond for each."""
_NEWEST = 2_000
"""Hits that are looked at when there are too many to rank."""
_FORMAT = f"1.{VERSION}"
_SCHEMA = """
CREATE VIRTUAL TABLE words USING fts5(body, content='', prefix='2 3',
    tokenize="unicode61 remove_diacritics 2");
CREATE TABLE texts (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, seq INTEGER NOT NULL,
    role INTEGER NOT NULL, ts REAL NOT NULL, tool INTEGER NOT NULL, sum INTEGER NOT NULL);
CREATE INDEX texts_of_session ON texts (session, seq);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, head INTEGER NOT NULL,
    mark TEXT NOT NULL, title TEXT NOT NULL, tags TEXT NOT NULL);
CREATE TABLE tools (id INTEGER PRIMARY KEY, server TEXT NOT NULL, tool TEXT NOT NULL,
    UNIQUE (server, tool));
CREATE TABLE format (version TEXT NOT NULL);
"""


class IndexDamaged(Exception):
    """The index cannot be used, or not be changed as asked; it has to be made anew."""


class SearchInterrupted(Exception):
    """The search was interrupted, because another one is wanted."""


@dataclass(frozen=True, slots=True)
class SessionHit:
    """One session with hits: how many, and the text that fits best (or is newest): its event and role."""

    session: str
    hits: int
    seq: int
    role: TextRole
    ts: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: sessions, the best first, or if not `ranked` those with the newest hits.

    `total` is the number of texts that have all words; `counted` those that `sessions` are made from.
    """

    sessions: list[SessionHit]
    total: int = 0
    ranked: bool = True
    counted: int = 0


@dataclass(frozen=True, slots=True)
class ReadSoFar:
    """Up to which event a session was read, the mark of its file then, and what its last text was."""

    head: int = 0
    mark: str = ""
    seq: int = 0
    sum: int = 0

    def goes_on(self, tx: Transaction) -> bool:
        """Whether the session has all of that still: not if it was restored from a backup."""
        (newest,) = tx.execute("SELECT ifnull(max(seq), 0) FROM events").fetchone()
        if newest < self.head:
            return False
        text = read_text(tx, self.seq) if self.seq else None
        return not self.seq or (text is not None and _sum(indexed(text.text)) == self.sum)


class SearchIndex:
    """The index. Used from one thread at a time; only `interrupt` may be called meanwhile."""

    def __init__(self, data: bytes | None = None) -> None:
        """Open an index that `dump` returned, or an empty one. Raises `IndexDamaged`."""
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._searching = False
        self._guard = threading.Lock()
        self.dirty = False
        """Whether it has changed since it was dumped or opened."""
        if data is None:
            self._create()
            return
        try:
            self._db.deserialize(data)
            self._secure()  # it is a setting of the open database, not of what was saved
            found = self._db.execute("SELECT version FROM format").fetchone()
        except sqlite3.Error as error:
            raise IndexDamaged(str(error)) from error
        if found != (_FORMAT,):
            raise IndexDamaged(f"it is of version {found}")

    def _create(self) -> None:
        self._secure()
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT INTO format VALUES (?)", (_FORMAT,))

    def _secure(self) -> None:
        """Overwrite what is deleted."""
        self._db.execute("PRAGMA secure_delete=ON").close()

    def close(self) -> None:
        """Free the memory."""
        self._db.close()

    # --- filling --------------------------------------------------------------------------------

    def heads(self) -> dict[str, tuple[int, str]]:
        """Return up to which event each session was read, and the mark its file had then."""
        rows = self._db.execute("SELECT name, head, mark FROM sessions")
        return {name: (head, mark) for name, head, mark in rows}

    def read_so_far(self, session: str) -> ReadSoFar:
        """Return what was read of a session."""
        found = self._db.execute(
            "SELECT id, head, mark FROM sessions WHERE name = ?", (session,)
        ).fetchone()
        if found is None:
            return ReadSoFar()
        number, head, mark = found
        last = self._db.execute(
            "SELECT seq, sum FROM texts WHERE session = ? ORDER BY seq DESC LIMIT 1", (number,)
        ).fetchone()
        return ReadSoFar(head, mark, *(last or (0, 0)))

    def add(self, session: str, new: SessionTexts, mark: str = "") -> None:
        """Add the new texts of a session, and remember `mark` of its file. All or nothing."""
        with self._change():
            number, title, tags = self._session(session)
            self._db.execute(
                "UPDATE sessions SET head = ?, mark = ? WHERE id = ?", (new.head, mark, number)
            )
            for text in new.texts:
                self._insert(number, text)
            named = (
                title if new.title is None else encodable(new.title),
                tags if new.tags is None else encodable(" ".join(new.tags)),
            )
            if named != (title, tags):
                self._rename(number, (title, tags), named)

    def _session(self, name: str) -> tuple[int, str, str]:
        self._db.execute("INSERT OR IGNORE INTO sessions VALUES (NULL, ?, 0, '', '', '')", (name,))
        found = self._db.execute("SELECT id, title, tags FROM sessions WHERE name = ?", (name,)).fetchone()
        return int(found[0]), str(found[1]), str(found[2])

    def _insert(self, session: int, text: FoundText) -> None:
        body = indexed(text.text)
        values = (session, text.seq, ROLES.index(text.role), text.ts, self._tool(text), _sum(body))
        at = self._db.execute("INSERT INTO texts VALUES (NULL, ?, ?, ?, ?, ?, ?)", values).lastrowid
        self._db.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (at, body))

    def _tool(self, text: FoundText) -> int:
        if not text.tool:
            return 0
        pair = (encodable(text.server), encodable(text.tool))
        self._db.execute("INSERT OR IGNORE INTO tools VALUES (NULL, ?, ?)", pair)
        found = self._db.execute("SELECT id FROM tools WHERE server = ? AND tool = ?", pair).fetchone()
        return int(found[0])

    def _rename(self, session: int, before: tuple[str, str], now: tuple[str, str]) -> None:
        role = ROLES.index("title")
        for at, wanted in self._rows(session, f"AND role = {role}"):
            self._delete(at, indexed(_named(before)), wanted)
        self._insert(session, FoundText(0, 0.0, "title", _named(now)))
        self._db.execute("UPDATE sessions SET title = ?, tags = ? WHERE id = ?", (*now, session))

    # --- removing -------------------------------------------------------------------------------

    def remove(self, session: str, texts: Iterable[FoundText]) -> None:
        """Remove a session, whose texts these are, without leaving a trace of its words.

        Raises `IndexDamaged` if they are not exactly those that were added: it cannot remove what it
        does not have.
        """
        with self._change():
            found = self._db.execute(
                "SELECT id, title, tags FROM sessions WHERE name = ?", (session,)
            ).fetchone()
            if found is None:
                return
            number, title, tags = found
            bodies = {(text.seq, ROLES.index(text.role)): indexed(text.text) for text in texts}
            bodies[0, ROLES.index("title")] = indexed(_named((title, tags)))
            rows = self._db.execute(
                "SELECT id, seq, role, sum FROM texts WHERE session = ?", (number,)
            ).fetchall()
            for at, seq, role, wanted in rows:
                if (seq, role) not in bodies:
                    raise IndexDamaged(
                        f"the text of event {seq} of session {session} is not there any more"
                    )
                self._delete(at, bodies[seq, role], wanted)
            self._db.execute("DELETE FROM sessions WHERE id = ?", (number,))
            self._db.execute(
                "DELETE FROM tools WHERE id NOT IN (SELECT DISTINCT tool FROM texts WHERE tool)"
            )
        self._db.execute("INSERT INTO words (words) VALUES ('optimize')")

    def _rows(self, session: int, further: str) -> list[tuple[int, int]]:
        return self._db.execute(
            f"SELECT id, sum FROM texts WHERE session = ? {further}", (session,)
        ).fetchall()

    def _delete(self, at: int, body: str, wanted: int) -> None:
        # With any other text FTS5 would go on with a corrupt index.
        if _sum(body) != wanted:
            raise IndexDamaged("a text is not the one that was indexed")
        self._db.execute("INSERT INTO words (words, rowid, body) VALUES ('delete', ?, ?)", (at, body))
        self._db.execute("DELETE FROM texts WHERE id = ?", (at,))

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self.dirty = True

    # --- searching ------------------------------------------------------------------------------

    def search(self, words: Sequence[str], limit: int) -> Found:
        """Return the sessions that have texts with all words. Raises `SearchInterrupted`."""
        match = match_expression(words)
        if not match:
            return Found([])
        with self._interruptible():
            (total,) = self._db.execute(
                "SELECT count(*) FROM words WHERE words MATCH ?", (match,)
            ).fetchone()
            ranked = total <= RANKED
            # min() and max() choose the row that the other columns are of.
            # Source: https://www.sqlite.org/lang_select.html, section 2.5.
            best = (
                "SELECT t.session, count(*), t.seq, t.role, t.ts, min(w.rank) AS best FROM words AS w "
                "JOIN texts AS t ON t.id = w.rowid WHERE w.words MATCH ? GROUP BY t.session"
                if ranked
                else "SELECT t.session, count(*), t.seq, t.role, t.ts, -max(t.id) AS best FROM "
                f"(SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT {_NEWEST}) AS w "
                "JOIN texts AS t ON t.id = w.rowid GROUP BY t.session"
            )
            rows = self._db.execute(
                f"SELECT s.name, b.* FROM ({best}) AS b JOIN sessions AS s ON s.id = b.session "
                "ORDER BY b.best LIMIT ?",
                (match, limit),
            ).fetchall()
        sessions = [
            SessionHit(name, hits, seq, ROLES[role], ts) for name, _, hits, seq, role, ts, _ in rows
        ]
        return Found(sessions, total, ranked, total if ranked else _NEWEST)

    def hits_in(self, session: str, words: Sequence[str], limit: int) -> list[tuple[int, TextRole]]:
        """Return the events of a session that have all words, in order, with their role.

        Raises `SearchInterrupted`.
        """
        match = match_expression(words)
        found = self._db.execute("SELECT id FROM sessions WHERE name = ?", (session,)).fetchone()
        if not match or found is None:
            return []
        first, last = self._db.execute(
            "SELECT min(id), max(id) FROM texts WHERE session = ?", found
        ).fetchone()
        with self._interruptible():
            rows = self._db.execute(
                "SELECT t.seq, t.role FROM words AS w JOIN texts AS t ON t.id = w.rowid "
                "WHERE w.words MATCH ? AND w.rowid BETWEEN ? AND ? AND t.session = ? "
                "ORDER BY w.rowid LIMIT ?",
                (match, first, last, *found, limit),
            ).fetchall()
        return sorted((seq, ROLES[role]) for seq, role in rows)

    def calls_of(self, server: str, limit: int) -> list[tuple[str, int]]:
        """Return the newest calls of a server: session and event of each proposal."""
        rows = self._db.execute(
            "SELECT s.name, t.seq FROM tools AS o JOIN texts AS t ON t.tool = o.id "
            "JOIN sessions AS s ON s.id = t.session WHERE o.server = ? ORDER BY t.id DESC LIMIT ?",
            (server, limit),
        )
        return [(name, seq) for name, seq in rows]

    def interrupt(self) -> None:
        """End the search that runs now, from another thread; it raises `SearchInterrupted`."""
        with self._guard:
            if self._searching:
                self._db.interrupt()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        with self._guard:
            self._searching = True
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise SearchInterrupted from None
        finally:
            with self._guard:
                self._searching = False

    # --- on disk --------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return the whole index; `dirty` is False then."""
        data = self._db.serialize()
        self.dirty = False
        return data


def _named(title_and_tags: tuple[str, str]) -> str:
    return " ".join(filter(None, title_and_tags))


def _sum(body: str) -> int:
    return zlib.crc32(body.encode())
