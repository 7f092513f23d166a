"""A histogram of durations, cheap to add to."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds. Source: OpenTelemetry's conventions for MCP and for generative AI."""


class DurationHistogram:
    """Counts of durations in seconds by `BOUNDS_S`; the last count is of those above all bounds."""

    __slots__ = ("count", "counts", "longest", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    @property
    def mean(self) -> float:
        """The mean in seconds, 0 without any."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Return about the duration that a share of all does not exceed: exact to its bounds."""
        wanted, below = share * self.count, 0
        for number, count in enumerate(self.counts):
            if count and below + count >= wanted:
                low = BOUNDS_S[number - 1] if number else 0.0
                high = BOUNDS_S[number] if number < len(BOUNDS_S) else self.longest
                return min(low + (high - low) * (wanted - below) / count, self.longest)
            below += count
        return 0.0

    def merged(self, other: DurationHistogram) -> DurationHistogram:
        """Return one with the durations of both."""
        found = DurationHistogram()
        found.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        found.count, found.total = self.count + other.count, self.total + other.total
        found.longest = max(self.longest, other.longest)
        return found
