"""The app's own log is searched newest first, through rotated files, torn lines and odd bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni_tui.observability.log_search import search_log


def line(event: str, **facts: object) -> str:
    known = {"event": event, "level": "info", "logger": "omni_tui.events"}
    return json.dumps({**known, "timestamp": "2026-11-29T20:00:00Z", **facts})


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{each}\n" for each in lines))


def events(path: Path, words: str, skip: int = 0, limit: int = 10) -> list[str]:
    return [each.event for each in search_log(path, words, skip, limit)[0]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "engine.log"
    write(tmp_path / "engine.log.2", line("oldest", server="a"))
    write(tmp_path / "engine.log.1", line("older", server="b"), line("old", server="a"))
    write(path, line("new", server="b"), line("newest", server="A", tool="Ärger"))
    return path


def test_lines_come_newest_first_through_the_rotated_files(path: Path) -> None:
    assert events(path, "") == ["newest", "new", "old", "older", "oldest"]


@pytest.mark.parametrize(
    ("words", "found"),
    [("server old", ["old", "older", "oldest"]), ('"server": "a"', ["newest", "old", "oldest"]),
     ("ärger", ["newest"]), ("NEW", ["newest", "new"]), ("no such", [])],
)  # fmt: skip
def test_a_line_has_every_word_in_any_case(path: Path, words: str, found: list[str]) -> None:
    assert events(path, words) == found


def test_pages_follow_each_other_and_say_whether_there_are_more(path: Path) -> None:
    first, more = search_log(path, "", 0, 3)
    assert ([each.event for each in first], more) == (["newest", "new", "old"], True)
    rest, more = search_log(path, "", 3, 3)
    assert ([each.event for each in rest], more) == (["older", "oldest"], False)


def test_a_line_tells_its_facts(path: Path) -> None:
    newest = search_log(path, "newest", 0, 1)[0][0]
    assert (newest.at, newest.level) == ("2026-11-29T20:00:00Z", "info")
    assert newest.facts == (("server", "A"), ("tool", "Ärger"))


def test_torn_and_odd_lines_are_shown_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    nested = "[" * 100_000
    path.write_bytes(b'{"event": "cut of\n\xff\xfe\n[1, 2]\n' + nested.encode() + b"\n")
    found, _ = search_log(path, "", 0, 10)
    assert [each.event for each in found] == [nested, "[1, 2]", "\ufffd\ufffd", '{"event": "cut of']


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert search_log(tmp_path / "gone.log", "", 0, 10) == ([], False)
    (tmp_path / "engine.log").mkdir()
    assert search_log(tmp_path / "engine.log", "", 0, 10) == ([], False)
