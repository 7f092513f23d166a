"""The journal of a session: its events in order, on disk before anybody acts on them.

Events are numbered without gaps. `commit` returns when its events are on disk; `post` writes within 50 ms.
Listeners get events in order, and only those on disk. After one failed write nothing more is written:
a gate that cannot write lets nothing pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from omni_tui.memory.crypto import Vault
from omni_tui.memory.saved_session import saved_events
from omni_tui.memory.sqlite import JournalBroken, Transaction
from omni_tui.memory.writer import (
    AppendJob,
    CloseJob,
    JobResult,
    JournalWriter,
    TransactionJob,
    deliver_results,
)
from omni_tui.protocol import AnyEvent

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Journal:
    """One open session. Made by `open`; used from one event loop.

    `head`: the number of the last event on disk. `broken`: why nothing can be written any more, "" while it
    can. `damage`: what opening found damaged, "" if nothing. `recovered`: the session was not closed last
    time.
    """

    def __init__(
        self,
        path: Path,
        session: str,
        vault: Vault,
        on_commit: Callable[[Sequence[AnyEvent]], None],
        on_broken: Callable[[str], None] | None,
    ) -> None:
        self.session = session
        self.head = 0
        self.broken = ""
        self.damage = ""
        self.recovered = False
        self._on_commit = on_commit
        self._on_broken = on_broken
        self._damaged: set[int] = set()
        self._writer = JournalWriter(path, session, vault, asyncio.get_running_loop(), self)
        self._closing: asyncio.Future[object] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        session: str,
        vault: Vault,
        on_commit: Callable[[Sequence[AnyEvent]], None],
        on_broken: Callable[[str], None] | None = None,
    ) -> Journal:
        """Open the session in `path`, or create it.

        Calls `on_commit` in the event loop with the events that just reached the disk, and `on_broken`
        once, with the reason, when nothing can be written any more. Raises `JournalBusy` if the session is
        open elsewhere, `JournalBroken` if it cannot be read or written, `OSError` for an unusable folder.
        """
        journal = cls(path, session, vault, on_commit, on_broken)
        writer = journal._writer
        writer.start()
        try:
            opened = await asyncio.shield(writer.opened)
            journal.head, journal.recovered, journal.damage = opened.head, opened.crashed, opened.damage
        except asyncio.CancelledError:
            # It may open after this; then it has to be closed again.
            writer.put(CloseJob(False, journal._answer()))
            raise
        return journal

    @property
    def damaged(self) -> int:
        """How many saved events read so far are missing or unreadable."""
        return len(self._damaged)

    # --- writing --------------------------------------------------------------------------------

    async def commit(
        self, *events: AnyEvent, change: Callable[[Transaction], _T] | None = None
    ) -> _T | None:
        """Write events and run `change` in one transaction; both are on disk when this returns.

        Returns what `change` returned. An exception of `change` undoes it and its events and is raised
        here. Earlier posts are on disk too. Cancelling the caller does not undo it. Raises `JournalBroken`.
        """
        self._check(events)
        answer = self._answer()
        self._writer.put(AppendJob(events, change, answer))
        return cast("_T | None", await answer)

    async def adopt(
        self, events: Sequence[AnyEvent], change: Callable[[Transaction], _T] | None = None
    ) -> None:
        """Write events of another session, with their times, as `commit` does."""
        events = tuple(events)
        self._check(events)
        answer = self._answer()
        self._writer.put(AppendJob(events, change, answer, adopted=True))
        await answer

    def post(self, *events: AnyEvent) -> None:
        """Write events within 50 ms, in order with everything else. Raises `JournalBroken`."""
        self._check(events)
        self._writer.put(AppendJob(events, None, None))

    def _check(self, events: tuple[AnyEvent, ...]) -> None:
        self._usable()
        if self.broken:
            raise JournalBroken(self.broken)
        for event in events:
            if not event.journalled:
                raise TypeError(f"{type(event).__name__} is not a journalled event")

    # --- reading --------------------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> list[AnyEvent]:
        """Return up to `limit` events after number `after`, oldest first; fewer means there are no more.

        Unreadable events are left out and counted in `damaged`.
        """
        return await self.run(lambda tx: self._read(tx, after, limit))

    def _read(self, tx: Transaction, after: int, limit: int) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        for seq, event in saved_events(tx, after):
            if isinstance(event, str):
                if seq not in self._damaged:
                    logger.warning("event %d of session %s: %s", seq, self.session, event)
                    self._damaged.add(seq)
                continue
            events.append(event)
            if len(events) >= limit:
                break
        return events

    async def run(self, fn: Callable[[Transaction], _T]) -> _T:
        """Run `fn` in its own transaction, after all earlier writes, and return its answer.

        Its changes are on disk when this returns; an exception undoes them. It runs in the journal's thread
        and blocks writing meanwhile. Raises `JournalBroken`.
        """
        self._usable()
        answer = self._answer()
        self._writer.put(TransactionJob(fn, answer))
        return cast("_T", await answer)

    # --- the end --------------------------------------------------------------------------------

    async def close(self, clean: bool) -> None:
        """Write the rest and close. `clean`: nothing waits for the next start. May be called again.

        Raises `JournalBroken` if the last write failed; the journal is closed then too.
        """
        if self._closing is None:
            self._closing = self._answer()
            self._writer.put(CloseJob(clean, self._closing))
        await asyncio.shield(self._closing)

    # --- inside ---------------------------------------------------------------------------------

    def committed(self, events: Sequence[AnyEvent], head: int, settled: Sequence[JobResult]) -> None:
        """Events are on disk (called by the writer in the loop's thread)."""
        self.head = head
        if events:
            try:
                self._on_commit(events)
            except Exception:
                logger.exception("a listener of the journal failed")
        deliver_results(settled)

    def broke(self, why: str) -> None:
        """Nothing can be written any more (called by the writer in the loop's thread)."""
        self.broken = why
        if self._on_broken is not None:
            self._on_broken(why)

    def _usable(self) -> None:
        if self._closing is not None:
            raise JournalBroken(f"session {self.session} is closed; open it again")

    @staticmethod
    def _answer() -> asyncio.Future[object]:
        return asyncio.get_running_loop().create_future()
