"""The journal of a session: its events in order, on disk before anybody acts on them.

Events are numbered without gaps. `commit` returns when its events are on disk. Listeners get events in
order, and only those on disk. After one failed write nothing more is written: a gate that cannot write lets
nothing pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar, cast

from omni_tui.memory.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from omni_tui.memory.crypto import Vault
from omni_tui.memory.saved_session import saved_event, saved_events, saved_events_of
from omni_tui.memory.sqlite import JournalBroken, Transaction
from omni_tui.memory.writer import (
    AppendJob,
    CloseJob,
    JobFuture,
    JobResult,
    JournalWriter,
    TransactionJob,
    deliver_results,
)
from omni_tui.protocol import AnyEvent, Event

logger = logging.getLogger(__name__)
_NAMED = 20
"""How many damaged events the log names; half of a session may be lost."""

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
        *,
        draft: bool,
        background: bool,
    ) -> None:
        self.session = session
        self.head = 0
        self.broken = ""
        self.damage = ""
        self.recovered = False
        self._on_commit = on_commit
        self._on_broken = on_broken
        self._damaged: set[int] = set()
        loop = asyncio.get_running_loop()
        self._writer = JournalWriter(path, session, vault, loop, self, draft=draft, background=background)
        self._closing: asyncio.Future[object] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        session: str,
        vault: Vault,
        on_commit: Callable[[Sequence[AnyEvent]], None],
        on_broken: Callable[[str], None] | None = None,
        *,
        draft: bool = False,
        background: bool = False,
    ) -> Journal:
        """Open the session in `path`, or create it.

        Calls `on_commit` in the event loop with the events that just reached the disk, and `on_broken`
        once, with the reason, when nothing can be written any more. With `draft` a new session gets its
        file when something happens in it, and leaves none if that was only how it is set. With
        `background`, when no person opens it, a damaged one is left as it is, and it does not count as
        used. Raises `JournalBusy` if the session is open elsewhere, `JournalBroken` if it cannot be read
        or written, `OSError` for an unusable folder.
        """
        journal = cls(path, session, vault, on_commit, on_broken, draft=draft, background=background)
        writer = journal._writer
        writer.start()
        try:
            opened = await asyncio.shield(writer.opened)
            journal.head, journal.recovered, journal.damage = opened.head, opened.crashed, opened.damage
        except asyncio.CancelledError:
            # It may open after this; then it has to be closed again.
            writer.jobs.put(CloseJob(False, asyncio.Future()))
            raise
        return journal

    @property
    def queued(self) -> int:
        """How many jobs wait for the journal's thread."""
        return self._writer.jobs.qsize()

    @property
    def damaged(self) -> int:
        """How many saved events read so far are missing or unreadable."""
        return len(self._damaged)

    @property
    def last_damaged(self) -> int:
        """The number of the last event read so far that is missing or unreadable, 0 if none is."""
        return max(self._damaged, default=0)

    # --- writing --------------------------------------------------------------------------------

    async def commit(
        self, *events: AnyEvent, change: Callable[[Transaction], _T] | None = None
    ) -> _T | None:
        """Write events and run `change` in one transaction; both are on disk when this returns.

        Returns what `change` returned. An exception of `change` undoes it and its events and is raised
        here. Cancelling the caller does not undo it. Raises `JournalBroken`.
        """
        return cast("_T | None", await self._append(AppendJob(events, change, asyncio.Future())))

    async def adopt(
        self, events: Sequence[AnyEvent], change: Callable[[Transaction], _T] | None = None
    ) -> None:
        """Write events of another session, with their times, as `commit` does.

        Those without a time are new, and come last.
        """
        await self._append(AppendJob(tuple(events), change, asyncio.Future(), adopted=True))

    async def _append(self, job: AppendJob) -> object:
        self._usable()
        if self.broken:
            raise JournalBroken(self.broken)
        for event in job.events:
            if not event.journalled:
                raise TypeError(f"{type(event).__name__} is not a journalled event")
        self._writer.jobs.put(job)
        return await job.answer

    # --- reading --------------------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> list[AnyEvent]:
        """Return up to `limit` events after number `after`, oldest first; fewer means there are no more.

        Unreadable events are left out and counted in `damaged`.
        """
        return await self.run(lambda tx: self._read(tx, after, limit))

    def _read(self, tx: Transaction, after: int, limit: int) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        for seq, event in saved_events(tx, after, self.head):
            if isinstance(event, str):
                if seq not in self._damaged:
                    if len(self._damaged) < _NAMED:
                        logger.warning("event %d of session %s: %s", seq, self.session, event)
                    self._damaged.add(seq)
                continue
            events.append(event)
            if len(events) >= limit:
                break
        return events

    async def read_only(
        self, kinds: Collection[type[Event]], after: int, upto: int, limit: int
    ) -> list[AnyEvent]:
        """Return up to `limit` events of some kinds, after number `after` and up to `upto`, oldest first.

        Fewer means there are no more. Unreadable events are left out.
        """
        tags = [str(kind.__struct_config__.tag) for kind in kinds]
        return await self.run(lambda tx: list(saved_events_of(tx, tags, after, upto, limit)))

    async def read_these(self, numbers: Sequence[int]) -> list[AnyEvent]:
        """Return the readable ones of the events with these numbers, in that order."""
        return await self.run(lambda tx: [event for seq in numbers for event in saved_event(tx, seq)])

    async def run(self, fn: Callable[[Transaction], _T]) -> _T:
        """Run `fn` in its own transaction, after all earlier writes, and return its answer.

        Its changes are on disk when this returns; an exception undoes them. It runs in the journal's thread
        and blocks writing meanwhile. Raises `JournalBroken`.
        """
        self._usable()
        answer: JobFuture = asyncio.Future()
        self._writer.jobs.put(TransactionJob(fn, answer))
        return cast("_T", await answer)

    # --- checkpoints ----------------------------------------------------------------------------

    async def checkpoint(self) -> Checkpoint | None:
        """Return what the first events come to, None if they have to be read. Raises `JournalBroken`."""
        return None if self.damage else await self.run(load_checkpoint)

    async def save_checkpoint(self, made: Checkpoint) -> bool:
        """Write down what the first events come to; False if not all of them could be read.

        Raises `JournalBroken`.
        """
        if self.damage or self._damaged:
            return False
        return await self.run(lambda tx: save_checkpoint(tx, made))

    # --- the end --------------------------------------------------------------------------------

    async def close(self, clean: bool) -> tuple[int, str]:
        """Write the rest and close; return the number and the hash of the last audit entry.

        `clean`: nothing waits for the next start. May be called again. Raises `JournalBroken` if the last
        write failed; the journal is closed then too.
        """
        if self._closing is None:
            self._closing = asyncio.Future()
            self._writer.jobs.put(CloseJob(clean, self._closing))
        return cast("tuple[int, str]", await asyncio.shield(self._closing))

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
