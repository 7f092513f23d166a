"""Scrolling views that draw only what is on the screen.

A view is made of blocks of rows. A block is wrapped when it comes into view; until then its height is an
estimate. Adding a block, changing one and drawing a frame cost the same for ten blocks as for ten thousand.

`BlockView` scrolls blocks of any kind of row. `SelectableView` draws blocks of `Line`s, whose text can be
selected, and has a cursor.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset, Region, Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from omni_tui.face.lines import Line, Span, copied_text
from omni_tui.face.widgets.scrollbar import CalmScrolling

Row = TypeVar("Row")
Place = tuple[int, int, int]
"""Block, row in it, character in the row."""

_ROW_BITS = 24
_KEEP = 400
"""Drawn blocks kept in memory; those farthest from the window go first."""
_MAX_COPIED = 2_000
"""Most blocks that one copy holds; drawing more would block the screen."""


SCROLL_KEYS: list[BindingType] = [
    Binding("up,k", "scroll_up", "up", show=False),
    Binding("down,j", "scroll_down", "down", show=False),
    Binding("pageup,b", "page_up", "page up", show=False),
    Binding("pagedown,space", "page_down", "page down", show=False),
    Binding("home,g", "scroll_home", "start", show=False),
    Binding("end,G", "scroll_end", "end", show=False),
]
"""The keys of a view of text."""


class Heights:
    """Heights of blocks in rows (0 is allowed), in a Fenwick tree: every operation takes O(log n)."""

    def __init__(self, heights: Iterable[int] = ()) -> None:
        self._heights: list[int] = list(heights)
        self._tree: list[int] = [0, *self._heights]
        for i in range(1, len(self._tree)):
            parent = i + (i & -i)
            if parent < len(self._tree):
                self._tree[parent] += self._tree[i]
        self.total = sum(self._heights)

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, index: int) -> int:
        return self._heights[index]

    def append(self, height: int) -> None:
        """Add a block at the end."""
        self._heights.append(height)
        i = len(self._heights)
        value, low = height, i - (i & -i)
        child = i - 1
        while child > low:
            value += self._tree[child]
            child -= child & -child
        self._tree.append(value)
        self.total += height

    def set(self, index: int, height: int) -> None:
        """Change the height of a block."""
        delta = height - self._heights[index]
        if delta:
            self._heights[index] = height
            self.total += delta
            i = index + 1
            while i < len(self._tree):
                self._tree[i] += delta
                i += i & -i

    def start(self, index: int) -> int:
        """Return the first row of a block."""
        total = 0
        while index > 0:
            total += self._tree[index]
            index -= index & -index
        return total

    def find(self, row: int) -> tuple[int, int]:
        """Return the block of a row and the row inside it; (0, 0) if there are no blocks.

        Rows before the first block count as its first, rows after the last as its last.
        """
        if not self._heights:
            return 0, 0
        row = max(0, min(row, self.total - 1))
        position, step = 0, 1 << len(self._heights).bit_length()
        rest = row
        while step:
            following = position + step
            if following < len(self._tree) and self._tree[following] <= rest:
                position = following
                rest -= self._tree[following]
            step >>= 1
        if position >= len(self._heights):  # every height is 0
            return len(self._heights) - 1, 0
        return position, max(rest, 0)


class _Drawn(msgspec.Struct, Generic[Row]):
    rows: list[Row]
    strips: list[Strip | None]


class BlockView(CalmScrolling, ScrollView, Generic[Row]):
    """Scrolls blocks of rows. A subclass draws them: `draw_block`, `guess_rows` and `draw_row`.

    Heights, size and scroll position are made to agree before each frame. What is in the window stays
    in place when an estimate above it turns out wrong.
    """

    FOLLOWS: ClassVar[bool] = True
    """Whether a view that shows its end stays there when blocks are added."""

    DEFAULT_CSS = """
    BlockView {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
    }
    """

    following: var[bool] = var(False)
    """Whether the view stays at its end."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.heights = Heights()
        self.set_reactive(BlockView.following, self.FOLLOWS)
        self._measured = bytearray()
        self._drawn: dict[int, _Drawn[Row]] = {}
        self._wrapped_at = 0
        self._settled = False
        self._placing = False
        self._top: tuple[int, int] = (0, 0)
        self._wanted: int | None = None

    @abstractmethod
    def draw_block(self, index: int, width: int) -> list[Row]:
        """Return the rows of a block."""

    @abstractmethod
    def guess_rows(self, index: int, width: int) -> int:
        """Return about how many rows a block takes."""

    @abstractmethod
    def draw_row(self, row: Row, width: int) -> Strip:
        """Return a row in its colours, exactly `width` cells wide."""

    def decorate(self, strip: Strip, row: Row, index: int, inner: int) -> Strip:
        """Add what changes without the block, such as a selection. `inner` is the row's place in it."""
        return strip

    # --- blocks are added and change

    @property
    def window(self) -> Size:
        """The size of what is visible, without the scroll bar."""
        return self.scrollable_content_region.size

    def reset(self, count: int = 0) -> None:
        """Start over with `count` blocks, none of them drawn."""
        width = self._wrapped_at = self.window.width
        self.heights = Heights(self.guess_rows(index, width) for index in range(count))
        self._measured = bytearray(count)
        self._drawn.clear()
        self._settled = False

    def grow(self, count: int) -> None:
        """Add blocks at the end until there are `count`."""
        width = self._wrapped_at or self.window.width
        while len(self.heights) < count:
            index = len(self.heights)
            self._measured.append(0)
            self.heights.append(self.guess_rows(index, width))
        self._settled = False

    def redraw(self, index: int) -> None:
        """Draw a block again with the next frame. Rows that are the same objects keep their strips."""
        if index < len(self._measured):
            self._measured[index] = 0
            self._settled = False

    # --- heights and position

    def settle(self) -> None:
        """Draw what the window shows and a page around it; make size and position agree."""
        window = self.window
        if window.width <= 0 or window.height <= 0 or not self.is_attached:
            return
        if window.width != self._wrapped_at:
            self._rewrap(window.width)
        elif self._settled:
            return
        self._settled = True
        if self.following or (self.FOLLOWS and self.heights.total <= window.height):
            self._measure_from(len(self.heights) - 1, -1, 2 * window.height)
            self._resize()
            self._place(self.max_scroll_y)
            self.following = self.FOLLOWS
        else:
            index, row = self.heights.find(round(self.scroll_y))
            if index < len(self.heights):
                row = min(row, max(0, self._measure(index) - 1))
            self._measure_from(index, 1, row + 2 * window.height)
            self._measure_from(index - 1, -1, window.height)
            self._resize()
            self._place(self.heights.start(index) + row)
            self.following = self._at_end()
        self._top = self.heights.find(round(self.scroll_y))
        self._forget()
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            self.show_block(wanted)

    def _at_end(self) -> bool:
        return self.FOLLOWS and self.scroll_y >= self.max_scroll_y

    def _rewrap(self, width: int) -> None:
        """Wrap at another width: heights are estimates again; the first row in the window stays first."""
        index, row = self._top
        self.reset(len(self.heights))
        self._wrapped_at = width
        if index < len(self.heights):
            row = min(row, max(0, self._measure(index) - 1))
            self._resize()
            self._place(self.heights.start(index) + row)

    def _measure(self, index: int) -> int:
        if not self._measured[index] or index not in self._drawn:
            rows = self.draw_block(index, self._wrapped_at)
            old = self._drawn.pop(index, None)
            strips: list[Strip | None] = [None] * len(rows)
            if old is not None:
                for at, (row, before) in enumerate(zip(rows, old.rows, strict=False)):
                    if row is not before:
                        break
                    strips[at] = old.strips[at]
            self._drawn[index] = _Drawn(rows, strips)
            self._measured[index] = 1
            self.heights.set(index, len(rows))
        return self.heights[index]

    def _measure_from(self, index: int, step: int, rows: int) -> None:
        """Draw blocks from `index` on, upwards if `step` is -1, until they fill `rows`."""
        while 0 <= index < len(self.heights) and rows > 0:
            rows -= self._measure(index)
            index += step

    def _resize(self) -> None:
        """Update the scroll bar. Not through the reactive, which would lay out the whole screen again."""
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
            low, high = self._top[0] - _KEEP // 2, self._top[0] + _KEEP // 2
            self._drawn = {i: drawn for i, drawn in self._drawn.items() if low <= i <= high}

    def rows_of(self, index: int) -> list[Row]:
        """Return the rows of a block as they are drawn now."""
        drawn = self._drawn.get(index)
        if drawn is not None and self._measured[index]:
            return drawn.rows
        return self.draw_block(index, self._wrapped_at or self.window.width)

    def show_block(self, index: int) -> None:
        """Scroll so that a block is visible, its beginning if it is taller than the window.

        A view that has no size yet does so when it gets one.
        """
        if not 0 <= index < len(self.heights):
            return
        self.following = False
        if self.window.height <= 0 or self.window.width <= 0:
            self._wanted = index
            return
        self.settle()
        height, room = self._measure(index), self.window.height
        self._measure_from(index - 1, -1, room)
        self._measure_from(index + 1, 1, room)
        self._resize()
        start = self.heights.start(index)
        top = round(self.scroll_y)
        if start < top or height >= room:
            self.scroll_to(y=start, animate=False)
        elif start + height > top + room:
            self.scroll_to(y=start + height - room, animate=False)
        self.following = self._at_end()

    # --- the user scrolls

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Measure what comes into view; follow the end again once it is reached."""
        super().watch_scroll_y(old_value, new_value)
        if not self._placing and round(old_value) != round(new_value):
            self.following = self._at_end()
            self._settled = False
            self.settle()

    def action_scroll_up(self) -> None:
        """Scroll up one row."""
        self.scroll_to(y=self.scroll_y - 1, animate=False)

    def action_scroll_down(self) -> None:
        """Scroll down one row."""
        self.scroll_to(y=self.scroll_y + 1, animate=False)

    def action_scroll_home(self) -> None:
        """Go to the beginning."""
        self.scroll_to(y=0, animate=False)

    def action_scroll_end(self) -> None:
        """Go to the end, and stay there if the view follows."""
        self.following = True
        self._settled = False
        self.settle()
        self.refresh()

    def action_page_up(self) -> None:
        """Go up by a window less two rows."""
        self.scroll_to(y=self.scroll_y - max(1, self.window.height - 2), animate=False)

    def action_page_down(self) -> None:
        """Go down by a window less two rows."""
        self.scroll_to(y=self.scroll_y + max(1, self.window.height - 2), animate=False)

    def on_resize(self, event: events.Resize) -> None:
        """Wrap what is visible again."""
        self._settled = False
        self.settle()

    # --- painting

    def notify_style_update(self) -> None:
        """Draw the rows in their new colours."""
        for drawn in self._drawn.values():
            drawn.strips = [None] * len(drawn.rows)
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Settle first, so that nothing is painted from an estimate."""
        self.settle()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Paint one row of the window."""
        row = round(self.scroll_y) + y
        width = self.window.width
        if not 0 <= row < self.heights.total:
            return Strip.blank(width, self.rich_style)
        index, inner = self.heights.find(row)
        self._measure(index)
        drawn = self._drawn[index]
        if inner >= len(drawn.rows):
            return Strip.blank(width, self.rich_style)
        strip = drawn.strips[inner]
        if strip is None:
            strip = drawn.strips[inner] = self.draw_row(drawn.rows[inner], width)
        strip = self.decorate(strip, drawn.rows[inner], index, inner)
        return strip.apply_offsets(0, offset_of(index, inner).y)


class SelectableView(BlockView[Line]):
    """Blocks of lines whose text can be selected with the mouse; one block can have the cursor."""

    ROLES: ClassVar[str] = ""
    """Prefix of the component classes that give the roles of spans their look."""

    cursor: var[int | None] = var(None)
    """The block that the keys act on."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.can_focus = True
        self._styles_of: dict[str, Style] = {}

    # --- the cursor

    def can_hold_cursor(self, index: int) -> bool:
        """Return whether the cursor may stop at a block."""
        return True

    def walk(self, step: int) -> None:
        """Move the cursor to the next block, or scroll within one that is taller than the window."""
        count = len(self.heights)
        if not count:
            return
        if self.cursor is None or self.cursor >= count:
            self.put_cursor(self._nearest(count - 1, -1))
            return
        if self._scrolled_within(self.cursor, step):
            return
        index = self._nearest(self.cursor + step, step)
        if index is None:
            self.action_scroll_end() if step > 0 else self.action_scroll_home()
        else:
            self.put_cursor(index)

    def put_cursor(self, index: int | None) -> None:
        """Put the cursor on a block and scroll to it."""
        self.cursor = index
        if index is not None:
            self.show_block(index)

    def _nearest(self, index: int, step: int) -> int | None:
        while 0 <= index < len(self.heights):
            if self.can_hold_cursor(index):
                return index
            index += step
        return None

    def _scrolled_within(self, index: int, step: int) -> bool:
        """Scroll half a window if the block goes on in that direction; return whether it does."""
        start, room = self.heights.start(index), self.window.height
        end, top = start + self.heights[index], round(self.scroll_y)
        half = max(1, room // 2)
        if step > 0 and top < end - room and start <= top + room - 1:
            self.scroll_to(y=min(top + half, end - room), animate=False)
            return True
        if step < 0 and start < top < end:
            self.scroll_to(y=max(top - half, start), animate=False)
            return True
        return False

    def watch_cursor(self) -> None:
        """Paint the cursor."""
        self.refresh()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Show the cursor only while the view has the focus."""
        super().watch_has_focus(has_focus)
        self.refresh()

    def block_at(self, y: int) -> tuple[int, int] | None:
        """Return the block and the row in it at a row of the window, None below the last."""
        row = round(self.scroll_y) + y
        return self.heights.find(row) if 0 <= row < self.heights.total else None

    # --- the selection

    async def _on_click(self, event: events.Click) -> None:
        """Select a block with a double click. Textual would select everything."""
        if event.chain >= 2:
            event.prevent_default()
            if (found := self.block_at(event.y)) is not None:
                index = found[0]
                last = max(0, len(self.rows_of(index)) - 1)
                self.screen.selections = {
                    self: Selection(offset_of(index, 0), offset_of(index, last, 100_000))
                }

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text without decoration, and what ends it."""
        if not len(self.heights):
            return None
        first, last = _ends(selection)
        stop = min(last[0], len(self.heights) - 1, first[0] + _MAX_COPIED)
        lines: list[Line] = []
        for index in range(first[0], stop + 1):
            for row, line in enumerate(self.copied_rows(index)):
                span = _selected(line, (index, row), first, last)
                if span is not None:
                    lines.append(Line((Span(line.text[slice(*span)]),), glue=line.glue))
        return copied_text(lines), "\n"

    def copied_rows(self, index: int) -> list[Line]:
        """Return the rows of a block to copy from."""
        return self.rows_of(index)

    def selection_updated(self, selection: Selection | None) -> None:
        """Paint the selection."""
        self.refresh()

    # --- painting

    @property
    def fill_width(self) -> int:
        """How far the background of a filled row reaches, in cells."""
        return self.window.width

    def notify_style_update(self) -> None:
        """Look up the styles of roles again."""
        self._styles_of.clear()
        super().notify_style_update()

    def draw_row(self, row: Line, width: int) -> Strip:
        """Return a line in the colours of its roles."""
        strip = Strip([Segment(text, self._style(role)) for text, role in row.spans if text])
        if row.fill:
            strip = strip.extend_cell_length(min(self.fill_width, width), self._style(row.fill))
        return strip.adjust_cell_length(width, self._style("text"))

    def decorate(self, strip: Strip, row: Line, index: int, inner: int) -> Strip:
        """Add the cursor and the selection."""
        if index == self.cursor and self.has_focus and row.spans:
            strip = overlay(strip, self.look("cursor"), 0, strip.cell_length)
        if (selection := self.text_selection) is not None:
            span = _selected(row, (index, inner), *_ends(selection))
            if span is not None:
                style = self.screen.get_component_rich_style("screen--selection", partial=True)
                strip = overlay(strip, style, *span)
        return strip

    def look(self, role: str) -> Style:
        """Return the style of a role, without the view's own style under it."""
        return self.get_component_rich_style(f"{self.ROLES}--{role}", partial=True)

    def _style(self, role: str) -> Style:
        style = self._styles_of.get(role)
        if style is None:
            style = self.rich_style
            for name in role.split():
                style += self.look(name)
            self._styles_of[role] = style
        return style


def overlay(strip: Strip, style: Style, start: int, end: int) -> Strip:
    """Return a strip with a style on top of its characters from `start` to `end`."""
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


def offset_of(index: int, row: int, character: int = 0) -> Offset:
    """Return the offset of a selection for a place in a block. It holds when heights change above."""
    return Offset(character, index << _ROW_BITS | row)


def _ends(selection: Selection) -> tuple[Place, Place]:
    first, last = (
        None if end is None else (end.y >> _ROW_BITS, end.y & ((1 << _ROW_BITS) - 1), end.x)
        for end in (selection.start, selection.end)
    )
    return first or (0, 0, 0), last or (1 << 40, 0, 0)


def _selected(line: Line, place: tuple[int, int], first: Place, last: Place) -> tuple[int, int] | None:
    """Return (start, end) of a row's characters between two places without decoration, None if outside."""
    if not first[:2] <= place <= last[:2]:
        return None
    start = first[2] if place == first[:2] else 0
    end = last[2] if place == last[:2] else len(line.text)
    return max(start, line.gutter), min(end, len(line.text) - line.tail)
