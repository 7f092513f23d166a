"""Whether a server is active: it runs calls, or did so not long ago."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

RECENT_S = 10.0
"""Seconds after its last call for which a server counts as active."""
_PAUSE_S = 0.05


class Activity:
    """Counts the calls of one server; calls `follow` a moment after a change, and when it gets idle."""

    def __init__(self, follow: Callable[[], None]) -> None:
        self.calls = 0
        self._follow = follow
        self._last = 0.0
        self._calm: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a call runs, or ran not long ago."""
        return bool(self.calls or (self._last and time.monotonic() - self._last < RECENT_S))

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Count one call."""
        self.calls += 1
        self._later()
        try:
            yield
        finally:
            self.calls -= 1
            self._last = time.monotonic()
            self._later()

    def begin(self) -> None:
        """Forget the calls before a reconnection."""
        self._last = 0.0

    def look(self) -> None:
        """Call `follow` now, and again when the server gets idle."""
        self._cancel()
        self._follow()
        if not self.calls and self.busy and not self._closed:
            self._calm = asyncio.get_running_loop().call_later(RECENT_S, self.look)

    def close(self) -> None:
        """Stop calling `follow`."""
        self._closed = True
        self._cancel()

    def _later(self) -> None:
        if self._soon is None and not self._closed:
            self._soon = asyncio.get_running_loop().call_later(_PAUSE_S, self.look)

    def _cancel(self) -> None:
        for timer in (self._calm, self._soon):
            if timer is not None:
                timer.cancel()
        self._calm = self._soon = None
