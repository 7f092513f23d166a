"""A step of the loop lays out a bounded part of a text, however long it is: what is laid out is counted."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from textual.content import Content

from omni_tui.face.cells import MAX_GRAPHEME, graphemes
from omni_tui.face.lines import Line, Span, wrap, wrap_beginning
from omni_tui.face.transcript import item_lines, markdown, stream
from omni_tui.face.transcript.item_types import UserItem
from omni_tui.face.transcript.long_texts import LONG
from omni_tui.face.transcript.stream import STEP, StreamText
from omni_tui.face.widgets import lines_view
from omni_tui.face.widgets.lines_view import PIECE, LinesView, pieces
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Answer, AnswerDelta, TurnStarted, UserMessage
from tests.face.chat_app import ChatApp
from tests.face.tool_app import ToolApp

WIDTH = 80
LINE = {
    "letters": "x" * 200_000,
    "words": "word " * 40_000,
    "wide": "漢字" * 40_000,
    "marks": "a" + "\u0301" * 100_000,
    "emoji": "👩\u200d👩\u200d👧" * 20_000,
}
LONG_LINES = {**LINE, "ten megabytes": "x" * 10_000_000}


@pytest.mark.parametrize("name", LINE)
def test_a_streamed_line_is_laid_out_in_steps_and_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, laid_out = LINE[name], []

    def counted(spans: list[Span], *args: Any, **how: Any) -> list[Line]:
        laid_out.append(sum(len(span.text) for span in spans))
        return wrap(spans, *args, **how)

    monkeypatch.setattr(stream, "wrap", counted)
    growing = StreamText()
    growing.feed(text)
    drawn = growing.lines(WIDTH, 2)
    while growing.behind:
        drawn = growing.lines(WIDTH, 2)
    rows_again = 40 * WIDTH  # the last rows of a line are laid out again: they may break otherwise
    assert max(laid_out) <= STEP + rows_again
    assert sum(laid_out) <= len(text) + len(laid_out) * rows_again
    margin = (Span("  "),)
    assert drawn == wrap([Span(text)], WIDTH, first=margin, rest=margin)


@pytest.mark.parametrize("name", [*LINE, "empty lines"])
async def test_the_loop_lays_out_no_long_text_of_the_transcript(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LINE.get(name, "\n" * 199_999 + "x")
    here = threading.current_thread()
    on_loop: list[int] = []

    def counted(spans: list[Span], *args: Any, **how: Any) -> list[Line]:
        lines = wrap(spans, *args, **how)
        if threading.current_thread() is here:
            on_loop.append(sum(len(line.text) + 1 for line in lines))
        return lines

    for module in (item_lines, stream, markdown):
        monkeypatch.setattr(module, "wrap", counted)
    app = ChatApp([
        UserMessage(turn="t1", text=SafeText(text)),
        TurnStarted(turn="t1", mode="chat", model=SafeText("m")),
        AnswerDelta(turn="t1", message="m1", text=SafeText(text)),
        Answer(turn="t1", message="m1", text=SafeText(text)),
    ])  # fmt: skip
    async with app.run_test(size=(WIDTH, 24)) as pilot:
        await pilot.pause()
        for item in app.view.items:
            item.folded = False
        for index in range(len(app.view.items)):
            app.view.put_cursor(index)
            app.view.redraw(index)
            app.view.settle()
        await app.workers.wait_for_complete([one for one in app.workers if one.group == "layout"] or None)
        await pilot.pause()
        assert not app.view._long_texts.waiting
        rows = app.view.rows_of(0)
    assert max(on_loop) <= 2 * max(LONG, STEP) + 40 * WIDTH
    expected = item_lines.draw_item(UserItem(text=text, folded=False), None, WIDTH - 3, 0.0)
    assert len(rows) >= min(len(expected), item_lines.MAX_TEXT_ROWS)


@pytest.mark.parametrize("name", LONG_LINES)
async def test_a_view_lays_out_what_is_near_its_window(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, cut = LONG_LINES[name], lines_view._cut
    laid_out: list[int] = []

    def counted(line: Content, width: int, *, hard: bool = False) -> list[Content]:
        laid_out.append(len(line.plain))
        return cut(line, width, hard=hard)

    monkeypatch.setattr(lines_view, "_cut", counted)
    view = LinesView()
    async with ToolApp(view).run_test(size=(WIDTH, 24)) as pilot:
        view.show([Content("before"), Content(text), Content("after")])
        await pilot.pause()
        assert sum(laid_out) <= 20 * PIECE
        seen_before = view.end_seen
        assert not seen_before
        laid_out.clear()
        view.action_scroll_end()
        view.scroll_end(animate=False)
        await pilot.pause()
        assert sum(laid_out) <= 40 * PIECE
        assert view.end_seen != seen_before
        assert "".join(line.plain for block in view._blocks for line in block) == f"before{text}after"


async def test_a_million_lines_are_not_laid_out_to_show_some(monkeypatch: pytest.MonkeyPatch) -> None:
    cut, laid_out = lines_view._cut, [0]

    def counted(line: Content, width: int, *, hard: bool = False) -> list[Content]:
        laid_out[0] += 1
        return cut(line, width, hard=hard)

    monkeypatch.setattr(lines_view, "_cut", counted)
    view, row = LinesView(), Content("a row")
    async with ToolApp(view).run_test(size=(WIDTH, 24)) as pilot:
        view.show([row] * 1_000_000)
        await pilot.pause()
        assert view.count == 1_000_000
        assert laid_out[0] < 1_000


@pytest.mark.parametrize("name", LINE)
def test_pieces_are_the_whole_line_and_cut_no_grapheme(name: str) -> None:
    text = LINE[name]
    parts = [piece.plain for piece in pieces(Content(text))]
    assert "".join(parts) == text
    assert max(map(len, parts)) <= PIECE
    places = {start for start, _, _ in graphemes(text[: 3 * PIECE])}
    long = any(end - start == MAX_GRAPHEME for start, end, _ in graphemes(text[: 3 * PIECE]))
    assert long or {len(parts[0]), len(parts[0]) + len(parts[1])} <= places


def test_what_a_beginning_leaves_out_is_counted_exactly() -> None:
    text = "".join(f"line {number}\n" for number in range(1_000))
    *shown, hint = wrap_beginning([Span(text)], 20, WIDTH)
    read = "\n".join(line.body for line in shown)
    assert text.startswith(read)
    assert f"{len(text) - len(read):,} more characters" in hint.text


def test_a_beginning_lays_out_no_more_than_its_rows() -> None:
    drawn: list[int] = []

    class Watched(str):
        """Tells how far it was read."""

        __slots__ = ()

        def find(self, *args: Any) -> int:
            drawn.append(args[1])
            return super().find(*args)

    wrap_beginning([Span(Watched("\n" * 1_000_000))], 20, WIDTH)
    assert len(drawn) <= 25
