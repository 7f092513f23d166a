"""A circuit breaker around a model: after failures it is left alone for a while, then tried by one.

The breaker of a server (`servers.health`) waits in the owner task of its connection; this one is asked
by requests that come from anywhere, so it keeps the time itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]

OPEN_AFTER = 3
"""Failed requests in a row that open it, if none of them does so by itself."""
FIRST_PAUSE_S = 15.0
LASTING_PAUSE_S = 120.0
"""The first pause after an error that waiting alone seldom mends: a refused key, no credit."""
LONGEST_PAUSE_S = 600.0


class CircuitBreaker:
    """Closed: requests go. Open: none goes. Half open: one goes, and what becomes of it decides.

    Each pause is twice the one before, up to ten minutes. All times are of `clock`, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = 0.0
        self._until: float | None = None
        self._probing = False
        self.reason = ""

    @property
    def state(self) -> BreakerState:
        """Its state now. An open one whose pause is over waits for a probe: half open."""
        if self._until is None:
            return "closed"
        return "half_open" if self._probing or self._clock() >= self._until else "open"

    @property
    def wait_s(self) -> float:
        """Seconds until a probe may go; 0 where a request may go now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def take(self, *, force: bool = False) -> bool:
        """Ask whether a request may go. True on an open breaker makes it the probe.

        With `force` it goes as a probe though the pause is not over: nothing else is left to ask.
        """
        if self._until is None:
            return True
        if not force and (self._probing or self.wait_s > 0):
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures, self._pause, self._until, self._probing, self.reason = 0, 0.0, None, False, ""

    def failed(self, reason: str, *, at_once: bool, lasting: bool = False) -> None:
        """A request failed for good. `at_once` opens it without waiting for more."""
        self._failures += 1
        if not (at_once or self._probing or self._failures >= OPEN_AFTER):
            return
        first = LASTING_PAUSE_S if lasting else FIRST_PAUSE_S
        self._pause = min(max(first, self._pause * 2), LONGEST_PAUSE_S)
        self._until = self._clock() + self._pause
        self._probing, self.reason = False, reason

    def released(self) -> None:
        """The request was given up by us: it says nothing about the model."""
        self._probing = False
