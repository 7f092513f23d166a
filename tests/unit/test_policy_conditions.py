"""Conditions on arguments: values, wrong types, paths and URLs that programs read differently."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from omni_tui.policy import ArgumentCondition, Truth
from omni_tui.policy.argument_condition import OPERATORS, Operator
from omni_tui.policy.glob import matches_glob
from omni_tui.policy.hosts import host_for_rule


def answers(op: Operator, value: Any, given: Any, *, path: str = "/x", cwd: str = "") -> tuple[bool, bool]:
    """Return whether a condition is met for an allow rule, and for another one."""
    condition = ArgumentCondition(path, op, value)
    arguments = {"x": given}
    return (
        condition.matches(arguments, allowing=True, cwd=cwd),
        condition.matches(arguments, allowing=False, cwd=cwd),
    )


YES, NO, UNCLEAR = (True, True), (False, False), (False, True)

EXAMPLES: dict[Operator, Any] = {
    "eq": "a", "ne": "a", "in": ("a",), "not_in": ("a",), "prefix": "a", "glob": "a*", "regex": "a+",
    "lt": 1, "le": 1, "gt": 1, "ge": 1, "max_length": 3, "type": "string", "present": None, "absent": None,
    "path_within": "/srv", "host_in": "example.com", "outside": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("op", "value", "given", "expected"),
    [
        ("eq", "a", "a", YES),
        ("eq", "a", "A", NO),
        ("eq", "é", "e\u0301", YES),
        ("eq", "a", 5, UNCLEAR),
        ("eq", "a", None, UNCLEAR),
        ("eq", 1, 1.0, YES),
        ("eq", 1, True, UNCLEAR),
        ("eq", True, 1, UNCLEAR),
        ("eq", False, 0, UNCLEAR),
        ("eq", (1, "b"), [1, "b"], YES),
        ("eq", (1, "b"), ["b", 1], NO),
        ("eq", (1,), [True], NO),
        ("eq", {"a": (1,)}, {"a": [1]}, YES),
        ("eq", {"a": 1}, {"a": 1, "b": 2}, NO),
        ("ne", "a", "b", YES),
        ("ne", "a", "a", NO),
        ("ne", "a", 5, UNCLEAR),
        ("in", ("a", 2), 2, YES),
        ("in", ("a", 2), "b", NO),
        ("in", ("a", 2), False, UNCLEAR),
        ("not_in", ("a", "b"), "c", YES),
        ("not_in", ("a", "b"), "b", NO),
        ("not_in", ("a", "b"), ["b"], UNCLEAR),
        ("prefix", "ab", "abc", YES),
        ("prefix", "ab", "Abc", NO),
        ("prefix", "ab", ["ab"], UNCLEAR),
        ("glob", "*.md", "a/b.md", YES),
        ("glob", "*.md", "a.md\n", NO),
        ("glob", "a?c", "abc", YES),
        ("glob", "[ab]", "a", NO),
        ("glob", "*", "x" * 70_000, UNCLEAR),
        ("regex", "a+", "aaa", YES),
        ("regex", "a+", "baaa", NO),
        ("regex", "a+", "aaa\n", NO),
        ("regex", "a|b", "b", YES),
        ("regex", "a|b", "ab", NO),
        ("regex", "a+", "a" * 5_000, UNCLEAR),
        ("regex", "a+", "\ud800", UNCLEAR),
        ("regex", "(a+)+b", "a" * 4_000, NO),
        ("regex", "(.*a){20}b", "a" * 4_000, NO),
        ("lt", 5, 4.5, YES),
        ("lt", 5, 5, NO),
        ("le", 5, 5, YES),
        ("gt", 5, 10**400, YES),
        ("ge", 5, "6", UNCLEAR),
        ("lt", 5, True, UNCLEAR),
        ("gt", 5, float("nan"), UNCLEAR),
        ("gt", 5, float("inf"), UNCLEAR),
        ("max_length", 3, "abc", YES),
        ("max_length", 3, [1, 2, 3, 4], NO),
        ("max_length", 3, 12, UNCLEAR),
        ("type", "integer", 1.0, YES),
        ("type", "integer", True, NO),
        ("type", ("null", "boolean"), None, YES),
        ("present", None, None, YES),
        ("absent", None, None, NO),
    ],
)
def test_values(op: Operator, value: Any, given: Any, expected: tuple[bool, bool]) -> None:
    assert answers(op, value, given) == expected


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("/x", "theirs", YES),
        ("/x", "mine", NO),
        ("/x", "unclear", UNCLEAR),
        ("/x", ["mine", "theirs"], NO),
        ("/x/*", ["theirs", "theirs"], YES),
        ("/x/*", ["mine", "theirs"], (False, True)),
        ("/x/*", ["mine"], NO),
        ("/x/*", "theirs", UNCLEAR),
        ("/x/*", [], NO),
        ("/x/a/*/b", {"a": [{"b": "theirs"}]}, YES),
    ],
)
def test_outside(path: str, given: Any, expected: tuple[bool, bool]) -> None:
    truths = {"theirs": Truth.HOLDS, "unclear": Truth.UNCLEAR}

    def outside(value: Any) -> Truth:
        return truths.get(value, Truth.FAILS) if isinstance(value, str) else Truth.FAILS

    condition = ArgumentCondition(path, "outside")
    met = [condition.matches({"x": given}, allowing=each, outside=outside) for each in (True, False)]
    assert tuple(met) == expected


@pytest.mark.parametrize("op", OPERATORS)
def test_a_missing_value_never_holds(op: Operator) -> None:
    condition = ArgumentCondition("/y", op, EXAMPLES[op])
    held = {condition.matches({"x": 1}, allowing=allowing) for allowing in (True, False)}
    assert held == {op == "absent"}


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("given", [5, "text", None, [], True])
def test_a_path_through_something_else_counts_against_the_call(op: Operator, given: Any) -> None:
    condition = ArgumentCondition("/x/force", op, EXAMPLES[op])
    assert not condition.matches({"x": given}, allowing=True)
    assert condition.matches({"x": given}, allowing=False)


def test_pointers_reach_names_with_slashes_and_tildes() -> None:
    assert answers("eq", 1, {"a/b": {"~": 1}}, path="/x/a~1b/~0") == YES
    assert answers("eq", 1, [0, 1], path="/x/1") == YES
    assert answers("eq", 1, [0, 1], path="/x/01") == UNCLEAR
    assert answers("eq", 1, [0, 1], path="/x/-") == UNCLEAR
    assert answers("eq", 1, [0, 1], path="/x/2") == NO
    assert answers("eq", 1, [0, 1], path="/x/99999999999999999999") == UNCLEAR


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a", "a"], YES),
        (["a", "b"], UNCLEAR),
        (["b"], NO),
        (["a", 1], UNCLEAR),
        ([], NO),
        ("a", UNCLEAR),
        ({"*": "a"}, UNCLEAR),
    ],
)
def test_an_allow_rule_needs_every_element_and_another_any(given: Any, expected: tuple[bool, bool]) -> None:
    assert answers("eq", "a", given, path="/x/*") == expected


def test_stars_in_stars() -> None:
    assert answers("eq", 1, [[1], [1, 1]], path="/x/*/*") == YES
    assert answers("eq", 1, [[1], []], path="/x/*/*") == UNCLEAR
    assert answers("absent", None, [{}, {"k": 1}], path="/x/*/k") == UNCLEAR


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*ab", "ab", True),
        ("ab*ba", "aba", False),
        ("?", "\n", True),
        ("a.c", "abc", False),
        ("\\*", "\\x", True),
        ("*a" * 100 + "b", "a" * 60_000, False),
    ],
)
def test_globs(pattern: str, name: str, matches: bool) -> None:
    assert matches_glob(pattern, name) is matches


# --- paths ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the folders `notes` and `secret`, and links between them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "notes" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "notes" / "loop").symlink_to(tmp_path / "notes" / "loop")
    (tmp_path / "in").symlink_to(tmp_path / "notes" / "deep")
    (tmp_path / "notes" / "a.md").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{home}/notes/a.md", YES),
        ("{home}/notes", YES),
        ("{home}/notes/", YES),
        ("{home}/notes/new/file", YES),
        ("~/notes/a.md", YES),
        ("//{home}/notes/a.md", YES),
        ("{home}/notes/../notes/a.md", YES),
        ("{home}/notes/deep/../../secret/x", NO),
        ("{home}/notes/missing/../../secret/x", NO),
        ("{home}/notes/../../../../etc/passwd", NO),
        ("{home}/notes-2/a.md", NO),
        ("{home}", NO),
        ("/", NO),
        ("{home}/notes/out/x", NO),
        ("{home}/notes/out/../secret/x", UNCLEAR),  # with and without following the link
        ("{home}/notes/out/../notes/a.md", YES),
        ("{home}/in/x", YES),
        ("{home}/in/../a.md", UNCLEAR),
        ("{home}/notes/loop/x", UNCLEAR),
        ("{home}/notes/a.md/x", YES),
        ("notes/a.md", UNCLEAR),
        ("./a.md", UNCLEAR),
        ("", UNCLEAR),
        ("~root/notes", UNCLEAR),
        ("~/notes/\0/../../../etc", UNCLEAR),
        ("{home}/notes/..\\..\\secret", UNCLEAR),
        ("file://{home}/notes/a.md", UNCLEAR),
        ("{home}/NOTES/a.md", UNCLEAR),
        ("{home}/notes/" + "x" * 300, UNCLEAR),
        ("{home}/notes/\ud800", UNCLEAR),
        ("{home}/notes/" + "a/" * 100_000, UNCLEAR),
        (5, UNCLEAR),
        (["{home}/notes"], UNCLEAR),
    ],
)
def test_paths(folder: Path, given: Any, expected: tuple[bool, bool]) -> None:
    path = given.replace("{home}", str(folder)) if isinstance(given, str) else given
    for value in (f"{folder}/notes", "~/notes", ("/nowhere", f"{folder}/notes/")):
        assert answers("path_within", value, path) == expected


def test_a_relative_path_starts_where_the_server_does(folder: Path) -> None:
    notes = f"{folder}/notes"
    assert answers("path_within", notes, "a.md", cwd=notes) == YES
    assert answers("path_within", notes, "../secret", cwd=notes) == NO
    assert answers("path_within", notes, "out/x", cwd=notes) == NO
    assert answers("path_within", notes, "a.md", cwd="notes") == UNCLEAR


def test_a_folder_that_is_a_link(folder: Path) -> None:
    assert answers("path_within", f"{folder}/in", f"{folder}/notes/deep/x") == YES
    assert answers("path_within", f"{folder}/in", f"{folder}/in/x") == YES
    assert answers("path_within", f"{folder}/notes/loop", f"{folder}/notes/a.md") == UNCLEAR


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_what_may_not_be_looked_at_is_unclear(folder: Path) -> None:
    (folder / "secret").chmod(0)
    assert answers("path_within", str(folder), f"{folder}/secret/x") == UNCLEAR
    (folder / "secret").chmod(0o700)


# --- hosts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://good.com", YES),
        ("https://GOOD.com/x?y#z", YES),
        ("HTTPS://good.com:8443/", YES),
        ("https://good.com./", YES),
        ("https://good.com..", UNCLEAR),
        ("https://www.good.com", NO),
        ("https://good.com.evil.com", NO),
        ("https://evil.com/good.com", NO),
        ("https://evil.com?good.com", NO),
        ("https://evil.com#@good.com", NO),
        ("https://good.com@evil.com", UNCLEAR),
        ("https://good.com:x@evil.com", UNCLEAR),
        ("https://user@good.com", UNCLEAR),
        ("https://good.com\\@evil.com", UNCLEAR),
        ("https://evil.com\\.good.com", UNCLEAR),
        ("https:\\\\good.com", UNCLEAR),
        ("https:good.com", UNCLEAR),
        ("https:/good.com", UNCLEAR),
        ("https:///good.com", UNCLEAR),
        ("//good.com", UNCLEAR),
        ("good.com", UNCLEAR),
        (" https://good.com", UNCLEAR),
        ("https://good.com\n", UNCLEAR),
        ("https://good\t.com", UNCLEAR),
        ("https://good.com\u200b", UNCLEAR),
        ("https://good%2ecom", UNCLEAR),
        ("https://good.com:99999", UNCLEAR),
        ("https://good.com:x", UNCLEAR),
        ("https://", UNCLEAR),
        ("file:///etc/passwd", UNCLEAR),
        ("javascript:alert(1)", UNCLEAR),
        ("ftp://good.com", UNCLEAR),
        ("https://ｇｏｏｄ.com", YES),
        ("https://good。com", YES),
        ("https://gооd.com", NO),  # Cyrillic о
        ("https://[good.com]", UNCLEAR),
        ("https://" + "ü" * 300, UNCLEAR),
        ("https://good.com/" + "x" * 10_000, UNCLEAR),
        (5, UNCLEAR),
    ],
)
def test_hosts(given: Any, expected: tuple[bool, bool]) -> None:
    assert answers("host_in", "good.com", given) == expected
    assert answers("host_in", ("other.org", "GOOD.com."), given) == expected


@pytest.mark.parametrize(
    ("entry", "given", "expected"),
    [
        ("*.good.com", "https://a.b.good.com", YES),
        ("*.good.com", "https://good.com", NO),
        ("*.good.com", "https://xgood.com", NO),
        ("good.com:8443", "https://good.com:8443", YES),
        ("good.com:8443", "https://good.com", NO),
        ("good.com:443", "https://good.com", YES),
        ("good.com:443", "http://good.com", NO),
        ("bücher.de", "https://xn--bcher-kva.de", YES),
        ("xn--bcher-kva.de", "https://BÜCHER.de", YES),
        ("strasse.de", "https://straße.de", UNCLEAR),
        ("127.0.0.1", "http://127.0.0.1:80", YES),
        ("127.0.0.1", "http://2130706433/", UNCLEAR),
        ("127.0.0.1", "http://0x7f.0.0.1/", UNCLEAR),
        ("127.0.0.1", "http://0177.0.0.1/", UNCLEAR),
        ("127.0.0.1", "http://127.1/", UNCLEAR),
        ("127.0.0.1", "http://127.0.0.1./", YES),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/", YES),
        ("[::1]", "http://[::1]:8080/", YES),
        ("[::1]", "http://[0:0:0:0:0:0:0:1]/", YES),
        ("[::1]:80", "http://[::1]/", YES),
        ("[::1]", "http://[::1%25eth0]/", UNCLEAR),
        ("[::1]", "http://[::2]/", NO),
    ],
)
def test_host_entries(entry: str, given: str, expected: tuple[bool, bool]) -> None:
    assert answers("host_in", entry, given) == expected


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://Good.com/x", "good.com"),
        ("http://good.com:443", "good.com:443"),
        ("https://[::1]:8", "[::1]:8"),
        ("https://a@good.com", ""),
        ("words", ""),
    ],
)
def test_the_host_of_a_url_as_an_entry(url: str, entry: str) -> None:
    assert host_for_rule(url) == entry
    if entry:
        assert answers("host_in", entry, url) == YES
