"""A scrolling view of many blocks of lines that draws only what is on the screen.

Blocks are wrapped when they come into view; elsewhere their height is an estimate. Adding a block,
changing one, and drawing a frame cost the same with ten blocks as with ten thousand.

`settle` brings heights, size and scroll position into agreement before a frame is painted. What the
person looks at stays where it is when an estimate above it turns out wrong.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Offset, Region, Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from omni_tui.face.transcript.heights import Heights
from omni_tui.face.transcript.lines import Line
from omni_tui.face.widgets.scrollbar import CalmScrolling

_ROW_BITS = 24
_KEEP = 400
"""Drawn blocks kept in memory; those used longest ago go first."""


class _Drawn(msgspec.Struct):
    lines: list[Line]
    strips: list[Strip | None] = msgspec.field(default_factory=list)


class LineView(CalmScrolling, ScrollView):
    """Base of line views. A subclass says what block `index` is: `draw_block` and `guess_rows`."""

    ROLES: ClassVar[str] = ""
    """Prefix of the component classes that give roles their look."""

    DEFAULT_CSS = """
    LineView {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
    }
    """

    following: var[bool] = var(True)
    """Whether the view stays at the end when something is added."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.heights = Heights()
        self._measured = bytearray()
        self._drawn: dict[int, _Drawn] = {}
        self._styles_of: dict[str, Style] = {}
        self._wrapped_at = 0
        self._settled = False
        self._placing = False
        self._at: tuple[int, int] = (0, 0)
        self._wanted: int | None = None

    # --- what a subclass says

    def draw_block(self, index: int, width: int) -> list[Line]:
        """Return the lines of one block."""
        raise NotImplementedError

    def guess_rows(self, index: int, width: int) -> int:
        """Return about how many rows a block takes."""
        raise NotImplementedError

    # --- blocks come and change

    @property
    def room(self) -> Size:
        """The size of the window onto the lines."""
        return self.scrollable_content_region.size

    def reset(self, count: int = 0) -> None:
        """Start over with `count` blocks, none of them drawn."""
        width = self._wrapped_at = self.room.width
        self.heights = Heights(self.guess_rows(index, width) for index in range(count))
        self._measured = bytearray(count)
        self._drawn.clear()
        self._settled = False

    def grow(self, count: int) -> None:
        """Add blocks at the end until there are `count`."""
        width = self._wrapped_at or self.room.width
        while len(self.heights) < count:
            index = len(self.heights)
            self._measured.append(0)
            self.heights.append(self.guess_rows(index, width))
        self._settled = False

    def redraw(self, index: int) -> None:
        """A block looks different now. Lines that stay the same object keep their strips."""
        if index < len(self._measured):
            self._measured[index] = 0
            self._settled = False

    def redraw_all(self) -> None:
        """Every block looks different now."""
        self._measured = bytearray(len(self._measured))
        self._drawn.clear()
        self._settled = False
        self.settle()
        self.refresh()

    # --- heights and position

    @property
    def fill_width(self) -> int:
        """How far the shade of a filled row reaches, in cells."""
        return self.room.width

    def settle(self) -> None:
        """Draw what the window shows and a page around it; make size and position agree."""
        room = self.room
        if room.width <= 0 or room.height <= 0 or not self.is_attached:
            return
        if room.width != self._wrapped_at:
            self._rewrap(room.width)
        elif self._settled:
            return
        self._settled = True
        if self.following or self.heights.total <= room.height:
            self._measure_up(len(self.heights) - 1, 2 * room.height)
            self._resize()
            self._place(self.max_scroll_y)
            self.following = True
        else:
            index, row = self.heights.find(round(self.scroll_y))
            row = min(row, max(0, self._measure(index) - 1))
            self._measure_down(index, row + 2 * room.height)
            self._measure_up(index - 1, room.height)
            self._resize()
            self._place(self.heights.start(index) + row)
            self.following = self.scroll_y >= self.max_scroll_y
        self._at = self.heights.find(round(self.scroll_y))
        self._forget()
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            self.show_block(wanted)

    def _rewrap(self, width: int) -> None:
        """The window has another width: every height is an estimate again; the first line stays first."""
        index, row = self._at
        self.reset(len(self.heights))
        self._wrapped_at = width
        self._settled = False
        if index < len(self.heights):
            self._resize()
            self._place(self.heights.start(index) + min(row, max(0, self._measure(index) - 1)))

    def _measure(self, index: int) -> int:
        """Draw a block if it is not drawn as it is now; return its height."""
        if not self._measured[index] or index not in self._drawn:
            lines = self.draw_block(index, self._wrapped_at)
            old = self._drawn.pop(index, None)
            strips: list[Strip | None] = [None] * len(lines)
            if old is not None:
                for row, (line, before) in enumerate(zip(lines, old.lines, strict=False)):
                    if line is not before:
                        break
                    strips[row] = old.strips[row]
            self._drawn[index] = _Drawn(lines, strips)
            self._measured[index] = 1
            self.heights.set(index, len(lines))
        return self.heights[index]

    def _measure_down(self, index: int, rows: int) -> None:
        while index < len(self.heights) and rows > 0:
            rows -= self._measure(index)
            index += 1

    def _measure_up(self, index: int, rows: int) -> None:
        while index >= 0 and rows > 0:
            rows -= self._measure(index)
            index -= 1

    def _resize(self) -> None:
        """Tell the scroll bar. Not through the reactive: that would lay out the whole screen again."""
        size = Size(self._wrapped_at, self.heights.total)
        if size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self._placing = True
            self._scroll_update(size)
            self._placing = False

    def _place(self, row: float) -> None:
        self._placing = True
        self.scroll_target_y = self.scroll_y = row
        self._placing = False

    def _forget(self) -> None:
        if len(self._drawn) > 2 * _KEEP:
            low, high = self._at[0] - _KEEP // 2, self._at[0] + _KEEP // 2
            self._drawn = {i: drawn for i, drawn in self._drawn.items() if low <= i <= high}

    def lines_of(self, index: int) -> list[Line]:
        """Return the lines of a block as they are drawn now."""
        drawn = self._drawn.get(index)
        if drawn is not None and self._measured[index]:
            return drawn.lines
        return self.draw_block(index, self._wrapped_at or self.room.width)

    def show_block(self, index: int) -> None:
        """Scroll so that a block is in the window, its beginning if it is taller.

        A view that has no size yet, because it is about to be shown, does so once it has one.
        """
        if not 0 <= index < len(self.heights):
            return
        self.following = False
        if self.room.height <= 0 or self.room.width <= 0:
            self._wanted = index
            return
        self.settle()
        height, room = self._measure(index), self.room.height
        self._measure_up(index - 1, room)
        self._measure_down(index + 1, room)
        self._resize()
        start = self.heights.start(index)
        top = round(self.scroll_y)
        if start < top or height >= room:
            self.scroll_to(y=start, animate=False)
        elif start + height > top + room:
            self.scroll_to(y=start + height - room, animate=False)
        self.following = self.scroll_y >= self.max_scroll_y

    # --- scrolling by the person

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the end again once the person is there; measure what comes into view."""
        super().watch_scroll_y(old_value, new_value)
        if not self._placing and round(old_value) != round(new_value):
            self.following = new_value >= self.max_scroll_y
            self._settled = False
            self.settle()

    def action_scroll_end(self) -> None:
        """Go to the end and stay there."""
        self.following = True
        self._settled = False
        self.settle()
        self.refresh()

    def action_scroll_home(self) -> None:
        """Go to the beginning."""
        self.scroll_to(y=0, animate=False)

    def action_page_up(self) -> None:
        """Go back by a window less two lines."""
        self.scroll_to(y=self.scroll_y - max(1, self.room.height - 2), animate=False)

    def action_page_down(self) -> None:
        """Go on by a window less two lines."""
        self.scroll_to(y=self.scroll_y + max(1, self.room.height - 2), animate=False)

    def on_resize(self, event: events.Resize) -> None:
        """Wrap again what is in view."""
        self._settled = False
        self.settle()

    # --- painting

    def notify_style_update(self) -> None:
        """Other colours: the lines stay, their strips are made again."""
        self._styles_of.clear()
        for drawn in self._drawn.values():
            drawn.strips = [None] * len(drawn.lines)
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Settle first: nothing is painted from an estimate."""
        self.settle()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Paint one row of the window."""
        row = round(self.scroll_y) + y
        width = self.room.width
        if not 0 <= row < self.heights.total:
            return Strip.blank(width, self._style("text"))
        index, inner = self.heights.find(row)
        drawn = self._drawn.get(index)
        if drawn is None or inner >= len(drawn.lines):
            return Strip.blank(width, self._style("text"))
        strip = drawn.strips[inner]
        if strip is None:
            strip = drawn.strips[inner] = self._strip(drawn.lines[inner], width)
        strip = self.decorate(strip, drawn.lines[inner], index, inner)
        return strip.apply_offsets(0, self.offset_of(index, inner).y)

    def decorate(self, strip: Strip, line: Line, index: int, row: int) -> Strip:
        """Lay over a strip what changes without the block: a selection, the cursor."""
        return strip

    def _strip(self, line: Line, width: int) -> Strip:
        segments = [Segment(text, self._style(role)) for text, role in line.spans if text]
        strip = Strip(segments)
        if line.fill:
            strip = strip.extend_cell_length(min(self.fill_width, width), self._style(line.fill))
        return strip.adjust_cell_length(width, self._style("text"))

    def _style(self, role: str) -> Style:
        """Return the style of a role: the view's own with that of each of its component classes over it."""
        style = self._styles_of.get(role)
        if style is None:
            style = self.rich_style
            for name in role.split():
                style += self.get_component_rich_style(f"{self.ROLES}--{name}", partial=True)
            self._styles_of[role] = style
        return style

    @staticmethod
    def offset_of(index: int, row: int, character: int = 0) -> Offset:
        """Return the offset of a selection for a place in a block: it holds when heights change above."""
        return Offset(character, index << _ROW_BITS | row)

    @staticmethod
    def block_of(offset: Offset) -> tuple[int, int, int]:
        """Return (block, row in it, character in the row) of an offset of a selection."""
        return offset.y >> _ROW_BITS, offset.y & ((1 << _ROW_BITS) - 1), offset.x
