"""Drawing once with the next frame, however often it is requested.

`call_after_refresh` hands its function to the screen on top. If that screen closes first, the function is
never called: a timer calls it then.
"""

from __future__ import annotations

from collections.abc import Callable

from textual.timer import Timer
from textual.widget import Widget

LATEST_S = 0.1
"""Seconds after which the function is called in any case."""


class NextFrameCall:
    """Calls a function of a widget once with the next frame."""

    def __init__(self, owner: Widget, run: Callable[[], object]) -> None:
        self._owner = owner
        self._run = run
        self._timer: Timer | None = None

    def ask(self) -> None:
        """Request the call; ignored while the widget is not mounted."""
        if self._timer is None and self._owner.is_attached and self._owner.is_running:
            self._timer = self._owner.set_timer(LATEST_S, self._call, name="soon")
            self._owner.call_after_refresh(self._call)

    def _call(self) -> None:
        if self._timer is not None:
            self.done()
            if self._owner.is_attached:
                self._run()

    def done(self) -> None:
        """Drop the request: its work was done already."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
