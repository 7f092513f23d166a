"""Time as the face sees it, so that tests can hold it still."""

from __future__ import annotations

import sys
import time
from typing import Protocol


class Clock(Protocol):
    """What the face asks for the time."""

    def time(self) -> float:
        """Return Unix time in seconds: for ages and hours shown."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back: for arming, bursts and double presses."""
        ...

    def arrived(self, stamp: float) -> float:
        """Return when an event came, of which Textual says `stamp`, in seconds of `monotonic`."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Return Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        return time.monotonic()

    def arrived(self, stamp: float) -> float:
        """Return the stamp: Textual's come from the same clock, except on Windows."""
        now = time.monotonic()
        return min(stamp, now) if sys.platform != "win32" else now


class Stillness:
    """When something last happened to the screen as a whole: a size, a theme, a sheet opened or closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.since = float("-inf")
        self.changes = 0

    def disturb(self) -> None:
        """Something happened: nothing on the screen is what it was."""
        self.since = self._clock.monotonic()
        self.changes += 1
