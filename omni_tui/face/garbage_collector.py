"""Full garbage collections, only while nothing else happens.

A full collection walks every object: with a screen full of servers that is a tenth of a second in which no
key is answered. Young generations are collected as usual.
"""

from __future__ import annotations

import gc

QUIET_S = 1.0
"""Seconds without an event from the engine before a collection."""
MIN_INTERVAL_S = 30.0
"""Shortest time in seconds between two full collections."""
MAX_INTERVAL_S = 300.0
"""Longest time in seconds between two full collections."""
_NEVER = 1_000_000


class GarbageCollector:
    """Decides when to collect. Times are in seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._last = self._active = now

    def begin(self) -> None:
        """Leave full collections to `tick` from now on."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)

    def note_activity(self, now: float) -> None:
        """Note that something happened."""
        self._active = now

    def tick(self, now: float) -> bool:
        """Collect if it is time; return whether it was."""
        since = now - self._last
        if since < MIN_INTERVAL_S or (now - self._active < QUIET_S and since < MAX_INTERVAL_S):
            return False
        self._last = now
        gc.collect()
        return True
