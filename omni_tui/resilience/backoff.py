"""Growing delays between the tries of something that keeps failing."""

from __future__ import annotations

import random


class Backoff:
    """Delays in seconds that double from `first` to `last`; jitter takes up to half of each away."""

    def __init__(self, first: float, last: float) -> None:
        self.attempt = 0
        self._first = first
        self._last = last

    def reset(self) -> None:
        """Start with the first delay again."""
        self.attempt = 0

    def next_delay(self) -> float:
        """Count a failure and return the seconds to wait."""
        self.attempt += 1
        step = self._first * 2.0 ** min(self.attempt - 1, 20)
        return min(self._last, step) * random.uniform(0.5, 1.0)
