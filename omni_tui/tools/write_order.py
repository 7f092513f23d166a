"""Which calls may run at the same time: calls that write in order, and only so many at once.

The calls of one answer that only read go to their servers together. One that may write waits for the
earlier ones to the same server, and the later ones wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager

from omni_tui.tools.tool_settings import ToolSettings


class OrderPlace:
    """The place of one call in the order of its answer. Leave it when the call is over."""

    def __init__(self, order: WriteOrder, key: Hashable, *, writes: bool) -> None:
        self._order = order
        self._key = key
        self.writes = writes
        self.turn = asyncio.Event()

    def leave(self) -> None:
        """Let the next calls run. May be called more than once."""
        self._order._left(self._key, self)


class WriteOrder:
    """The order of calls. Places are taken in the order of the answer."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[OrderPlace]] = {}

    def take(self, key: Hashable, *, writes: bool) -> OrderPlace:
        """Take the next place. Only calls with the same `key` (answer and server) wait for each other."""
        place = OrderPlace(self, key, writes=writes)
        self._waiting.setdefault(key, []).append(place)
        self._wake(key)
        return place

    def _left(self, key: Hashable, place: OrderPlace) -> None:
        places = self._waiting.get(key, [])
        if place in places:
            places.remove(place)
        if places:
            self._wake(key)
        else:
            self._waiting.pop(key, None)

    def _wake(self, key: Hashable) -> None:
        for number, place in enumerate(self._waiting[key]):
            if not place.writes or number == 0:
                place.turn.set()
            if place.writes:
                return


class ConcurrencyLimits:
    """Limits the calls that run at once: in all, per server, and per pattern of tool names."""

    def __init__(self, settings: ToolSettings) -> None:
        self._settings = settings
        self._all = asyncio.Semaphore(settings.section.concurrency)
        self._slots: dict[tuple[str, str], asyncio.Semaphore] = {}

    @asynccontextmanager
    async def of(self, server: str, tool: str) -> AsyncIterator[None]:
        """Wait until a call may run, and count it until the block ends. The narrowest limit comes first."""
        async with AsyncExitStack() as stack:
            terms = self._settings.of(server, tool)
            slots = {("server", server): self._settings.section.server_concurrency}
            if terms.limit is not None and terms.concurrency is not None:
                slots = {("pattern", terms.limit): terms.concurrency, **slots}
            for key, most in slots.items():
                slot = self._slots.setdefault(key, asyncio.Semaphore(most))
                await stack.enter_async_context(slot)
            await stack.enter_async_context(self._all)
            yield
