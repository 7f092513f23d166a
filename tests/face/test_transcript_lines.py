"""Heights and lines: what the view is built on."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from omni_tui.face.cells import fit
from omni_tui.face.formats import format_duration, format_size
from omni_tui.face.lines import Line, Span, copied_text, single_span, wrap
from omni_tui.face.transcript.call_summary import arguments_line, first_rows, pretty
from omni_tui.face.widgets.block_view import Heights
from omni_tui.security.text import count_hidden
from tests.lengths import examples

TEXT = st.text(alphabet="ab  xyz日本語ée\u0301👍🏽-/\n", max_size=120)


def bare(text: str) -> list[str]:
    """Space at the end of a line is not shown, and so not copied."""
    return [line.rstrip(" ") for line in text.split("\n")]


@given(st.lists(st.integers(0, 5), max_size=60), st.data())
def test_heights_agree_with_a_plain_list(heights: list[int], data: st.DataObject) -> None:
    tree = Heights(heights[: len(heights) // 2])
    for height in heights[len(heights) // 2 :]:
        tree.append(height)
    for _ in range(3):
        if heights:
            index = data.draw(st.integers(0, len(heights) - 1))
            heights[index] = data.draw(st.integers(0, 9))
            tree.set(index, heights[index])
    starts = [0, *accumulate(heights)]
    assert tree.total == starts[-1]
    assert [tree.start(i) for i in range(len(heights))] == starts[:-1]
    for row in range(tree.total):
        index, inner = tree.find(row)
        assert starts[index] + inner == row
        assert inner < heights[index]


def test_heights_find_nothing_in_an_empty_list_and_the_last_of_hidden_ones() -> None:
    assert Heights().find(3) == (0, 0)
    assert Heights([0, 0]).find(0) == (1, 0)
    assert Heights([2, 3]).find(99) == (1, 2)


@settings(max_examples=examples(300))
@given(TEXT, st.integers(4, 30), st.booleans())
def test_wrapped_lines_fit_and_copy_back_to_the_text(text: str, width: int, hard: bool) -> None:
    lines = wrap([Span(text, "a")], width, hard=hard)
    assert all(line.width <= width for line in lines)
    assert bare(copied_text(lines)) == bare(text)


@given(st.lists(st.tuples(TEXT, st.sampled_from("abc")), max_size=5), st.integers(6, 20))
def test_roles_stay_with_their_characters(pieces: list[tuple[str, str]], width: int) -> None:
    spans = [Span(text, role) for text, role in pieces]
    lines = wrap(spans, width, first=single_span("> "), rest=single_span("  "))
    wanted = [(c, role) for text, role in pieces for c in text if not c.isspace()]
    got = [(c, s.role) for line in lines for s in line.spans[1:] for c in s.text if not c.isspace()]
    assert got == wanted
    assert all(line.width <= width for line in lines)
    assert bare(copied_text(lines)) == bare("".join(text for text, _ in pieces))


def test_words_stay_whole_and_long_ones_are_cut() -> None:
    assert [line.text for line in wrap([Span("one two threefourfive")], 8)] == [
        "one two",
        "threefou",
        "rfive",
    ]


def test_marks_stay_on_their_letter() -> None:
    lines = wrap([Span("e\u0301" * 6)], 4)
    assert [line.text for line in lines] == ["e\u0301" * 4, "e\u0301" * 2]


def test_decoration_at_both_ends_is_not_copied() -> None:
    line = Line((Span("  └ "), Span("text"), Span("  +3")), gutter=4, tail=4)
    assert copied_text([line]) == "text"


@pytest.mark.parametrize("width", range(1, 12))
def test_fit_never_exceeds_the_width(width: int) -> None:
    for text in ("short", "日本語のテキスト", "👍👍👍👍👍👍👍", "x" * 100):
        assert cell_len(fit(text, width)) <= width


def test_fit_leaves_text_that_fits() -> None:
    assert fit("日本語", 6) == "日本語"
    assert fit("abcdef", 4) == "abc…"


def test_arguments_that_matter_come_first_and_those_that_are_off_are_left_out() -> None:
    preview = '{"dryRun": false, "edits": [1, 2], "path": "notes/a.md", "note": ""}'
    assert arguments_line(preview, 60) == 'path="notes/a.md" edits=2'
    assert arguments_line(preview, 20) == "notes/a.md edits=2"
    assert arguments_line(preview, 12) == "notes/a.… +1"


VALUES = st.one_of(st.text(max_size=40), st.integers(), st.booleans())


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5), st.integers(4, 60))
def test_arguments_always_fit_and_never_break_the_line(values: dict[str, object], width: int) -> None:
    import json

    line = arguments_line(json.dumps(values), width)
    assert cell_len(line) <= width
    assert "\n" not in line
    assert count_hidden(line) == 0


def test_a_cut_preview_is_shown_as_it_is() -> None:
    assert (
        arguments_line('{\n  "path": "x… (90 more characters)', 60) == '{ "path": "x… (90 more characters)'
    )


def test_escapes_inside_json_do_not_come_back_to_life() -> None:
    assert "\x1b" not in arguments_line('{"a": "\\u001b]52;c;aGk=\\u0007"}', 60)
    assert "\x1b" not in pretty('["\\u001b[2J", "\\u202e"]')[0]
    assert "\u202e" not in pretty('["\\u001b[2J", "\\u202e"]')[0]


def test_short_lines_flow_beside_each_other_and_the_rest_is_counted() -> None:
    assert first_rows("a:1\nb:2\n\nc:3", 20) == (["a:1  b:2  c:3"], 0)
    assert first_rows("\n".join(f"line {n}" for n in range(9)), 14) == (
        ["line 0  line 1", "line 2  line 3"],
        5,
    )


def test_json_that_nests_without_end_is_left_alone() -> None:
    deep = "[" * 5_000
    assert pretty(deep) == (deep, "")
    assert arguments_line(deep, 10)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0142, "14 ms"), (3.21, "3.2 s"), (42.0, "42 s"), (125.0, "2 m 05 s"), (0, "0 s"), (7, "7 s")],
)
def test_durations(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (8_200, "8.2 kB"), (5_200_000, "5.2 MB"), (3 * 10**12, "3000 GB")],
)
def test_sizes(count: int, words: str) -> None:
    assert format_size(count) == words
