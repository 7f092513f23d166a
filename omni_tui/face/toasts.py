"""Toasts: messages that stand over the screen for some seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from textual.geometry import Region
from textual.notifications import Notification
from textual.screen import Screen

SHORTEST_S = 0.05
"""Textual's timers never end if they begin with a time that is over, and the whole app stands still."""


@dataclass
class SteadyNotification(Notification):
    """A notification whose time runs by a clock that nobody sets, and is never given as negative."""

    began: float = field(default_factory=monotonic)

    @property
    def time_left(self) -> float:
        """Seconds until it goes, at least `SHORTEST_S`: its toast may be mounted later than that."""
        return max(SHORTEST_S, self._left)

    @property
    def has_expired(self) -> bool:
        """Whether its time is over."""
        return self._left <= 0

    @property
    def _left(self) -> float:
        return self.began + self.timeout - monotonic()


def covered_by_toast(screen: Screen[Any], region: Region) -> bool:
    """Return whether a toast stands over a part of the screen."""
    return any(toast.region.overlaps(region) for toast in screen.query("Toast"))
