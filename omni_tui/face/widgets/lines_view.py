"""Long text by the line: folding that loses nothing, and a view that knows when its end was seen."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from omni_tui.face.cells import breaks, fits, fitting


def fold(line: Content, width: int) -> list[Content]:
    """Cut one line into pieces of at most `width` cells; every character is in exactly one of them.

    A grapheme is never cut; one that is wider than the room is a piece of its own.
    """
    text = line.plain
    width = max(width, 2)
    if fits(text, width):
        return [line]
    cuts = [0]
    while (end := fitting(text, cuts[-1], width)) < len(text):
        cuts.append(end)
    return [line[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def join_content(gap: str, parts: Iterable[Content]) -> Content:
    """Put pieces side by side with `gap` between them.

    `Content.join` counts a gap too many as cells, so that a line padded to a width falls short.
    """
    line = Content("")
    for number, part in enumerate(parts):
        line = line + gap + part if number else part
    return line


def wrap(line: Content, width: int) -> list[Content]:
    """Break one line at spaces where there are some, else anywhere; loses only spaces at the breaks."""
    width = max(width, 2)
    if fits(line.plain, width):
        return [line]
    return [line[start:end] for start, end in breaks(line.plain, width)]


def wrap_rows(text: str, width: int) -> list[str]:
    """Break a long text into rows as `wrap` does; takes time in proportion to its length."""
    width = max(width, 2)
    return [line[start:end] for line in text.split("\n") for start, end in breaks(line, width)]


class LinesView(ScrollView, can_focus=True):
    """Shows many lines of any length. `end_seen` is True once the last of them was painted."""

    DEFAULT_CSS = """
    LinesView {
        width: 1fr; height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        text-wrap: nowrap; text-overflow: clip;
    }
    """
    BINDINGS = [
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("pageup,b", "page_up", show=False),
        Binding("pagedown,space", "page_down", show=False),
        Binding("home,g", "scroll_home", show=False),
        Binding("end,G", "scroll_end", show=False),
    ]

    def __init__(self, *, words: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._words = words
        self._source: list[Content] = []
        self._drawn: list[Content] = []
        self._width = 0
        self.end_seen = False

    @property
    def room(self) -> int:
        """How many cells a row has: those of a scroll bar are none of them, whether it is there or not."""
        return max(2, self.scrollable_content_region.width)

    @property
    def count(self) -> int:
        """How many rows there are at the present width."""
        return len(self._drawn)

    def show(self, lines: Iterable[Content]) -> None:
        """Show other lines."""
        self._source = list(lines)
        self._width = 0
        self.end_seen = False
        self._layout()

    def extend(self, lines: Iterable[Content]) -> None:
        """Add lines at the end."""
        added = list(lines)
        self._source += added
        self.end_seen = False
        if self._width:
            self._drawn += [piece for line in added for piece in self._cut(line)]
            self.virtual_size = Size(self._width, len(self._drawn))
        self.refresh()

    def on_resize(self) -> None:
        """Fold again if the width changed."""
        self._layout()

    def _cut(self, line: Content) -> list[Content]:
        return wrap(line, self._width) if self._words else fold(line, self._width)

    def _layout(self) -> None:
        width = self.scrollable_content_region.width
        if width > 0 and width != self._width:
            self._width = width
            self._drawn = [piece for line in self._source for piece in self._cut(line)]
            self.end_seen = False
        self.virtual_size = Size(max(width, 1), len(self._drawn))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        index = y + round(self.scroll_offset.y)
        width = self.scrollable_content_region.width
        if index >= len(self._drawn):
            return Strip.blank(width, self.rich_style)
        return Visual.to_strips(self, self._drawn[index], width, 1, self.visual_style, pad=True)[0]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw rows, and note whether the last one was among them."""
        strips = super().render_lines(crop)
        bottom = round(self.scroll_offset.y) + crop.bottom
        if self._drawn and bottom >= len(self._drawn):
            self.end_seen = True
        return strips
