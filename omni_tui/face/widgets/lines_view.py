"""Lines of Textual content: wrapped, joined, and in a view that knows when its end was seen."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual

from omni_tui.face.cells import breaks, fits, fitting
from omni_tui.face.widgets.block_view import BlockView


def fold(line: Content, width: int) -> list[Content]:
    """Cut one line into pieces of at most `width` cells. Every character is in exactly one of them."""
    return _cut(line, width, hard=True)


def wrap(line: Content, width: int) -> list[Content]:
    """Wrap one line at spaces. One space is left out at each break."""
    return _cut(line, width)


def _cut(line: Content, width: int, *, hard: bool = False) -> list[Content]:
    text, width = line.plain, max(width, 2)
    if fits(text, width):
        return [line]
    return [line[start:end] for start, end in breaks(text, width, hard=hard)]


def wrap_rows(text: str, width: int) -> list[str]:
    """Wrap a text of several lines as `wrap` does."""
    width = max(width, 2)
    return [line[start:end] for line in text.split("\n") for start, end in breaks(line, width)]


def fit_content(line: Content, width: int) -> Content:
    """Return a line in at most `width` cells, with … at its end where something was left out.

    `Content.truncate` cuts within graphemes.
    """
    if width <= 0:
        return Content("")
    if fits(line.plain, width):
        return line
    kept = line[: fitting(line.plain, 0, width - 1)] if width > 1 else Content("")
    return kept + "…" if kept.cell_length < width else Content("…")


def join_content(gap: str, parts: Iterable[Content]) -> Content:
    """Put pieces side by side with `gap` between them.

    `Content.join` counts a gap too many as cells, so that a line padded to a width falls short.
    """
    line = Content("")
    for number, part in enumerate(parts):
        line = line + gap + part if number else part
    return line


class LinesView(BlockView[Content], can_focus=True):
    """Shows many lines of any length, wrapped at spaces if `words`, else folded.

    Heights are exact. `end_seen` is True once the last row was painted.
    """

    FOLLOWS = False
    DEFAULT_CSS = """
    LinesView { width: 1fr; height: 1fr; text-wrap: nowrap; text-overflow: clip; }
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
        self._lines: list[Content] = []
        self.end_seen = False

    @property
    def room(self) -> int:
        """The cells of a row, without those of the scroll bar."""
        return max(2, self.window.width)

    @property
    def count(self) -> int:
        """The number of rows at the present width; 0 before there is one."""
        return self.heights.total if self._wrapped_at else 0

    def show(self, lines: Iterable[Content]) -> None:
        """Show other lines."""
        self._lines = list(lines)
        self.reset(len(self._lines))
        self.settle()
        self.refresh()

    def extend(self, lines: Iterable[Content]) -> None:
        """Add lines at the end."""
        self._lines += lines
        self.end_seen = False
        self.grow(len(self._lines))
        self.settle()
        self.refresh()

    def reset(self, count: int = 0) -> None:
        """Start over, at another width or with other lines: the end was not seen."""
        self.end_seen = False
        super().reset(count)

    def draw_block(self, index: int, width: int) -> list[Content]:
        """Wrap one line."""
        return _cut(self._lines[index], width, hard=not self._words)

    def guess_rows(self, index: int, width: int) -> int:
        """Return exactly how many rows a line takes."""
        return len(self.draw_block(index, width)) if width else 1

    def draw_row(self, row: Content, width: int) -> Strip:
        """Return a row as Textual paints it."""
        return Visual.to_strips(self, row, width, 1, self.visual_style, pad=True)[0]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw rows, and note whether the last one was among them."""
        strips = super().render_lines(crop)
        if self.count and round(self.scroll_y) + crop.bottom >= self.count:
            self.end_seen = True
        return strips
