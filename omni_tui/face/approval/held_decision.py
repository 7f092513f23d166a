"""A decision that waits a moment, until it is certain that no other key came with it."""

from __future__ import annotations

from collections.abc import Callable

from omni_tui.face.approval.arming import Arming, Press

_SLACK_S = 0.005
"""Seconds in which input that was just read reaches the pane it is for."""


class HeldDecision:
    """Follows the keys of a pane or screen and lets a decision through only if nothing else happened.

    `later` runs a function after some seconds, as `set_timer` does. `input_since` tells whether anything
    came from the terminal after a key with a certain time, also what no widget has got yet: it then has
    a moment to arrive. A decision of a quiet terminal need not wait for that.
    """

    def __init__(
        self,
        arming: Arming,
        later: Callable[[float, Callable[[], None]], object],
        input_since: Callable[[float], bool],
    ) -> None:
        self._arming = arming
        self._later = later
        self._input_since = input_since
        self._held: tuple[Press, Callable[[], None], Callable[[], None] | None] | None = None
        self._looks_again = False
        self.press: Press | None = None
        """The last key."""

    @property
    def holding(self) -> bool:
        """True while a decision waits."""
        return self._held is not None

    def key(self, key: str, stamp: float) -> None:
        """Take a key into account; a waiting decision is dropped."""
        self._held = None
        self.press = self._arming.press(key, stamp)

    def disturb(self) -> None:
        """Note that something else happened; a waiting decision is dropped."""
        self._held = None
        self._arming.disturb()

    def why_not(self, early: str) -> str:
        """Return why the last key may not approve, "" if it may; `early` if it came too soon."""
        if self.press is None:
            return early
        return self.press.doubt or ("" if self.press.armed else early)

    def hold(self, decide: Callable[[], None], changed: Callable[[], None] | None = None) -> None:
        """Decide if the last key turns out to have come alone; `changed` if something else was painted."""
        if self.press is not None and not self.press.doubt:
            self._held = (self.press, decide, changed)
            self._looks_again = True
            self._later(self._arming.left(self.press), self._settle)

    def _settle(self) -> None:
        if self._held is None:
            return
        press, decide, changed = self._held
        left = self._arming.left(press)
        if not left and self._looks_again and self._input_since(press.stamp):
            self._looks_again, left = False, _SLACK_S
        if left:
            self._later(left, self._settle)
            return
        self._held = None
        if self._arming.stands(press):
            decide()
        elif changed is not None:
            changed()
