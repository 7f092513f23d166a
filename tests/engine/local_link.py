"""A link to an engine in the same loop: the same commands, events and codec, no process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from omni_tui.engine.command_router import CommandRouter
from omni_tui.protocol import AnyCommand, AnyEvent, LinkClosed, decode_command, decode_event, encode


class LocalLink:
    """A `Link` to an engine object. Everything still passes the codec, so that nothing else can."""

    def __init__(self, engine_end: CommandRouter) -> None:
        self._engine_end = engine_end
        self._closed = False
        self._tasks: set[asyncio.Future[None]] = set()

    def send(self, command: AnyCommand) -> None:
        """Queue a command; never blocks."""
        if self._closed:
            raise LinkClosed("the engine has stopped")
        task = asyncio.ensure_future(self._engine_end.handle(decode_command(encode(command))))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield events until closed."""
        async for batch in self._engine_end.outbox.drain():
            for event in batch:
                yield decode_event(encode(event))

    async def close(self) -> None:
        """Leave the engine, which ends with its last client."""
        if not self._closed:
            self._closed = True
            await self._engine_end.leave()
