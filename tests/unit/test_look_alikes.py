"""Names that look like each other have a skeleton in common; ordinary different names have not (T6)."""

from __future__ import annotations

import pytest

from omni_tui.security import identifiers
from omni_tui.security.look_alikes import imitates, is_deceptive, skeletons
from omni_tui.tools.name_index import NameIndex


@pytest.mark.parametrize("letter", sorted(identifiers._ALIKE | identifiers._ALWAYS))
def test_every_letter_that_is_marked_is_folded(letter: str) -> None:
    (plain,) = {skeleton[2:] for skeleton in skeletons(f"x{letter}x") if skeleton.startswith("=:")}
    assert plain.isascii(), (letter, plain)
    assert imitates(f"x{letter}x", plain)


@pytest.mark.parametrize(
    ("name", "other", "deceives"),
    [
        ("se\u0430rch", "search", True),
        ("search\u200b", "search", True),
        ("s\u034fearch", "search", True),
        ("search\ufe0f", "search", True),
        ("\u202esearch\u202c", "search", True),
        ("\uff33earch", "search", True),
        ("sea rch", "search", True),
        ("SEARCH", "search", False),
        ("1ist", "list", False),
        ("tooI", "tool", False),
        ("modern", "modem", False),
        ("re\u0301sume\u0301", "resume", True),
    ],
)
def test_what_looks_alike(name: str, other: str, deceives: bool) -> None:
    assert not skeletons(name).isdisjoint(skeletons(other))
    assert imitates(name, other) is deceives
    assert not imitates(other, name)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("search", "find"),
        ("read_file", "read_files"),
        ("поиск", "search"),
        ("検索", "search"),
        ("a-b", "a_b"),
    ],
)
def test_what_does_not(name: str, other: str) -> None:
    assert skeletons(name).isdisjoint(skeletons(other))


def test_names_in_other_scripts_are_no_deceit() -> None:
    assert not any(
        is_deceptive(name) for name in ("поиск", "検索", "Größe", "buscar_información", "read_file")
    )


def test_long_and_odd_names_are_bounded() -> None:
    for name in ("a" * 1_000_000, "\u200b" * 100_000, "\ud800", "", "\0", "a\u0301" * 50_000):
        assert all(len(each) < 5_000 for each in skeletons(name))
        assert is_deceptive(name) in (True, False)


def test_only_rows_that_say_something_else_are_told_again() -> None:
    names = NameIndex()
    assert names.update("a", ["search", "read"]) == set()
    assert names.update("b", ["search"]) == {("a", "search")}
    assert names.update("b", ["search"]) == set()
    assert names.words("a", "search") == "also on b"
    assert names.update("b", []) == {("a", "search")}
    assert names.words("a", "search") == ""
    for number in range(50):
        names.update(f"s{number}", ["search"])
    assert names.update("late", ["search"]) == set()
    assert names.words("late", "search") == "also on many servers"
    assert names.update("late", []) == set()
    for number in range(50):
        names.update(f"s{number}", [])
    assert names.words("a", "search") == ""
    assert names._groups.keys() == {key for name in ("search", "read") for key in skeletons(name)}
