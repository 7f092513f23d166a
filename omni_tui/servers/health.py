"""How a server is doing: what is wrong in words, when it is tried again, and who may start now."""

from __future__ import annotations

import asyncio
import random
import shlex
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from omni_tui.config.spec import ServerSpec

RECENT = 10.0
"""Seconds after its last call for which a server counts as active."""

_FIRST_DELAY = 1.0
_LAST_DELAY = 60.0
_STEADY = 30.0
OPEN_AFTER = 3
"""Failed attempts in a row that open the breaker."""
RESTARTS = 3
RESTART_WINDOW = 300.0
START_HOLD = 2.0
"""Seconds after which a start that takes its time no longer keeps the next server waiting."""


BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """Why a server is not connected: what happened, what to do, and whether trying again is pointless.

    `sign_in`: the person has to sign in first.
    """

    what: str
    todo: str = ""
    lasting: bool = False
    sign_in: bool = False


def suggest_log(server: str) -> str:
    """Say how a server's whole log is read."""
    return f"Its whole log: omni-tui servers log {shlex.quote(server)}"


def suggest_longer_timeout(spec: ServerSpec) -> str:
    """Say how a server that is slow to start gets more time, where it is defined and for one run."""
    own = "connect_timeout in its settings, or " if spec.source in ("user", "project", "session") else ""
    how = f"{own}--connect-timeout SECONDS for one run"
    return f"Give it longer ({how}), or see why: omni-tui servers log {shlex.quote(spec.name)}"


class ConnectionFailed(Exception):
    """Carries a `ConnectionFailure` out of a transport."""

    def __init__(self, trouble: ConnectionFailure) -> None:
        super().__init__(trouble.what)
        self.trouble = trouble


def root_cause(error: BaseException) -> BaseException:
    """Return the first real failure inside nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        real = [part for part in error.exceptions if not isinstance(part, asyncio.CancelledError)]
        error = (real or list(error.exceptions))[0]
    return error


class ReconnectBackoff:
    """When to try a connection again: full jitter over a doubling delay, 1 s to 60 s.

    A program (`restarts=True`) is started again by itself at most 3 times in 5 minutes.
    """

    def __init__(self, *, restarts: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.attempt = 0
        self._limited = restarts
        self._clock = clock
        self._restarts: deque[float] = deque()
        self._connected: float | None = None

    def reset(self) -> None:
        """Begin anew: the person asked for it."""
        self.attempt = 0
        self._restarts.clear()

    def connected(self) -> None:
        """The connection stands."""
        self._connected = self._clock()

    def next_delay(self) -> float | None:
        """Return how many seconds to wait before the next attempt, None for: not by itself."""
        now = self._clock()
        if self._connected is not None and now - self._connected >= _STEADY:
            self.attempt = 0
        self._connected = None
        if self._limited:
            while self._restarts and now - self._restarts[0] > RESTART_WINDOW:
                self._restarts.popleft()
            if len(self._restarts) >= RESTARTS:
                return None
            self._restarts.append(now)
        self.attempt += 1
        ceiling = min(_LAST_DELAY, _FIRST_DELAY * 2.0 ** min(self.attempt - 1, 10))
        return ceiling * random.uniform(0.5, 1.0)


class ConnectBreaker:
    """A circuit breaker around the attempts to connect: closed, open, half open.

    Failures in a row open it; while it is open nothing is sent, and calls fail at once. When the
    backoff's delay has passed, one attempt is let through (half open): success closes it, failure opens
    it again for longer. It also opens when nothing is tried again by itself.
    """

    def __init__(self, backoff: ReconnectBackoff) -> None:
        self._backoff = backoff
        self.state: BreakerState = "closed"

    @property
    def attempt(self) -> int:
        """Failures in a row; a connection that held for less than 30 s does not interrupt them."""
        return self._backoff.attempt

    def reset(self) -> None:
        """Begin anew: the person asked for it."""
        self._backoff.reset()
        self.state = "closed"

    def trying(self) -> None:
        """An attempt begins."""
        if self.state == "open":
            self.state = "half_open"

    def succeeded(self) -> None:
        """The connection stands."""
        self._backoff.connected()
        self.state = "closed"

    def failed(self, *, lasting: bool) -> float | None:
        """Note a failure; return how many seconds to wait for the next attempt, None: not by itself."""
        delay = None if lasting else self._backoff.next_delay()
        self.state = "open" if delay is None or self.attempt >= OPEN_AFTER else "closed"
        return delay


class StartLimiter:
    """Lets `limit` servers start at a time. One that hangs gives its place away after `hold` seconds."""

    def __init__(self, limit: int, hold: float = START_HOLD) -> None:
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
