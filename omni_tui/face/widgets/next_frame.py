"""Drawing once for many reasons, and surely.

`call_after_refresh` hands its function to the screen that is on top at that moment. If that screen closes
first, the function is never called; whoever remembers that it was asked for would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from textual.timer import Timer
from textual.widget import Widget

LATEST_S = 0.1
"""Seconds after which it is done in any case."""


class NextFrameCall:
    """Calls a function of a widget with the next frame, once however often it is asked for."""

    def __init__(self, owner: Widget, run: Callable[[], object]) -> None:
        self._owner = owner
        self._run = run
        self._timer: Timer | None = None

    def ask(self) -> None:
        """Have it called; nothing happens before the widget is there, or after it has gone."""
        if self._timer is None and self._owner.is_attached and self._owner.is_running:
            self._timer = self._owner.set_timer(LATEST_S, self._call, name="soon")
            self._owner.call_after_refresh(self._call)

    def _call(self) -> None:
        if self._timer is not None:
            self.done()
            if self._owner.is_attached:
                self._run()

    def done(self) -> None:
        """Take it as called: it was done for another reason."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
