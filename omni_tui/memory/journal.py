"""The journal of a session: what happened, in order, on disk before anybody acts on it.

Every event is numbered without gaps. `commit` returns when its events are on disk; `post` promises
that for the next 50 ms. Whoever listens hears of events in order, and only of those that are there.
If the disk refuses once, nothing is written any more: a gate that cannot write lets nothing pass.
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

    `head` is the number of the last event on disk, `broken` the words why nothing can be written
    any more ("" while it can), `damaged` how many saved events were met that are missing or cannot be
    read, `damage` the words for what opening found broken ("" if nothing was), `recovered` whether the
    session was not closed the last time.
    """

    def __init__(
        self,
        session: str,
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
        self._writer: JournalWriter
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
        """Open the session in `path`, or begin it there.

        `on_commit` is called in the event loop with the events that have just reached the disk, and
        `on_broken` with the reason, once, when nothing can be written any more.
        Raises `JournalBusy` if it is open elsewhere, `JournalBroken` if it cannot be read or
        written, `OSError` for a folder that cannot be used.
        """
        journal = cls(session, on_commit, on_broken)
        loop = asyncio.get_running_loop()
        writer = JournalWriter(path, session, vault, loop, journal)
        journal._writer = writer
        writer.start()
        try:
            opened = await asyncio.shield(writer.opened)
            journal.head, journal.recovered, journal.damage = opened.head, opened.crashed, opened.damage
        except asyncio.CancelledError:
            # It may open all the same; then it has to be closed again.
            writer.put(CloseJob(False, loop.create_future()))
            raise
        return journal

    @property
    def damaged(self) -> int:
        """How many saved events were met that are missing or cannot be read."""
        return len(self._damaged)

    # --- writing --------------------------------------------------------------------------------

    async def commit(
        self, *events: AnyEvent, change: Callable[[Transaction], _T] | None = None
    ) -> _T | None:
        """Write events and run `change` in one transaction; both are on disk when this returns.

        Returns what `change` returned. What `change` raises undoes it and its events, and is raised
        here. What was posted before is on disk too. Cancelling the caller does not take it back.
        Raises `JournalBroken`.
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
                raise TypeError(f"{type(event).__name__} is no event for the journal")

    # --- reading --------------------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> list[AnyEvent]:
        """Return up to `limit` events with a number greater than `after`, oldest first.

        An event that cannot be read is left out and counted in `damaged`; fewer than `limit` events
        means that there are no more.
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
        """Run `fn` in a transaction of its own, after all that was written before; return its answer.

        What `fn` changes is on disk when this returns; what it raises undoes that. It runs in the
        journal's thread and holds up writing for as long as it takes. Raises `JournalBroken`.
        """
        self._usable()
        answer = self._answer()
        self._writer.put(TransactionJob(fn, answer))
        return cast("_T", await answer)

    # --- the end --------------------------------------------------------------------------------

    async def close(self, clean: bool) -> None:
        """Write what is left and close. `clean`: nothing is waiting for the next start.

        May be called again. Raises `JournalBroken` if the last writing failed; it is closed then too.
        """
        if self._closing is None:
            self._closing = self._answer()
            self._writer.put(CloseJob(clean, self._closing))
        await asyncio.shield(self._closing)

    # --- inside ---------------------------------------------------------------------------------

    def committed(self, events: Sequence[AnyEvent], head: int, settled: Sequence[JobResult]) -> None:
        """Take note that events are on disk (called by the writer in the loop's thread)."""
        self.head = head
        if events:
            try:
                self._on_commit(events)
            except Exception:
                logger.exception("who listens to the journal failed")
        deliver_results(settled)

    def broke(self, why: str) -> None:
        """Take note that nothing can be written any more (called by the writer in the loop's thread)."""
        self.broken = why
        if self._on_broken is not None:
            self._on_broken(why)

    def _usable(self) -> None:
        if self._closing is not None:
            raise JournalBroken(f"session {self.session} is closed; open it again")

    @staticmethod
    def _answer() -> asyncio.Future[object]:
        return asyncio.get_running_loop().create_future()
