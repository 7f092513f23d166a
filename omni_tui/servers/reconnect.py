"""When a server is tried again, and how many servers start at the same time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from omni_tui.resilience.backoff import Backoff
from omni_tui.resilience.breaker import BreakerState

FIRST_DELAY_S = 1.0
LAST_DELAY_S = 60.0
STEADY_S = 30.0
"""A connection that holds for less does not interrupt a row of failures."""
OPEN_AFTER = 3
"""Failed attempts in a row that open the breaker."""
RESTARTS = 3
RESTART_WINDOW_S = 300.0
START_HOLD_S = 2.0
"""Seconds after which a slow start no longer keeps the next server waiting."""


class ReconnectBreaker:
    """A circuit breaker around the attempts to connect: closed, open, half open.

    Failures in a row open it; while it is open nothing is sent, and calls fail at once. After the
    delay one attempt is let through (half open): success closes it, failure opens it for longer. It
    also opens when no further attempt follows: a program (`restarts=True`) is started again at most 3
    times in 5 minutes. Unlike `resilience.CircuitBreaker`, it does not keep the time: the connection's
    owner task waits.
    """

    def __init__(self, *, restarts: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.state: BreakerState = "closed"
        self._backoff = Backoff(FIRST_DELAY_S, LAST_DELAY_S)
        self._limited = restarts
        self._clock = clock
        self._restarts: deque[float] = deque()
        self._connected: float | None = None

    @property
    def attempt(self) -> int:
        """Failures in a row."""
        return self._backoff.attempt

    def reset(self) -> None:
        """Forget all failures: the person asked for a new attempt."""
        self._backoff.reset()
        self._restarts.clear()
        self.state = "closed"

    def trying(self) -> None:
        """Note that an attempt begins."""
        if self.state == "open":
            self.state = "half_open"

    def succeeded(self) -> None:
        """Note that the connection was made."""
        self._connected = self._clock()
        self.state = "closed"

    def failed(self, *, lasting: bool) -> float | None:
        """Note a failure; return the seconds until the next attempt, None if there is none."""
        delay = None if lasting else self._next_delay()
        self.state = "open" if delay is None or self.attempt >= OPEN_AFTER else "closed"
        return delay

    def _next_delay(self) -> float | None:
        now = self._clock()
        if self._connected is not None and now - self._connected >= STEADY_S:
            self._backoff.reset()
        self._connected = None
        if self._limited:
            while self._restarts and now - self._restarts[0] > RESTART_WINDOW_S:
                self._restarts.popleft()
            if len(self._restarts) >= RESTARTS:
                return None
            self._restarts.append(now)
        return self._backoff.next_delay()


class StartLimiter:
    """Lets `limit` servers start at a time. One that hangs gives its place away after `hold` seconds."""

    def __init__(self, limit: int, hold: float = START_HOLD_S) -> None:
        self._places = asyncio.Semaphore(max(1, limit))
        self._hold = hold

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place; yields the function that gives it back (also given back on leaving)."""
        await self._places.acquire()
        taken = True

        def give_back() -> None:
            nonlocal taken
            if taken:
                taken = False
                timer.cancel()
                self._places.release()

        timer = asyncio.get_running_loop().call_later(self._hold, give_back)
        try:
            yield give_back
        finally:
            give_back()
