"""A decision that waits a moment, until it is certain that no other key came with it."""

from __future__ import annotations

from collections.abc import Callable

from omni_tui.face.approval.arming import BURST_S, Arming, Press

_LOOK_S = BURST_S + 0.005


class HeldDecision:
    """Follows the keys of a pane or screen and lets a decision through only if nothing else happened.

    `later` runs a function after some seconds, as `set_timer` does.
    """

    def __init__(self, arming: Arming, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._arming = arming
        self._later = later
        self._held: tuple[Press, Callable[[], None], Callable[[], None] | None] | None = None
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
            self._later(_LOOK_S, self._settle)

    def _settle(self) -> None:
        if self._held is None:
            return
        press, decide, changed = self._held
        if not self._arming.due(press):
            self._later(_LOOK_S, self._settle)
            return
        self._held = None
        if self._arming.stands(press):
            decide()
        elif changed is not None:
            changed()
