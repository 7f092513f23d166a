"""A view of text of any length: lines are wrapped by the block and drawn by the row.

Memory and time follow what was read so far, not the number of widgets; a narrower window wraps the
blocks in sight at once and the others when they come into sight, with their height estimated until
then.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from omni_tui.face.results.highlight import json_spans
from omni_tui.face.results.wrap import CharRange, breaks

Look = Literal["text", "json", "head", "dim", "fail", "wait"]
RowSpan = tuple[int, int, int]
NO_PART = -9
"""The part of lines that belong to no part of a result."""
_BLOCK_LINES = 400
_FEW = 50
_AT_ONCE = 12
"""Blocks of one text that are wrapped as it is added; the others when they come into sight."""
_JOINED = 4_000
"""A line that a page cut in two is joined again unless its beginning is longer than this."""
_LONGEST_LIT = 2_000
"""Lines longer than this many characters are drawn in one colour."""


@dataclass(eq=False)
class TextBlock:
    """Some lines that are wrapped together. `part` is the part of the result they come from.

    `goes_on`: its first line is the rest of the last line of the block before.
    """

    lines: list[str]
    look: Look
    part: int
    goes_on: bool = False
    width: int = 0
    height: int = 0
    rows: list[RowSpan] = field(default_factory=list)

    def wrap(self, width: int) -> None:
        """Break the lines for a width."""
        self.width = width
        self.rows = [(n, *span) for n, line in enumerate(self.lines) for span in breaks(line, width)]
        self.height = len(self.rows)

    def estimate(self, width: int) -> None:
        """Guess the height for a width without wrapping: many lines are taken to be short."""
        self.height = len(self.lines)
        if self.height < _FEW:
            self.height = sum(1 + len(line) // max(width, 2) for line in self.lines)
        self.width = 0


class LongTextView(ScrollView, can_focus=True):
    """Shows blocks of text. Posts `NearEnd` when the reader comes close to the end of what is there."""

    DEFAULT_CSS = """
    LongTextView { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; color: $text-1; }
    LongTextView > .lines--key { color: $text-2; }
    LongTextView > .lines--value { color: $running; }
    LongTextView > .lines--mark { color: $text-3; }
    LongTextView > .lines--text { color: $text-1; }
    LongTextView > .lines--head { color: $text-2; }
    LongTextView > .lines--dim { color: $text-3; }
    LongTextView > .lines--fail { color: $fail; }
    LongTextView > .lines--wait { color: $waiting; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"lines--{name}" for name in ("key", "value", "mark", "text", "head", "dim", "fail", "wait")
    }
    BINDINGS = [
        Binding("up,k", "scroll_up", "up", show=False),
        Binding("down,j", "scroll_down", "down", show=False),
        Binding("pageup", "page_up", "page up", show=False),
        Binding("pagedown,space", "page_down", "page down", show=False),
        Binding("home", "scroll_home", "start", show=False),
        Binding("end", "scroll_end", "end", show=False),
    ]

    class NearEnd(Message):
        """Less than two screens of what was read are left below the window."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[TextBlock] = []
        self._tops: list[int] = [0]
        self._told = False

    # --- contents

    def clear(self) -> None:
        """Show nothing."""
        self._blocks = []
        self._told = False
        self._measure()
        self.scroll_to(0, 0, animate=False, force=True)

    def add(self, text: str, look: Look = "text", part: int = NO_PART, *, goes_on: bool = False) -> None:
        """Add lines at the end. The text is safe already. `goes_on`: the text before ended in a line."""
        lines = text.split("\n")
        last = self._blocks[-1] if self._blocks else None
        if goes_on and last is not None and len(last.lines[-1]) <= _JOINED:
            last.lines[-1] += lines.pop(0)
            goes_on = False
            self._wrap(last)
        for start in range(0, len(lines), _BLOCK_LINES):
            block = TextBlock(lines[start : start + _BLOCK_LINES], look, part, goes_on and start == 0)
            if start < _AT_ONCE * _BLOCK_LINES:
                self._wrap(block)
            else:
                block.estimate(self._room or 80)
            self._blocks.append(block)
        self._told = False
        self._measure()
        self._look_ahead()

    def _wrap(self, block: TextBlock) -> None:
        if self._room:
            block.wrap(self._room)
        else:
            block.estimate(80)

    @property
    def part_in_sight(self) -> int:
        """The part of the result at the top of the window; `NO_PART` if there is none."""
        if not self._blocks:
            return NO_PART
        return self._blocks[self._block_at(round(self.scroll_offset.y))].part

    @property
    def text(self) -> str:
        """Everything read so far."""
        pieces = [("" if block.goes_on else "\n") + "\n".join(block.lines) for block in self._blocks]
        return "".join(pieces)[1:]

    # --- measuring

    @property
    def _room(self) -> int:
        return max(self.scrollable_content_region.width - 1, 0)

    def _measure(self) -> None:
        self._tops = [0, *accumulate(block.height for block in self._blocks)]
        self.virtual_size = Size(self.scrollable_content_region.width, self._tops[-1])
        self.refresh()

    def _block_at(self, y: int) -> int:
        return min(max(bisect_right(self._tops, y) - 1, 0), len(self._blocks) - 1)

    def on_resize(self) -> None:
        """Wrap what is in sight for the new width, and guess the rest."""
        room = self._room
        if not room or not self._blocks:
            return
        first = self._block_at(round(self.scroll_offset.y))
        for block in self._blocks:
            if block.width != room:
                block.estimate(room)
        self._settle(first)
        self._look_ahead()

    def _settle(self, first: int) -> None:
        """Wrap blocks from `first` on until they fill the window."""
        rows = 0
        for block in self._blocks[first:]:
            if block.width != self._room and self._room:
                block.wrap(self._room)
            rows += block.height
            if rows > 2 * self.size.height + 2:
                break
        self._measure()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Wrap what comes into sight; tell when the end is near."""
        super().watch_scroll_y(old_value, new_value)
        if not self._blocks or not self._room:
            return
        first = self._block_at(round(new_value))
        if any(block.width != self._room for block in self._blocks[first : first + 2]):
            self._settle(first)
        self._look_ahead()

    def _look_ahead(self) -> None:
        bottom = self.scroll_offset.y + 3 * max(self.size.height, 1)
        if not self._told and self._room and bottom >= self._tops[-1]:
            self._told = True
            self.post_message(self.NearEnd())

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        at = y + round(self.scroll_offset.y)
        width = self.scrollable_content_region.width
        base = self.rich_style
        if not self._blocks or at >= self._tops[-1]:
            return Strip.blank(width, base)
        index = self._block_at(at)
        block = self._blocks[index]
        if block.width != self._room:
            block.wrap(self._room)
        within = at - self._tops[index]
        if within >= len(block.rows):
            return Strip.blank(width, base)
        number, start, end = block.rows[within]
        segments = self._segments(block, number, (start, end), base)
        strip = Strip([Segment(" ", base), *segments]).adjust_cell_length(width, base)
        if (selection := self.text_selection) is not None:
            strip = self._marked(strip, selection, at)
        return strip.apply_offsets(0, at)

    def _segments(self, block: TextBlock, number: int, row: CharRange, base: Style) -> list[Segment]:
        line = block.lines[number]
        start, end = row
        if block.look != "json" or len(line) > _LONGEST_LIT:
            plain = "text" if block.look == "json" else block.look
            return [Segment(line[start:end], base + self._style(plain))]
        made = []
        for first, last, look in json_spans(line):
            first, last = max(first, start), min(last, end)
            if first < last:
                made.append(Segment(line[first:last], base + self._style(look)))
        return made

    def _style(self, look: str) -> Style:
        return self.get_component_rich_style(f"lines--{look}", partial=True)

    def _marked(self, strip: Strip, selection: Selection, y: int) -> Strip:
        span = selection.get_span(y)
        if span is None:
            return strip
        start, end = span
        end = strip.cell_length if end == -1 else end
        style = self.screen.get_component_rich_style("screen--selection", partial=True)
        before, inside, after = strip.divide([start, end, strip.cell_length])
        return Strip.join([before, inside.apply_style(style), after])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text, row by row as it is drawn."""
        rows = []
        for block in self._blocks:
            if block.width != self._room:
                block.wrap(self._room)
            rows += [" " + block.lines[n][start:end] for n, start, end in block.rows]
        return selection.extract("\n".join(rows)), "\n"
