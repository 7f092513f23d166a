"""When a key may decide, on a clock that stands still until it is told to move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from omni_tui.face.approval.arming import BURST_S, QUIET_S, REPEAT_S, Arming, Painted
from omni_tui.face.approval.held_decision import HeldDecision

SHOWN = Painted("c1", "d1", whole=True)


class Clock:
    """Moved by hand; events carry its time."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def arrived(self, stamp: float) -> float:
        return min(stamp, self.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arming(clock: Clock) -> Arming:
    """Something whole has stood there long enough."""
    arming = Arming(clock)
    arming.paint(SHOWN)
    clock.now += QUIET_S + 0.01
    return arming


def test_a_calm_press_is_armed(arming: Arming, clock: Clock) -> None:
    press = arming.press("A", clock.now)
    assert press.armed
    assert press.doubt == ""
    assert press.painted == SHOWN


def test_a_press_before_the_quiet_time_is_over_is_not_armed(arming: Arming, clock: Clock) -> None:
    arming.disturb()
    clock.now += QUIET_S - 0.01
    assert not arming.press("A", clock.now).armed


def test_what_is_not_shown_whole_is_never_armed(arming: Arming, clock: Clock) -> None:
    arming.paint(replace(SHOWN, whole=False))
    clock.now += 60
    assert not arming.press("A", clock.now).armed


def test_a_key_that_came_before_the_picture_was_not_meant_for_it(arming: Arming, clock: Clock) -> None:
    came = clock.now
    clock.now += 1.0  # the screen stood still
    arming.paint(Painted("c2", "d2", whole=True))
    clock.now += QUIET_S + 0.01
    press = arming.press("R", came)
    assert "changed" in press.doubt
    assert not press.armed


def test_a_key_that_came_in_the_quiet_time_is_not_armed_however_late_it_is_read(
    arming: Arming, clock: Clock
) -> None:
    arming.disturb()
    came = clock.now + QUIET_S / 2
    clock.now += 5 * QUIET_S
    assert not arming.press("A", came).armed


def test_a_burst_is_told_by_when_its_keys_came_not_by_when_they_were_read(
    arming: Arming, clock: Clock
) -> None:
    came = clock.now
    doubts = []
    for key in "xyA":
        clock.now += 3 * BURST_S
        doubts.append(arming.press(key, came).doubt)
    assert doubts[-1] == "too many keys at once"


def test_a_held_key_repeats(arming: Arming, clock: Clock) -> None:
    arming.press("A", clock.now)
    clock.now += REPEAT_S / 2
    assert arming.press("A", clock.now).doubt == "the key is held down"


def test_another_key_after_the_press_makes_it_no_longer_stand(arming: Arming, clock: Clock) -> None:
    press = arming.press("A", clock.now)
    assert arming.stands(press)
    assert arming.left(press) > 0
    clock.now += BURST_S
    assert arming.left(press) == 0
    arming.press("b", clock.now)
    assert not arming.stands(press)


def test_the_second_key_of_one_read_decides_nothing(arming: Arming, clock: Clock) -> None:
    arming.press("x", clock.now)
    press = arming.press("R", clock.now)
    assert press.doubt == "too many keys at once"
    clock.now += QUIET_S + 0.01
    came = clock.now
    first = arming.press("A", came)
    assert first.armed
    assert not first.doubt
    arming.press("x", came)
    assert not arming.stands(first)


# --- a decision that waits for a burst to show itself ---------------------------------------------


class Later:
    """Timers that go off when the clock is moved to their time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> None:
        self.timers.append((self._clock.now + seconds, call))

    def go(self) -> float:
        """Let the next timer go off; return how long that took."""
        at, call = self.timers.pop(0)
        took = at - self._clock.now
        self._clock.now = at
        call()
        return took


@dataclass
class Held:
    """A pressed key whose decision is held. `came` is the time of the last input of the terminal."""

    arming: Arming
    clock: Clock
    came: float = 0.0
    decided: int = 0

    def __post_init__(self) -> None:
        self.later = Later(self.clock)
        self.decision = HeldDecision(self.arming, self.later, lambda stamp: self.came > stamp)
        self.key("A")
        self.decision.hold(self._decide)

    def _decide(self) -> None:
        self.decided += 1

    def key(self, key: str) -> None:
        self.came = self.clock.now
        self.decision.key(key, self.came)


def test_a_key_of_a_quiet_terminal_decides_as_soon_as_no_burst_can_come(
    arming: Arming, clock: Clock
) -> None:
    held = Held(arming, clock)
    assert held.later.go() == pytest.approx(BURST_S)
    assert held.decided == 1
    assert not held.later.timers


def test_a_timer_that_is_early_waits_for_what_is_left(arming: Arming, clock: Clock) -> None:
    held = Held(arming, clock)
    ((at, call),) = held.later.timers
    held.later.timers = [(at - 0.01, call)]
    held.later.go()
    assert held.decided == 0
    assert held.later.go() == pytest.approx(0.01)
    assert held.decided == 1


@pytest.mark.parametrize("arrives", [True, False], ids=["a key", "no key"])
def test_input_that_no_pane_has_got_yet_has_time_to_arrive(
    arrives: bool, arming: Arming, clock: Clock
) -> None:
    """A key that was read in the last instant drops the decision; a report of the mouse does not."""
    held = Held(arming, clock)
    held.came = clock.now + BURST_S / 2
    held.later.go()
    assert held.decided == 0
    assert held.decision.holding
    if arrives:
        held.key("x")
    assert held.later.go() > 0
    assert held.decided == (0 if arrives else 1)
    assert not held.later.timers


def test_input_without_end_does_not_hold_a_decision_up_for_ever(arming: Arming, clock: Clock) -> None:
    held = Held(arming, clock)
    held.came = float("inf")
    held.later.go()
    held.later.go()
    assert held.decided == 1
