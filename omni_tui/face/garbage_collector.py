"""Full collections of garbage when nothing else is to do: each walks every object there is.

With a screen full of servers that is a tenth of a second in which no key is answered. What the young
generations find is collected as always.
"""

from __future__ import annotations

import gc

QUIET_S = 1.0
"""How long nothing must have come from the engine."""
MIN_INTERVAL_S = 30.0
"""Seconds between two full collections at least."""
MAX_INTERVAL_S = 300.0
"""Seconds after which one takes place whatever goes on."""
_NEVER = 1_000_000


class GarbageCollector:
    """Decides when a full collection takes place. Times are in seconds of any one clock."""

    def __init__(self, now: float) -> None:
        self._last = self._active = now

    def begin(self) -> None:
        """From now on there are full collections only by `tick`."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)

    def note_activity(self, now: float) -> None:
        """Something happened just now."""
        self._active = now

    def tick(self, now: float) -> bool:
        """Collect if it is time; returns whether it was."""
        since = now - self._last
        if since < MIN_INTERVAL_S or (now - self._active < QUIET_S and since < MAX_INTERVAL_S):
            return False
        self._last = now
        gc.collect()
        return True
