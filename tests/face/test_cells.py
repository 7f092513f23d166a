"""No cut falls within what a reader takes for one character, and no row is wider than it may be."""

from __future__ import annotations

import unicodedata
from itertools import accumulate, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len as cells
from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions
from wcwidth import iter_graphemes

from omni_tui.face.cells import MAX_GRAPHEME, breaks, fit, fitting, graphemes
from omni_tui.face.lines import Span, copied_text
from omni_tui.face.lines import wrap as transcript_wrap
from omni_tui.face.widgets.lines_view import fold, wrap, wrap_rows
from tests.lengths import examples

FAMILY = "👨‍👩‍👧‍👦"
KINDS = {
    "plain": ["a", "word", "no", " ", "  ", "-"],
    "family": [FAMILY, "👩🏽‍🚀", "❤️‍🔥", "👍🏽", "🏳️‍🌈", "👍", "☁", "☁️", "1️⃣"],
    "flags": ["🇩🇪", "🇫🇷", "🇯", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"],
    "hindi": ["क्ष", "त्रि", "हि", "न्दी", "में", "क्‍ष", "श्री", "நி", "కో", "ক্ষ"],
    "persian": ["می‌خواهم", "ه‍", "کتاب‌ها", "\u0600١٢"],
    "thai": ["ที่", "กำ", "น้ำ", "ສຳ"],
    "korean": ["한국", "\u1112\u1161\u11ab", "\u1100\u1161", "\u1100", "가\u11a8"],
    "accents": ["e\u0301", "a\u0308\u0304", "\u0301", "é"],
    "east": ["日本語", "か\u3099", "ﾊﾞ"],
    "stray": ["\u200d", "\u200c", "\ufe0f", "\ufe0e", "\u200b", "\x07", "\r\n", "\u20e3", "\u00ad"],
}
MIXED = st.lists(
    st.one_of(
        *[st.sampled_from(kind) for kind in KINDS.values()],
        st.characters(exclude_categories=["Cs"], exclude_characters="\n\t"),
    ),
    max_size=30,
).map("".join)
ORDINARY = st.lists(
    st.one_of(*[st.sampled_from(pieces) for kind, pieces in KINDS.items() if kind != "stray"]), max_size=30
).map("".join)
WIDTH = st.integers(2, 12)


def boundaries(text: str) -> set[int]:
    """Return where a grapheme ends, by other tables than ours."""
    return {0, *accumulate(map(len, iter_graphemes(text)))}


def known(text: str) -> bool:
    """Say whether all characters of a text are assigned, so that every table knows them."""
    return all(unicodedata.category(one) != "Cn" for one in text)


def starts(pieces: list[str]) -> set[int]:
    found = {0}
    for piece in pieces:
        found.add(max(found) + len(piece))
    return found


def painted(text: str) -> int:
    """Return how many cells a row takes when Textual paints it."""
    options = RenderOptions(lambda _style: Style(), {"text_wrap": "nowrap", "text_overflow": "clip"})
    (strip,) = Content(text, strip_control_codes=False).render_strips(10_000, 1, Style(), options)
    return strip.cell_length


def fits_or_is_alone(piece: str, room: int) -> bool:
    return painted(piece) <= room or len(list(graphemes(piece))) == 1


def test_the_width_is_what_textual_paints() -> None:
    for pieces in KINDS.values():
        for piece in pieces:
            if "\n" not in piece:
                assert cells(piece) == Content(piece, strip_control_codes=False).cell_length
                assert cells(piece) == Strip([Segment(piece)]).cell_length == painted(piece)


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        (FAMILY, 2),
        ("👍🏽", 2),
        ("☁️", 2),
        ("🇩🇪", 2),
        ("क्षि", 2),
        ("e\u0301", 1),
        ("ที่", 1),
        ("กำ", 2),
        ("\u1112\u1161\u11ab", 2),
        ("かﾞ", 3),
        ("\r\n", 0),
    ],
)
def test_what_a_reader_takes_for_one_character_is_one(text: str, wide: int) -> None:
    assert list(graphemes(text)) == [(0, len(text), wide)]


@settings(max_examples=examples(400))
@given(st.one_of(ORDINARY, MIXED.filter(known)))
@example("क्‍ष" + FAMILY + "🇩🇪🇫🇷🇯")
def test_graphemes_end_only_where_unicode_ends_them(text: str) -> None:
    found = list(graphemes(text))
    assert "".join(text[start:end] for start, end, _ in found) == text
    assert all(before[1] == after[0] for before, after in pairwise(found))
    long = any(end - start == MAX_GRAPHEME for start, end, _ in found)
    assert long or {end for _, end, _ in found} <= boundaries(text)
    assert sum(wide for *_, wide in found) >= cells(text)


@given(ORDINARY)
def test_ordinary_text_is_measured_exactly(text: str) -> None:
    if "ه\u200d" not in text:  # Textual leaves out what follows a joiner
        assert sum(wide for *_, wide in graphemes(text)) == cells(text)


@settings(max_examples=examples(400))
@given(MIXED, WIDTH)
@example("☁\x07\ufe0f" * 4, 3)
@example("a\u200db" * 8, 4)
@example(FAMILY * 5, 5)
def test_folding_loses_nothing_and_tears_nothing(text: str, width: int) -> None:
    text = text.replace("\r\n", "")
    pieces = [piece.plain for piece in fold(Content(text, strip_control_codes=False), width)]
    assert "".join(pieces) == text
    assert all(fits_or_is_alone(piece, width) for piece in pieces)
    assert starts(pieces) <= {0, *(end for _, end, _ in graphemes(text))}


@settings(max_examples=examples(400))
@given(MIXED, WIDTH)
@example("ab \u0301cd ef", 3)
@example("\u0600 \u0600 ab cd", 2)
def test_wrapping_loses_only_spaces_and_tears_nothing(text: str, width: int) -> None:
    text = text.replace("\r\n", "")
    ends = {0, *(end for _, end, _ in graphemes(text))}
    spans = list(breaks(text, width))
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for (_, end), (start, _) in pairwise(spans):
        assert text[end:start] in ("", " ")
        assert {start, end} <= ends
    pieces = [text[start:end] for start, end in spans]
    assert all(fits_or_is_alone(piece, width) for piece in pieces)
    assert wrap_rows(text, width) == pieces
    wrapped = [piece.plain for piece in wrap(Content(text, strip_control_codes=False), width)]
    assert wrapped in (pieces, [text])
    assert all(fits_or_is_alone(piece, width) for piece in wrapped)


@settings(max_examples=examples(200))
@given(MIXED, WIDTH, WIDTH, st.booleans())
def test_rows_with_a_first_row_of_another_width_tear_nothing(
    text: str, first: int, rest: int, hard: bool
) -> None:
    text = text.replace("\r\n", "")
    spans = list(breaks(text, first, rest, hard=hard))
    ends = {0, *(end for _, end, _ in graphemes(text))}
    assert {at for span in spans for at in span} <= ends
    rooms = [first, *([rest] * (len(spans) - 1))]
    assert all(
        fits_or_is_alone(text[start:end], room) for (start, end), room in zip(spans, rooms, strict=True)
    )
    left_out = ("",) if hard else ("", " ")
    assert all(text[before[1] : after[0]] in left_out for before, after in pairwise(spans))


@settings(max_examples=examples(400))
@given(MIXED, WIDTH, st.booleans())
@example("日本" + "क्ष्म्य" * 3, 4, False)
def test_rows_of_the_transcript_tear_nothing(text: str, width: int, hard: bool) -> None:
    text = text.replace("\r\n", "")
    lines = transcript_wrap([Span(text)], width, hard=hard)
    assert all(fits_or_is_alone(line.text, width) for line in lines)
    assert copied_text(lines).replace(" ", "") == text.replace(" ", "")
    ends = {0, *(end for _, end, _ in graphemes(text))}
    at = 0
    for line in lines:
        at = text.index(line.text, at)
        assert {at, at + len(line.text)} <= ends
        at += len(line.text)


@given(MIXED, st.integers(1, 12))
def test_shortened_text_is_torn_nowhere(text: str, width: int) -> None:
    text = text.replace("\r\n", "")
    short = fit(text, width)
    assert cells(short) <= width
    assert short == text or len(short) - 1 in {0, *(end for _, end, _ in graphemes(text))}


@pytest.mark.parametrize(
    ("text", "width", "wanted"),
    [
        (FAMILY * 3, 4, [FAMILY * 2, FAMILY]),
        (FAMILY * 2, 3, [FAMILY, FAMILY]),
        ("a🇩🇪🇫🇷🇯🇵", 4, ["a🇩🇪", "🇫🇷🇯🇵"]),
        ("👍🏽👍🏽👍🏽", 4, ["👍🏽👍🏽", "👍🏽"]),
        ("☁️☁️☁️", 3, ["☁️", "☁️", "☁️"]),
        ("क्षत्रिय", 3, ["क्ष", "त्रिय"]),
        ("می‌خواهم", 3, ["می‌خ", "واه", "م"]),
        ("ที่นี่ที่", 2, ["ที่นี่", "ที่"]),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", 3, ["\u1112\u1161\u11ab", "\u1100\u116e\u11a8"]),
        ("e\u0301" * 5, 2, ["e\u0301" * 2, "e\u0301" * 2, "e\u0301"]),
    ],
)
def test_each_script_is_cut_between_its_characters(text: str, width: int, wanted: list[str]) -> None:
    assert [piece.plain for piece in fold(Content(text), width)] == wanted
    assert wrap_rows(text, width) == wanted
    assert [line.text for line in transcript_wrap([Span(text)], width, hard=True)] == wanted


def test_a_grapheme_wider_than_the_room_has_a_row_of_its_own() -> None:
    text = "कक्ष्म्यक"
    assert [piece.plain for piece in fold(Content(text), 2)] == ["क", "क्ष्म्य", "क"]
    assert cells("क्ष्म्य") == 4


def test_endless_marks_joiners_and_invisible_characters_make_rows_that_end() -> None:
    for text in ("a" + "\u0301" * 5_000, "👩" + "\u200d👩" * 3_000, "\u200b" * 5_000, "क" + "्क" * 3_000):
        for pieces in (wrap_rows(text, 10), [piece.plain for piece in fold(Content(text), 10)]):
            assert "".join(pieces) == text
            assert max(map(len, pieces)) <= 8 * 10
        assert max(end - start for start, end, _ in graphemes(text)) <= MAX_GRAPHEME


def test_a_tab_is_given_the_room_that_it_is_painted_with() -> None:
    assert fitting("ab\tcd", 0, 10) == 3
    assert all(painted(piece.plain) <= 10 for piece in fold(Content("ab\tcd\tef"), 10))


def test_a_long_text_can_be_measured_from_anywhere() -> None:
    text = (FAMILY + "🇩🇪" + "क्ष" + "e\u0301") * 200
    whole = list(graphemes(text))
    for number in range(0, len(whole), 37):
        assert list(graphemes(text, whole[number][0])) == whole[number:]
