"""Whether a server is at work: its running calls, and the calm after the last of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from omni_tui.servers.health import RECENT

_PAUSE = 0.05


class Activity:
    """Counts the calls of one server. `follow` is called a moment after a change, and when calm returns.

    A quick call is told of once, and does not wait for that.
    """

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
        return bool(self.calls or (self._last and time.monotonic() - self._last < RECENT))

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
        """Begin a new life: what ran before does not count."""
        self._last = 0.0

    def look(self) -> None:
        """Follow now, and again when it is calm."""
        self._cancel()
        self._follow()
        if not self.calls and self.busy and not self._closed:
            self._calm = asyncio.get_running_loop().call_later(RECENT, self.look)

    def close(self) -> None:
        """Follow nothing any more."""
        self._closed = True
        self._cancel()

    def _later(self) -> None:
        if self._soon is None and not self._closed:
            self._soon = asyncio.get_running_loop().call_later(_PAUSE, self.look)

    def _cancel(self) -> None:
        for timer in (self._calm, self._soon):
            if timer is not None:
                timer.cancel()
        self._calm = self._soon = None
