"""An engine in the same loop, for tests: the same commands, events and codec, no process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from omni_tui.protocol import AnyCommand, AnyEvent, LinkClosed, decode_command, decode_event, encode


class LocalEngine(Protocol):
    """What a local link needs of an engine."""

    async def stop(self) -> None:
        """End everything."""
        ...


class EventSource(Protocol):
    """Where the engine puts events for this face."""

    def drain(self) -> AsyncIterator[list[AnyEvent]]:
        """Yield batches of events."""
        ...

    def close(self) -> None:
        """End the iterator."""
        ...


class LocalLink:
    """A `Link` to an engine object. Everything still passes the codec, so that nothing else can."""

    def __init__(
        self, engine: LocalEngine, box: EventSource, handle: Callable[[AnyCommand], Awaitable[None]]
    ) -> None:
        self.engine = engine
        self._box = box
        self._handle = handle
        self._closed = False
        self._tasks: set[asyncio.Future[None]] = set()

    def send(self, command: AnyCommand) -> None:
        """Hand a command over; never blocks."""
        if self._closed:
            raise LinkClosed("the engine has stopped")
        task = asyncio.ensure_future(self._handle(decode_command(encode(command))))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield events until closed."""
        async for batch in self._box.drain():
            for event in batch:
                yield decode_event(encode(event))

    async def close(self) -> None:
        """Stop the engine."""
        if not self._closed:
            self._closed = True
            await self.engine.stop()
            self._box.close()
