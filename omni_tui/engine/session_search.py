"""Search in all sessions of the state folder, off the engine's loop.

The index is loaded with the first search. Then, and before each further one, what is new in the sessions'
journals is read into it: from the journal of a session that is open here, from the file of any other. A
search waits for that a moment only, and says how many sessions are left. One thread has the index.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from omni_tui.engine.live_session import LiveSession, OpenSessions
from omni_tui.memory import CallRow, JournalBroken, SealBroken, Transaction, Vault, call_table, session_path
from omni_tui.memory.search_file import SearchFile, destroy_index, saved_texts, search_path
from omni_tui.memory.search_index import Found, IndexDamaged, ReadSoFar, SearchIndex, SearchInterrupted
from omni_tui.memory.search_text import FoundText, SessionTexts, read_text, texts_after
from omni_tui.memory.session_files import file_mark, saved_ids
from omni_tui.memory.session_view import session_view
from omni_tui.protocol.session_search import TextRole

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_PATIENCE_S = 0.15
"""How long a search waits for what is new, in seconds."""
_WRITE_AFTER_S = 5.0
"""How long nothing was read before the index is saved, in seconds."""
_SESSIONS = 40
"""Sessions that past calls are read from."""
_PAGE = 500
"""Events that are read at a time from a journal that somebody may want to write."""


@dataclass(slots=True)
class _Stale:
    """What is not as the index has it: sessions with something new, and those that are gone."""

    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class SessionSearch:
    """The search of one engine. `left`: how many sessions have something new that was not read yet;
    `unreadable`: those that cannot be read.
    """

    def __init__(self, state_dir: Path, vault: Vault, sessions: OpenSessions) -> None:
        self._state = state_dir
        self._vault = vault
        self._sessions = sessions
        self._file = SearchFile(state_dir, vault)
        self._index: SearchIndex | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._reading: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._numbers: dict[object, int] = {}
        """How many searches each client has begun."""
        self._searches: object = None
        """The client whose search runs in the thread."""
        self._unread: dict[str, str] = {}
        """Marks of the files that could not be read."""
        self.left = 0
        self._anew = False
        """Whether the index was made anew while it was read into."""
        self._closed = False

    @property
    def unreadable(self) -> int:
        """How many sessions cannot be read."""
        return len(self._unread)

    # --- searching ------------------------------------------------------------------------------

    async def search(self, client: object, words: Sequence[str], limit: int) -> Found:
        """Return the sessions that have texts with all words.

        Raises `SearchInterrupted` once the same client begins another search.
        """
        number = self._numbers[client] = self._numbers.get(client, 0) + 1
        if self._index is not None and self._searches == client:
            self._index.interrupt()
        await self._read_new()

        def asked() -> Found:
            if self._numbers[client] != number:
                raise SearchInterrupted
            self._searches = client
            try:
                return self._opened().search(words, limit)
            finally:
                self._searches = None

        return await self._in_thread(asked)

    async def hits_in(self, session: str, words: Sequence[str], limit: int) -> list[tuple[int, TextRole]]:
        """Return the events of a session that have all words, in order, with their role."""
        if not words:
            return []
        return await self._in_thread(lambda: self._opened().hits_in(session, words, limit))

    async def past_calls(self, server: str, limit: int, *, without: str) -> list[CallRow]:
        """Return the newest calls of a server in all sessions but one, as far as they were indexed already.

        Without an index on the disk there are none: making one only for this takes too long.
        """
        if self._index is None and not search_path(self._state).exists():
            return []
        found = await self._in_thread(lambda: self._opened().calls_of(server, limit))
        by_session: dict[str, list[int]] = {}
        for session, seq in found:
            if session != without:
                by_session.setdefault(session, []).append(seq)
        rows: list[CallRow] = []
        for session, seqs in islice(by_session.items(), _SESSIONS):
            with contextlib.suppress(JournalBroken, OSError, ValueError):
                rows += await self.read(session, partial(_calls, seqs))
        return rows

    async def text(self, session: str, seq: int) -> FoundText | None:
        """Return the text of one event, None if it has none or cannot be read."""
        try:
            return await self.read(session, lambda tx: read_text(tx, seq))
        except (JournalBroken, OSError, ValueError):
            return None

    async def read(self, session: str, fn: Callable[[Transaction], _T]) -> _T:
        """Run `fn`, which only reads, on a session's journal, open or not.

        Raises `JournalBroken`, `OSError`, `ValueError` for an invalid id.
        """
        if (live := self._sessions.get(session)) is not None:
            with contextlib.suppress(JournalBroken):  # closed meanwhile
                return await live.journal.run(fn)
        path = session_path(self._state, session)

        def look() -> _T:
            with session_view(path, session, self._vault) as tx:
                return fn(tx)

        return await asyncio.to_thread(look)

    # --- reading what is new --------------------------------------------------------------------

    async def _read_new(self) -> None:
        """Begin to read what is new, unless that goes on already; wait for it a moment."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._catch_up(), name="search index")
        await asyncio.wait([self._reading], timeout=_PATIENCE_S)
        if self._reading.done() and (error := self._reading.exception()) is not None:
            raise error

    async def _catch_up(self) -> None:
        stale = await self._compared()
        if stale.gone:
            for session in stale.gone:
                await self._remove(session, [])
            self._anew = False
            stale = await self._compared()
        self.left = len(stale.changed)
        for session in stale.changed:
            if (open_here := self._sessions.get(session)) is not None:
                await self._add_live(session, open_here)
            else:
                await asyncio.to_thread(self._add_saved, session)
            self.left -= 1
        if self._anew:  # what was read before is missing
            self._anew = False
            return await self._catch_up()
        if self._index is not None and self._index.dirty and not self._closed:
            self._write_soon()

    async def _compared(self) -> _Stale:
        live = {name: session.journal.head for name, session in self._sessions.items()}
        return await self._in_thread(lambda: self._stale(live))

    def _stale(self, live: dict[str, int]) -> _Stale:
        heads = self._opened().heads()
        # The oldest first: of too many hits, those that were added last are shown.
        there = dict.fromkeys(reversed(saved_ids(self._state)))
        stale = _Stale(gone=[session for session in heads if session not in live and session not in there])
        for session in there:
            head, mark = heads.get(session, (0, ""))
            if session in live:
                changed = live[session] != head
            else:
                now = file_mark(session_path(self._state, session))
                changed = now != mark and self._unread.get(session) != now
            if changed:
                stale.changed.append(session)
        self._unread = {session: mark for session, mark in self._unread.items() if session in there}
        return stale

    async def _add_live(self, session: str, live: LiveSession) -> None:
        before = await self._in_thread(lambda: self._opened().read_so_far(session))
        with contextlib.suppress(JournalBroken):  # closed meanwhile: the next search reads its file
            if not await live.journal.run(before.goes_on):
                await self._in_thread(self._begin_anew)
                before = ReadSoFar()
            head = before.head
            while (
                new := await live.journal.run(partial(texts_after, after=head, limit=_PAGE))
            ).head > head:
                await self._in_thread(partial(self._add, session, new))
                head = new.head

    def _add_saved(self, session: str) -> None:
        """Add what is new in a session's file. One that cannot be read is left out until it changes."""
        path = session_path(self._state, session)
        mark = file_mark(path)
        try:
            with session_view(path, session, self._vault) as tx:
                before = self._wait_for(lambda: self._opened().read_so_far(session))
                if not before.goes_on(tx):
                    self._wait_for(self._begin_anew)
                    before = ReadSoFar()
                head = before.head
                while (new := texts_after(tx, head, _PAGE)).head > head and not self._closed:
                    self._wait_for(partial(self._add, session, new))
                    head = new.head
        except (JournalBroken, OSError) as error:
            logger.info("session %s cannot be searched: %s", session, error)
            self._unread[session] = mark
            return
        self._unread.pop(session, None)
        if not self._closed:
            self._wait_for(partial(self._add, session, SessionTexts(head, []), mark))

    def _add(self, session: str, new: SessionTexts, mark: str = "") -> None:
        self._opened().add(session, new, mark)

    def _begin_anew(self) -> None:
        """Forget the index, on the disk too. Runs in the thread."""
        former, self._index = self._opened(), SearchIndex()
        self._anew = True
        former.close()
        try:
            destroy_index(self._state)
        except OSError:  # the next start finds it as it was, and reads what is new into it
            logger.warning("the former search index cannot be removed", exc_info=True)

    # --- removing -------------------------------------------------------------------------------

    async def forget(self, session: str) -> None:
        """Remove a session, which is about to be deleted, from the index in memory."""
        if self._index is None:
            return
        if self._reading is not None and not self._reading.done():
            await asyncio.wait([self._reading])
        try:
            texts = await asyncio.to_thread(
                saved_texts, session_path(self._state, session), session, self._vault
            )
        except (JournalBroken, OSError):
            texts = []
        await self._remove(session, texts)

    async def _remove(self, session: str, texts: list[FoundText]) -> None:
        def removed() -> None:
            try:
                self._opened().remove(session, texts)
            except IndexDamaged as error:
                logger.info("the search index is made anew: %s", error)
                self._begin_anew()

        await self._in_thread(removed)

    # --- the file -------------------------------------------------------------------------------

    def _opened(self) -> SearchIndex:
        """Return the index; loads it with the first call. Runs in the thread."""
        if self._index is None:
            self._file.hold()
            self._index = self._file.read()
        return self._index

    def _write_soon(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
        self._writing = asyncio.create_task(self._write_later(), name="save the search index")

    async def _write_later(self) -> None:
        await asyncio.sleep(_WRITE_AFTER_S)
        await self._in_thread(self._write)

    def _write(self) -> None:
        index = self._index
        if index is None or not index.dirty:
            return
        # What was deleted by another process must not come back to the disk.
        if self._has_deleted(index):
            return
        try:
            self._file.write(index)
            if self._has_deleted(index):  # meanwhile
                index.dirty = True
                destroy_index(self._state)
        except OSError:
            logger.warning("the search index cannot be saved", exc_info=True)

    def _has_deleted(self, index: SearchIndex) -> bool:
        return bool(set(index.heads()) - set(saved_ids(self._state)))

    async def saved(self) -> None:
        """Save the index now, if it was loaded and has changed."""
        if self._index is not None:
            await self._in_thread(self._write)

    async def close(self) -> None:
        """Save the index and give its lock back. What is being read now is read again next time."""
        self._closed = True
        for task in (self._reading, self._writing):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        if self._thread is None:
            return
        await self._in_thread(self._write)
        await self._in_thread(self._file.release)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.wrap_future(self._worker().submit(work))

    def _wait_for(self, work: Callable[[], _T]) -> _T:
        """Do something in the index's thread, from another thread that is not the loop's."""
        return self._worker().submit(work).result()

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        return self._thread


def _calls(seqs: Sequence[int], tx: Transaction) -> list[CallRow]:
    """Return the calls that were proposed with some events, without those that cannot be read."""
    rows = []
    for seq in seqs:
        (call,) = tx.execute("SELECT call FROM events WHERE seq = ?", (seq,)).fetchone() or ("",)
        with contextlib.suppress(SealBroken):
            if (row := call_table.load(tx, call)) is not None:
                rows.append(row)
    return rows
