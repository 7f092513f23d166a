"""Selecting with the mouse and walking with the keys, for any line view."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.reactive import var
from textual.selection import Selection
from textual.strip import Strip

from omni_tui.face.transcript.line_view import LineView
from omni_tui.face.transcript.lines import Line, Span, copied_text

_MAX_BLOCKS = 2_000
"""Blocks that one copy may hold; drawing more would hold up the screen."""


def overlay(strip: Strip, style: Style, start: int, end: int) -> Strip:
    """Return a strip whose characters from `start` to `end` have a style laid over their own."""
    out: list[Segment] = []
    at = 0
    for segment in strip:
        text, own = segment.text, segment.style
        left, right = max(0, start - at), min(len(text), end - at)
        at += len(text)
        if left >= right:
            out.append(segment)
            continue
        if left:
            out.append(Segment(text[:left], own))
        out.append(Segment(text[left:right], own + style if own else style))
        if right < len(text):
            out.append(Segment(text[right:], own))
    return Strip(out, strip.cell_length)


class SelectableView(LineView):
    """A line view whose text can be selected, and whose blocks can have the cursor."""

    cursor: var[int | None] = var(None)
    """The block the keys are on."""

    # --- the cursor

    def can_hold_cursor(self, index: int) -> bool:
        """Whether the cursor may stop at a block."""
        return True

    def walk(self, step: int) -> None:
        """Move the cursor to the next block, or scroll on within one that is taller than the window."""
        count = len(self.heights)
        if not count:
            return
        if self.cursor is None or self.cursor >= count:
            self.put_cursor(self._nearest(count - 1, -1))
            return
        if self._reads_on(step):
            return
        index = self._nearest(self.cursor + step, step)
        if index is None:
            self.action_scroll_end() if step > 0 else self.action_scroll_home()
        else:
            self.put_cursor(index)

    def put_cursor(self, index: int | None) -> None:
        """Put the cursor on a block and bring it into view."""
        self.cursor = index
        if index is not None:
            self.show_block(index)

    def _nearest(self, index: int, step: int) -> int | None:
        while 0 <= index < len(self.heights):
            if self.can_hold_cursor(index):
                return index
            index += step
        return None

    def _reads_on(self, step: int) -> bool:
        """Scroll half a window if the block with the cursor goes on in that direction."""
        assert self.cursor is not None
        start, room = self.heights.start(self.cursor), self.room.height
        end, top = start + self.heights[self.cursor], round(self.scroll_y)
        half = max(1, room // 2)
        if step > 0 and top < end - room and start <= top + room - 1:
            self.scroll_to(y=min(top + half, end - room), animate=False)
            return True
        if step < 0 and start < top < end:
            self.scroll_to(y=max(top - half, start), animate=False)
            return True
        return False

    def watch_cursor(self) -> None:
        """Paint the row the keys are on."""
        self.refresh()

    def watch_has_focus(self, has_focus: bool) -> None:
        """The cursor shows only while the keys are here."""
        super().watch_has_focus(has_focus)
        self.refresh()

    def block_at(self, y: int) -> tuple[int, int] | None:
        """Return the block and the row in it at a row of the window, None below the last."""
        row = round(self.scroll_y) + y
        return self.heights.find(row) if 0 <= row < self.heights.total else None

    # --- the mouse

    async def _on_click(self, event: events.Click) -> None:
        """Two clicks select the block, not everything as elsewhere."""
        if event.chain >= 2:
            event.prevent_default()
            if (found := self.block_at(event.y)) is not None:
                index = found[0]
                last = max(0, len(self.lines_of(index)) - 1)
                span = Selection(self.offset_of(index, 0), self.offset_of(index, last, 100_000))
                self.screen.selections = {self: span}

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text without decoration, and what ends it."""
        if not len(self.heights):
            return None
        first = self.block_of(selection.start) if selection.start is not None else (0, 0, 0)
        last_block = len(self.heights) - 1
        last = self.block_of(selection.end) if selection.end is not None else (last_block, 1 << 20, 1 << 20)
        stop = min(last[0], last_block, first[0] + _MAX_BLOCKS)
        texts = [self._selected(index, first, last) for index in range(first[0], stop + 1)]
        return "\n".join(text for text in texts if text is not None), "\n"

    def _selected(self, index: int, first: tuple[int, int, int], last: tuple[int, int, int]) -> str | None:
        rows: list[Line] = []
        for row, line in enumerate(self.lines_of(index)):
            span = _span(line, (index, row), first, last)
            if span is None:
                continue
            text = line.text[max(span[0], line.gutter) : min(span[1], len(line.text) - line.tail)]
            rows.append(Line((Span(text),), glue=line.glue if rows else None))
        return copied_text(rows) if rows else None

    def selection_updated(self, selection: Selection | None) -> None:
        """Paint the selection."""
        self.refresh()

    def decorate(self, strip: Strip, line: Line, index: int, row: int) -> Strip:
        """Lay the cursor and the selection over a row."""
        if index == self.cursor and self.has_focus and line.spans:
            strip = overlay(strip, self._background("cursor"), 0, strip.cell_length)
        if (selection := self.text_selection) is not None:
            first = self.block_of(selection.start) if selection.start is not None else (0, 0, 0)
            last = self.block_of(selection.end) if selection.end is not None else (1 << 40, 0, 0)
            span = _span(line, (index, row), first, last)
            if span is not None:
                style = self.screen.get_component_rich_style("screen--selection", partial=True)
                end = min(span[1], len(line.text) - line.tail)
                strip = overlay(strip, style, max(span[0], line.gutter), end)
        return strip

    def _background(self, role: str) -> Style:
        return self.get_component_rich_style(f"{self.ROLES}--{role}", partial=True)


def _span(
    line: Line, place: tuple[int, int], first: tuple[int, int, int], last: tuple[int, int, int]
) -> tuple[int, int] | None:
    """Return the characters of a row between two places, None if the row is outside them."""
    if not first[:2] <= place <= last[:2]:
        return None
    start = first[2] if place == first[:2] else 0
    end = last[2] if place == last[:2] else len(line.text)
    return start, end
