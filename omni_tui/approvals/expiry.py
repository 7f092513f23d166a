"""Ends what waited for the person too long. The time can refuse, and nothing else.

`Expiry` knows items (calls, plans, server requests) by their ids and one thing that can happen to them:
`Expires.expire`. What that means is the item's own: a call is not sent, a plan is not carried out, a
server is told that nobody decided.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

logger = logging.getLogger(__name__)

DECIDER = "timeout"
"""The decider of what nobody decided on in time."""
REASON = "nobody decided in time"


class Expires(Protocol):
    """What ends an item whose time is over."""

    async def expire(self, item: str, /) -> None:
        """End an item that still waits and whose time is over; else do nothing."""
        ...


class Expiry:
    """One timer for each waiting item of one kind; none if `after` (seconds) is 0."""

    def __init__(self, queue: Expires, after: float) -> None:
        self._queue = queue
        self._after = after
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._due: set[asyncio.Task[None]] = set()

    @property
    def timers(self) -> int:
        """The number of items whose time runs."""
        return len(self._timers)

    def ends(self) -> float:
        """Return when an item that now begins to wait expires, as Unix time; 0 for never."""
        return time.time() + self._after if self._after else 0.0

    def begin(self, item: str) -> None:
        """Let the time of an item begin, or begin again."""
        if self._after:
            self.stop(item)
            loop = asyncio.get_running_loop()
            self._timers[item] = loop.call_later(self._after, self._over, item)

    def stop(self, item: str) -> None:
        """Forget an item: it was decided on."""
        if (timer := self._timers.pop(item, None)) is not None:
            timer.cancel()

    def runs(self, item: str) -> bool:
        """Whether the time of an item is not over yet."""
        return item in self._timers

    def close(self) -> None:
        """Forget all items: the session is left, and what lasts waits for its next start."""
        for item in list(self._timers):
            self.stop(item)
        for task in self._due:
            task.cancel()

    def _over(self, item: str) -> None:
        del self._timers[item]
        task = asyncio.ensure_future(self._queue.expire(item))
        self._due.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._due.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("what waited too long could not be ended", exc_info=error)
