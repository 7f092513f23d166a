"""A decision that waits a moment, until it is certain that its key came alone."""

from __future__ import annotations

from collections.abc import Callable

from omni_tui.face.approval.arming import BURST_S, Arming, Press

_LOOK_S = BURST_S + 0.005


class HeldDecision:
    """Weighs every key of a sheet and lets a decision through only if nothing else happened.

    `later` runs a function after some seconds, as `set_timer` does.
    """

    def __init__(self, arming: Arming, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._arming = arming
        self._later = later
        self._held: tuple[Press, Callable[[], None]] | None = None
        self.press: Press | None = None
        """The last key."""

    @property
    def holding(self) -> bool:
        """True while a decision waits."""
        return self._held is not None

    def key(self, key: str, stamp: float) -> None:
        """Take a key into account; what waited is dropped."""
        self._held = None
        self.press = self._arming.press(key, stamp)

    def disturb(self) -> None:
        """Something else happened; what waited is dropped."""
        self._held = None
        self._arming.disturb()

    def why_not(self, early: str) -> str:
        """Return why the last key may not approve, "" if it may; `early` is the reason of one too soon."""
        if self.press is None:
            return early
        return self.press.doubt or ("" if self.press.armed else early)

    def hold(self, decide: Callable[[], None]) -> None:
        """Decide, if the last key turns out to have come alone."""
        if self.press is not None and not self.press.doubt:
            self._held = (self.press, decide)
            self._later(_LOOK_S, self._settle)

    def _settle(self) -> None:
        if self._held is None:
            return
        press, decide = self._held
        if not self._arming.due(press):
            self._later(_LOOK_S, self._settle)
            return
        self._held = None
        if self._arming.stands(press):
            decide()
