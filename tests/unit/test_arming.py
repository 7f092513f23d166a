"""When a key may decide, on a clock that stands still until it is told to move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omni_tui.face.approval.arming import BURST_S, QUIET_S, REPEAT_S, Arming, Painted

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
    assert not arming.due(press)
    clock.now += BURST_S
    assert arming.due(press)
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
