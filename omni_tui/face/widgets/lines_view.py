"""Lines of Textual content: wrapped, joined, and in a view that knows when its end was seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual

from omni_tui.face.cells import boundary, breaks, fits, fitting
from omni_tui.face.widgets.block_view import SCROLL_KEYS, BlockView


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

    It ends at a line break, if there is one. `Content.truncate` cuts within graphemes.
    """
    if width <= 0:
        return Content("")
    if (at := line.plain.find("\n")) >= 0:
        line = line[:at] + "…"
    if fits(line.plain, width):
        return line
    end = fitting(line.plain, 0, width - 1) if width > 1 else 0
    # The … looks like the character in its place.
    cut = Content(line.plain[:end] + "…", list(line[: end + 1].spans))
    return cut if cut.cell_length <= width else Content("…")


def join_content(gap: str, parts: Iterable[Content]) -> Content:
    """Put pieces side by side with `gap` between them.

    `Content.join` counts a gap too many as cells, so that a line padded to a width falls short.
    """
    line = Content("")
    for number, part in enumerate(parts):
        line = line + gap + part if number else part
    return line


PIECE = 4_000
"""Characters of one block at most."""
_BLOCK_LINES = 40


def pieces(line: Content) -> Iterator[Content]:
    """Yield a long line in pieces of at most `PIECE` characters; nothing is cut within a grapheme."""
    at, size = 0, len(line.plain)
    while at < size:
        end = size if size - at <= PIECE else boundary(line.plain, at + PIECE)
        yield line[at:end]
        at = end


class LinesView(BlockView[Content], can_focus=True):
    """Shows many lines of any length, wrapped at spaces if `words`, else folded.

    A block holds `_BLOCK_LINES` lines, or a piece of one that is longer than `PIECE`; what is not near the
    window is not laid out. `end_seen` is True once the last row was painted.
    """

    FOLLOWS = False
    DEFAULT_CSS = """
    LinesView { width: 1fr; height: 1fr; text-wrap: nowrap; text-overflow: clip; }
    """
    BINDINGS = SCROLL_KEYS

    def __init__(self, *, words: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._words = words
        self._blocks: list[list[Content]] = []
        self.end_seen = False

    @property
    def room(self) -> int:
        """The cells of a row, without those of the scroll bar."""
        return max(2, self.window.width)

    @property
    def count(self) -> int:
        """About the number of rows at the present width, exact near the window; 0 before there is one."""
        return self.heights.total if self._wrapped_at else 0

    def show(self, lines: Iterable[Content]) -> None:
        """Show other lines."""
        self._blocks = []
        self._add(lines)
        self.reset(len(self._blocks))
        self.settle()
        self.refresh()

    def extend(self, lines: Iterable[Content]) -> None:
        """Add lines at the end."""
        last = len(self._blocks) - 1
        self._add(lines)
        self.end_seen = False
        if last >= 0:
            self.redraw(last)
        self.grow(len(self._blocks))
        self.settle()
        self.refresh()

    def _add(self, lines: Iterable[Content]) -> None:
        block = self._blocks[-1] if self._blocks else []
        if not self._blocks:
            self._blocks.append(block)
        size = sum(len(line.plain) for line in block)
        for line in lines:
            long = len(line.plain)
            if block and (size + long > PIECE or len(block) >= _BLOCK_LINES):
                block, size = [], 0
                self._blocks.append(block)
            if long <= PIECE:
                block.append(line)
                size += long
            else:
                first, *others = pieces(line)
                block.append(first)
                self._blocks += [[piece] for piece in others]
                block, size = self._blocks[-1], PIECE
        if self._blocks == [[]]:
            self._blocks = []

    def reset(self, count: int = 0) -> None:
        """Start over, at another width or with other lines: the end was not seen."""
        self.end_seen = False
        super().reset(count)

    def draw_block(self, index: int, width: int) -> list[Content]:
        """Wrap some lines, or a piece of one."""
        return [row for line in self._blocks[index] for row in _cut(line, width, hard=not self._words)]

    def guess_rows(self, index: int, width: int) -> int:
        """Guess the rows of some lines, exactly where none needs to be cut."""
        return sum(max(1, -(-len(line.plain) // max(2, width))) for line in self._blocks[index])

    def draw_row(self, row: Content, width: int) -> Strip:
        """Return a row as Textual paints it."""
        return Visual.to_strips(self, row, width, 1, self.visual_style, pad=True)[0]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw rows, and note whether the last one was among them."""
        strips = super().render_lines(crop)
        if self.count and round(self.scroll_y) + crop.bottom >= self.count:
            self.end_seen = True
        return strips
