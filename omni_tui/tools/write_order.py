"""Which calls may run at the same time: calls that write in order, and only so many at once.

The calls of one answer that only read go to their servers together. One that may write waits for the
earlier ones to the same server, and the later ones wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager

from omni_tui.tools.rules import ToolRules


class OrderPlace:
    """The place of one call in the order of its answer. Leave it when the call is over."""

    def __init__(self, lanes: WriteOrder, key: Hashable, *, writes: bool) -> None:
        self._lanes = lanes
        self._key = key
        self.writes = writes
        self.turn = asyncio.Event()

    def leave(self) -> None:
        """Let the next calls run. May be called more than once."""
        self._lanes._left(self._key, self)


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
        line = self._waiting.get(key, [])
        if place in line:
            line.remove(place)
        if line:
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

    def __init__(self, rules: ToolRules) -> None:
        self._rules = rules
        self._all = asyncio.Semaphore(rules.section.concurrency)
        self._slots: dict[tuple[str, str], asyncio.Semaphore] = {}

    @asynccontextmanager
    async def of(self, server: str, tool: str) -> AsyncIterator[None]:
        """Wait until a call may run, and count it until the block ends. The narrowest limit comes first."""
        async with AsyncExitStack() as stack:
            terms = self._rules.of(server, tool)
            if terms.limit is not None and terms.concurrency is not None:
                await stack.enter_async_context(self._slot("pattern", terms.limit, terms.concurrency))
            most = self._rules.section.server_concurrency
            await stack.enter_async_context(self._slot("server", server, most))
            await stack.enter_async_context(self._all)
            yield

    def _slot(self, kind: str, name: str, most: int) -> asyncio.Semaphore:
        return self._slots.setdefault((kind, name), asyncio.Semaphore(most))
