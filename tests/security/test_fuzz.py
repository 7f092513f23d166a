"""Hostile strings through every widget and every sink: a sample with a seed of its own, or all 100,000."""

from __future__ import annotations

import random

import pytest

from tests.lengths import LONG, times
from tests.security import face_widgets, fuzz
from tests.security.face_widgets import OWN_WORDS
from tests.security.hostile_strings import HostileStrings, unseen_in

SEED = random.SystemRandom().randrange(2**32)


def test_the_same_seed_gives_the_same_strings() -> None:
    first, second = HostileStrings(SEED), HostileStrings(SEED)
    made = [first.next() for _ in range(200)]
    assert made == [second.next() for _ in range(200)]
    assert len(set(made)) == 200
    assert {"U+001B", "U+202E", "U+0000"} & unseen_in("".join(made)), "they are not hostile"


def test_no_sink_lets_a_hostile_string_through(record_property: pytest.FixtureRequest) -> None:
    record_property("seed", SEED)  # type: ignore[operator]
    assert not list(fuzz.sinks(SEED, times(1_000, 5_000))), f"seed {SEED}"


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_no_widget_lets_a_hostile_string_through(record_property: pytest.FixtureRequest) -> None:
    record_property("seed", SEED)  # type: ignore[operator]
    count = times(200, 2_000)
    runs = list(fuzz.screens(SEED, count))
    wrong = [one for run in runs for one in run.wrong]
    assert not wrong, f"seed {SEED}: {wrong[0][-700:]}"
    assert sum(run.made for run in runs) >= count
    assert sum(run.seen for run in runs) >= len(runs) * 50, "the strings were not seen: nothing was tested"
    if LONG:  # it may take several rounds
        assert not [run.not_shown for run in runs if run.not_shown], "widgets that the fuzz leaves out"


def test_every_widget_of_the_code_is_known_to_the_fuzz() -> None:
    """A new widget is in the list by itself; the run fails until a string is seen in it."""
    found = face_widgets.widgets()
    assert found >= {"TranscriptView", "ApprovalCard", "RulesScreen", "JsonTree", "LeafRow"}
    assert OWN_WORDS.keys() <= found


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="a long run shows that the test would notice")
def test_without_the_filter_harm_would_be_found() -> None:
    looked = fuzz.look_at(*fuzz.tape_of(SEED, 500, bare=True))
    assert any("on the terminal" in one for one in looked.wrong), looked.wrong
    assert {kind for kind, _ in looked.sorts} & {"DCS", "APC", "C1"}
