"""Full collections wait for a quiet moment, but not for ever."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from omni_tui.face.garbage_collector import MAX_INTERVAL_S, MIN_INTERVAL_S, QUIET_S, GarbageCollector


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_only_the_old_generation_is_left_alone() -> None:
    young, middle, _ = gc.get_threshold()
    GarbageCollector(0.0).begin()
    assert gc.get_threshold()[:2] == (young, middle)
    assert gc.get_threshold()[2] > 100_000


def test_it_collects_when_it_is_quiet_and_not_too_often() -> None:
    collector = GarbageCollector(0.0)
    assert not collector.tick(MIN_INTERVAL_S - 1)
    collector.note_activity(MIN_INTERVAL_S)
    assert not collector.tick(MIN_INTERVAL_S + QUIET_S / 2)
    assert collector.tick(MIN_INTERVAL_S + QUIET_S)
    assert not collector.tick(MIN_INTERVAL_S + QUIET_S + 1)


def test_it_does_not_wait_for_ever() -> None:
    collector = GarbageCollector(0.0)
    collector.note_activity(MAX_INTERVAL_S - 0.1)
    assert not collector.tick(MAX_INTERVAL_S - 0.1)
    collector.note_activity(MAX_INTERVAL_S)
    assert collector.tick(MAX_INTERVAL_S)


def test_what_is_unreachable_is_gone_afterwards() -> None:
    class Ring:
        def __init__(self) -> None:
            self.me = self

    Ring()
    gc.collect(1)
    assert GarbageCollector(0.0).tick(MIN_INTERVAL_S)
    assert not [one for one in gc.get_objects() if isinstance(one, Ring)]
