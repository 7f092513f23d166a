"""A circuit breaker around a model: after failures, requests wait for a while, then one tries it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]

OPEN_AFTER = 3
"""Failed requests in a row that open it, if none opens it at once."""
FIRST_PAUSE_S = 15.0
LASTING_PAUSE_S = 120.0
"""The first pause after an error that waiting rarely cures: a refused key, no credit."""
LONGEST_PAUSE_S = 600.0


class CircuitBreaker:
    """Closed: requests pass. Open: none passes. Half open: one passes, and its outcome decides.

    Each pause is twice the one before, up to ten minutes. All times are of `clock`, in seconds. Unlike
    `servers.ReconnectBreaker`, it keeps the time itself, since requests come from anywhere.
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
        """The present state. An open breaker whose pause is over is half open."""
        if self._until is None:
            return "closed"
        return "half_open" if self._probing or self._clock() >= self._until else "open"

    @property
    def wait_s(self) -> float:
        """Seconds until a probe may go; 0 where a request may go now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def take(self, *, force: bool = False) -> bool:
        """Return whether a request may pass. True on an open breaker makes it the probe.

        `force` lets it pass before the pause is over, where no other model is left.
        """
        if self._until is None:
            return True
        if not force and (self._probing or self.wait_s > 0):
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Note an answered request."""
        self._failures, self._pause, self._until, self._probing, self.reason = 0, 0.0, None, False, ""

    def failed(self, reason: str, *, at_once: bool, lasting: bool = False) -> None:
        """Note a request that failed for good. `at_once` opens the breaker without waiting for more."""
        self._failures += 1
        if not (at_once or self._probing or self._failures >= OPEN_AFTER):
            return
        first = LASTING_PAUSE_S if lasting else FIRST_PAUSE_S
        self._pause = min(max(first, self._pause * 2), LONGEST_PAUSE_S)
        self._until = self._clock() + self._pause
        self._probing, self.reason = False, reason

    def released(self) -> None:
        """Note that we gave the request up, which says nothing about the model."""
        self._probing = False
