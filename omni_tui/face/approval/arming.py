"""When a key may decide: never by accident, never on something other than what was on the screen.

A decision counts only if the item was painted whole and then nothing at all happened for a while,
and if no other key comes with it. Time is injected; nothing here waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from omni_tui.face.clock import Clock, Stillness

QUIET_S = 0.4
"""Seconds an item must have been on the screen, whole and unchanged, with no key pressed."""
REPEAT_S = 0.4
"""The same key again within this time is a held key, not a second press."""
BURST_S = 0.04
"""Three keys within this time are a paste or a macro. A decision waits this long to find out."""
BURST_KEYS = 3


@dataclass(frozen=True, slots=True)
class Painted:
    """What was on the screen: an item's key, the digest of what was shown, and whether all of it was.

    `place` is where: x, y, width, height. The same thing at another place is another picture.
    """

    key: str
    digest: str
    whole: bool
    place: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Press:
    """One key press: what was painted, whether approving was armed, and why it may not count.

    `at` is when it was taken into account, in seconds of the face's clock; `stamp` is the event's time.
    """

    key: str
    at: float
    painted: Painted | None
    armed: bool
    doubt: str
    changes: int = 0
    """How many changes the place and the screen had by then."""
    stamp: float = 0.0


class Arming:
    """Follows paints, keys and disturbances of one place where decisions are made."""

    def __init__(self, clock: Clock, screen: Stillness | None = None) -> None:
        self._clock = clock
        self._screen = screen if screen is not None else Stillness(clock)
        self._changes = 0
        self._since = self._painted_at = clock.monotonic()
        self._keys: deque[float] = deque(maxlen=BURST_KEYS)
        self._last_key, self._last, self._came = "", -1e9, -1e9
        self._stamp = -1e9
        self.painted: Painted | None = None

    def paint(self, painted: Painted | None) -> None:
        """Note what is on the screen now. Anything new starts the quiet time again."""
        if painted != self.painted:
            self.painted = painted
            self.disturb()
            self._painted_at = self._since

    def disturb(self) -> None:
        """Start the quiet time again: focus, resize, resume, paste, a key."""
        self._since = self._clock.monotonic()
        self._changes += 1

    @property
    def _quiet_since(self) -> float:
        return max(self._since, self._screen.since)

    @property
    def armed(self) -> bool:
        """True if approving would count now."""
        return self.wait == 0.0

    @property
    def wait(self) -> float:
        """Seconds until approving counts; infinite while nothing whole is painted."""
        if self.painted is None or not self.painted.whole:
            return float("inf")
        return max(0.0, self._quiet_since + QUIET_S - self._clock.monotonic())

    def press(self, key: str, stamp: float) -> Press:
        """Take a key press into account and return what it may do.

        `stamp` is the event's time: the key was meant for what was on the screen then, whatever is
        painted by the time it is read. Keys of one read of the terminal have the same stamp
        (`face.driver`); the second of them decides nothing.
        """
        now, came = self._clock.monotonic(), self._clock.arrived(stamp)
        armed = self.armed and came - self._quiet_since >= QUIET_S and stamp != self._stamp
        self._keys.append(came)
        burst = len(self._keys) == BURST_KEYS and came - self._keys[0] <= BURST_S
        repeat = key == self._last_key and came - self._came < REPEAT_S
        late = came < self._painted_at
        together = stamp == self._stamp
        self._stamp = stamp
        self._last, self._last_key, self._came = now, key, came
        self.disturb()
        doubts = {
            "too many keys at once": burst or together,
            "the key is held down": repeat,
            "it changed under the key; look again": late,
        }
        doubt = next((why for why, so in doubts.items() if so), "")
        changes = self._changes + self._screen.changes
        return Press(key, now, self.painted, armed, doubt, changes, stamp)

    def stands(self, press: Press) -> bool:
        """Return whether since the press no key came, nothing changed and the same thing is painted."""
        same = (self._last_key, self._last) == (press.key, press.at) and self.painted == press.painted
        return same and self._changes + self._screen.changes == press.changes

    def left(self, press: Press) -> float:
        """Return the seconds for which a burst could still show itself, 0 once they are over."""
        return max(0.0, press.at + BURST_S - self._clock.monotonic())
