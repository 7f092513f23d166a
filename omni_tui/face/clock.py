"""The clock of the face, which tests replace."""

from __future__ import annotations

import sys
import time
from typing import Protocol


class Clock(Protocol):
    """Time in seconds."""

    def time(self) -> float:
        """Return Unix time: for ages and hours on the screen."""

    def monotonic(self) -> float:
        """Return time that never goes back: for arming, bursts and double presses."""

    def arrived(self, stamp: float) -> float:
        """Return when an event with Textual's time `stamp` came, in seconds of `monotonic`."""


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
    """When the screen as a whole changed last: its size, its theme, a screen opened or closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.since = float("-inf")
        self.changes = 0

    def disturb(self) -> None:
        """Note a change: everything on the screen may look different now."""
        self.since = self._clock.monotonic()
        self.changes += 1
