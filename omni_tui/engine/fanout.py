"""From the engine to its faces: bounded, never blocking, losing only what is momentary."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from omni_tui.protocol import AnyEvent, Event
from omni_tui.protocol.calls import TaskProgress
from omni_tui.protocol.events import AnswerDelta, CallProgress, EventsDropped, ReplayDone, ThoughtDelta

CAPACITY = 2_000

_MOMENTARY = (AnswerDelta, ThoughtDelta, CallProgress, TaskProgress)


class EventBuffer:
    """Events on their way to one face.

    When it is full, and during a replay, deltas and progress are dropped; if a journalled event does
    not fit either, all further ones are, until the face has caught up and is told where to read on.
    While the journal is being replayed, as it is from the beginning, journalled events are left to the
    replay, so that they arrive once and in order; `skipped` is the highest number left to it.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._queue: deque[AnyEvent] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._last = 0
        self._lagging = False
        self._drained: asyncio.Future[None] | None = None
        self._told = asyncio.Event()
        self.skipped = 0
        self.replay = asyncio.Lock()

    def offer(self, event: AnyEvent) -> None:
        """Queue an event, or drop it as described above."""
        if self._closed:
            return
        if event.journalled and not event.public:
            return
        full = len(self._queue) >= self._capacity
        if event.journalled and self.replaying:
            self.skipped = max(self.skipped, event.seq)
            return
        if event.journalled:
            if full:
                self._lagging = True
            if self._lagging:
                return
            self._last = max(self._last, event.seq)
        elif isinstance(event, _MOMENTARY) and (full or self.replaying):
            return  # during a replay it would stand before everything that the replay tells
        self._queue.append(event)
        self._wake.set()

    @property
    def replaying(self) -> bool:
        """Whether journalled events are left to a replay, which may not have been asked for yet."""
        return not self._told.is_set()

    async def told(self, seconds: float) -> bool:
        """Wait at most so long until a replay has caught up with the journal. False if none has."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), seconds)
        return not self.replaying

    def begin_replay(self) -> None:
        """Leave journalled events to a replay. Hold the lock `replay` meanwhile."""
        self._told.clear()

    def end_replay(self, head: int) -> None:
        """The replay has caught up with the journal at `head`."""
        self._told.set()
        self._lagging, self._last = False, head

    def replayed(self, event: AnyEvent) -> None:
        """Queue an event of a replay; the caller waits for room before it offers more."""
        if event.public or isinstance(event, ReplayDone):
            self._queue.append(event)
            self._wake.set()

    async def room(self) -> None:
        """Wait until less than half of the capacity is used."""
        while len(self._queue) > self._capacity // 2 and not self._closed:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def close(self) -> None:
        """No more events; the iterator ends after those queued."""
        self._closed = True
        self._wake.set()
        self._release()

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
            self._release()

    def _release(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)


class EventBroadcaster:
    """All faces of one engine."""

    def __init__(self) -> None:
        self._outboxes: set[EventBuffer] = set()

    def attach(self, outbox: EventBuffer) -> None:
        """A face arrived."""
        self._outboxes.add(outbox)

    def detach(self, outbox: EventBuffer) -> None:
        """A face left."""
        self._outboxes.discard(outbox)

    def another_session(self) -> None:
        """The journal is another one now: every face has to ask for its events."""
        for outbox in self._outboxes:
            outbox.skipped = 0
            outbox.begin_replay()

    def publish(self, event: AnyEvent | Event) -> None:
        """Offer an event to every face."""
        for outbox in self._outboxes:
            outbox.offer(event)  # type: ignore[arg-type]
