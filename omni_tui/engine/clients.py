"""The clients of an engine, and the bounded buffer of events on their way to each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from omni_tui.models.budget import BudgetLimits
from omni_tui.observability.debug_recorder import DebugRecorder
from omni_tui.protocol import AnyEvent, Event
from omni_tui.protocol.calls import TaskProgress
from omni_tui.protocol.events import AnswerDelta, CallProgress, EventsDropped, ReplayDone, ThoughtDelta

CAPACITY = 2_000

_MOMENTARY = (AnswerDelta, ThoughtDelta, CallProgress, TaskProgress)


class EventBuffer:
    """Events on their way to one client.

    When it is full, and during a replay, deltas and progress are dropped. If a journalled event does
    not fit either, all further ones are dropped too, until the client has caught up and is told where
    to read on. During a replay, and before the first one, journalled events are left to the replay, so
    that they arrive once and in order; `skipped` is the highest number left to it.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._queue: deque[AnyEvent] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._last = 0
        self._lagging = False
        self._drained = asyncio.Event()
        self.caught_up = asyncio.Event()
        """Set when a replay has caught up with the journal."""
        self.skipped = 0
        self.replay = asyncio.Lock()
        self.recorder: DebugRecorder | None = None
        """Told of each event while somebody looks."""

    @property
    def queued(self) -> int:
        """How many events wait for the client."""
        return len(self._queue)

    def offer(self, event: AnyEvent) -> None:
        """Queue an event, or drop it as described above."""
        if self._closed:
            return
        if event.journalled and not event.public:
            return
        if self.recorder is not None and self.recorder.on:
            self.recorder.event_sent(event)
        full = len(self._queue) >= self._capacity
        if event.journalled and not self.caught_up.is_set():
            self.skipped = max(self.skipped, event.seq)
            return
        if event.journalled:
            if full:
                self._lagging = True
            if self._lagging:
                return
            self._last = max(self._last, event.seq)
        elif isinstance(event, _MOMENTARY) and (full or not self.caught_up.is_set()):
            return  # during a replay it would come before what the replay sends
        self._queue.append(event)
        self._wake.set()

    def begin_replay(self) -> None:
        """Leave journalled events to a replay. Hold the lock `replay` during it."""
        self.caught_up.clear()

    def end_replay(self, head: int) -> None:
        """End a replay that has caught up with the journal at `head`."""
        self.caught_up.set()
        self._lagging, self._last = False, head

    def replayed(self, event: AnyEvent) -> None:
        """Queue an event of a replay; the caller waits for `room` before it offers more."""
        if event.public or isinstance(event, ReplayDone):
            self._queue.append(event)
            self._wake.set()

    async def room(self) -> None:
        """Wait until less than half of the capacity is used."""
        while len(self._queue) > self._capacity // 2 and not self._closed:
            self._drained.clear()
            await self._drained.wait()

    def close(self) -> None:
        """Take no more events; `drain` ends after those queued."""
        self._closed = True
        self._wake.set()
        self._drained.set()

    async def drain(self) -> AsyncIterator[list[AnyEvent]]:
        """Yield what is queued, in batches, until closed."""
        while True:
            if not self._queue:
                if self._closed:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = list(self._queue)
            self._queue.clear()
            if self._lagging:
                self._lagging = False
                batch.append(EventsDropped(after=self._last))
            yield batch
            self._drained.set()


@dataclass(slots=True, eq=False)
class Client:
    """One client of an engine: a face, a gateway or a run, at the other end of a link.

    `session` is the id of the session it follows, `headless` whether nobody is there to answer, and
    `limits` what its sessions may spend.
    """

    outbox: EventBuffer
    session: str
    limits: BudgetLimits
    headless: bool = False

    def follow(self, session: str) -> None:
        """Follow another session: its events have to be asked for."""
        self.session = session
        self.outbox.skipped = 0
        self.outbox.begin_replay()

    def tell(self, event: Event) -> None:
        """Send an event that is true for the moment."""
        stamped = msgspec.structs.replace(
            event, ts=event.ts or time.time(), session=event.session or self.session
        )
        self.outbox.offer(stamped)  # type: ignore[arg-type]


class Clients(list[Client]):
    """The clients of one engine."""

    @property
    def attended(self) -> bool:
        """Whether a person is at one of them."""
        return any(not client.headless for client in self)

    def following(self, session: str) -> list[Client]:
        """Return the clients that follow a session."""
        return [client for client in self if client.session == session]

    def tell(self, event: Event) -> None:
        """Send every client an event that is true for the moment."""
        for client in self:
            client.tell(event)
