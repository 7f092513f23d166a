"""The diff on a card: exact for any two texts, and never slow."""

from __future__ import annotations

import difflib
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.face.approval import differences as module
from omni_tui.face.approval.differences import diff_pieces

lines = st.lists(st.sampled_from(["", "a", "b", "c", "one", "two"]), max_size=30)


def rebuilt(old: Sequence[str], new: Sequence[str]) -> None:
    """Every line of both texts is in exactly one piece, in order, and equal means equal."""
    at, other = 0, 0
    for equal, a, b, c, d in diff_pieces(old, new):
        assert (a, c) == (at, other)
        assert not equal or old[a:b] == new[c:d]
        at, other = b, d
    assert (at, other) == (len(old), len(new))


@given(lines, lines, st.sampled_from([0, 5, 50, 4_000]))
def test_every_line_is_told_once_whatever_the_texts(old: list[str], new: list[str], small: int) -> None:
    before, module.SMALL = module.SMALL, small
    try:
        rebuilt(old, new)
    finally:
        module.SMALL = before


def test_a_small_change_in_a_large_text_stays_small() -> None:
    old = [f"line {number}" for number in range(20_000)]
    new = [*old[:500], "put in", *old[500:9_000], *old[9_001:]]
    changed = [(old[a:b], new[c:d]) for equal, a, b, c, d in diff_pieces(old, new) if not equal]
    assert changed == [([], ["put in"]), (["line 9000"], [])]


def _random(letters: str) -> Callable[[], list[str]]:
    dice = random.Random(7)
    return lambda: [dice.choice(letters) for _ in range(23_000)]


@pytest.mark.parametrize("make", [_random("ab"), _random("abcdefghij"), lambda: ["x"] * 23_000])
def test_texts_of_lines_that_are_all_alike_are_compared_in_small_pieces_only(
    make: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = difflib.SequenceMatcher

    def counted(junk: None, old: Sequence[str], new: Sequence[str], *, autojunk: bool) -> object:
        asked.append(len(old) * len(new))
        return real(junk, old, new, autojunk=autojunk)

    monkeypatch.setattr(module, "SequenceMatcher", counted)
    rebuilt(make(), ["start", *make(), "end"])
    assert max(asked, default=0) <= module.SMALL
    assert sum(asked) <= 50 * module.SMALL
