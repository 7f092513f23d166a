"""A long text to read and search, in blocks of some lines so that only what is seen is wrapped."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from omni_tui.face.lines import Line, Span, wrap
from omni_tui.face.transcript.select import SelectableView, overlay

BLOCK_LINES = 40
BLOCK_CHARS = 4_000
_FAR = 1 << 30
_ROLES = "text cursor match"


class PagedTextView(SelectableView):
    """Shows text that is added page by page."""

    ROLES = "reading"
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"reading--{role}" for role in _ROLES.split()}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", "up", show=False),
        Binding("down,j", "scroll_by(1)", "down", show=False),
        Binding("pageup,b", "page_up", "page up", show=False),
        Binding("pagedown,space", "page_down", "page down", show=False),
        Binding("home,g", "scroll_home", "beginning", show=False),
        Binding("end,G", "scroll_end", "end", show=False),
    ]
    DEFAULT_CSS = """
    PagedTextView {
        height: 1fr;
        background: $page;
        color: $text-1;
        & > .reading--cursor { background: $cursor; }
        & > .reading--match { background: $waiting; color: $on-colour; }
    }
    """

    class NearEnd(Message):
        """The person comes near the end of what is here."""

    class Moved(Message):
        """The window shows another place."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.can_focus = True
        self.busy = False
        self.found: tuple[int, int, int] | None = None
        self._blocks: list[str] = []
        self._rest = ""
        self.following = False

    # --- text

    @property
    def text(self) -> str:
        """Everything that is here."""
        return "".join(self._blocks) + self._rest

    @property
    def percent(self) -> int:
        """How far down the window's end is, of what is here."""
        total = max(1, self.heights.total)
        return min(100, round(100 * (self.scroll_y + self.room.height) / total))

    def empty(self) -> None:
        """Forget the text: another one comes."""
        self._blocks, self._rest, self.found, self.cursor = [], "", None, None
        self.reset()
        self.refresh()

    def add(self, text: str, *, last: bool) -> None:
        """Add a page. A line that a page's end cuts in two is joined again."""
        text = self._rest + text
        self._rest = ""
        while text:
            end = _block_end(text)
            if end is None and not last:
                self._rest = text
                break
            end = end or len(text)
            self._blocks.append(text[:end])
            text = text[end:]
        self.grow(len(self._blocks))
        self.following = False
        self.settle()
        self.refresh()

    # --- search

    def find(self, needle: str, step: int) -> bool:
        """Go to the next place that has the text (small letters match large ones), or the one before."""
        if not needle:
            return False
        small, count = needle.lower(), len(self._blocks)
        block, at = self.found[:2] if self.found else (0, -1) if step > 0 else (count - 1, _FAR)
        while 0 <= block < count:
            source = self._blocks[block].lower()
            hit = source.find(small, at + 1) if step > 0 else source.rfind(small, 0, at)
            if hit >= 0:
                self._show((block, hit, len(needle)))
                return True
            block += step
            at = -1 if step > 0 else _FAR
        return False

    def _show(self, found: tuple[int, int, int]) -> None:
        self.found = found
        block, at, _ = found
        self.show_block(block)
        row, _ = self._place_of(block, at)
        y = self.heights.start(block) + row
        if not round(self.scroll_y) <= y < round(self.scroll_y) + self.room.height:
            self.scroll_to(y=y - self.room.height // 2, animate=False)
        self.refresh()

    def _place_of(self, block: int, at: int) -> tuple[int, int]:
        """Return the row and the character in it where a character of a block is drawn."""
        start = 0
        for row, line in enumerate(self.lines_of(block)):
            if row:
                start += 1 if line.glue is None else len(line.glue)
            if at < start + len(line.text):
                return row, max(0, at - start)
            start += len(line.text)
        return 0, 0

    # --- lines

    def draw_block(self, index: int, width: int) -> list[Line]:
        """Wrap one block."""
        text = self._blocks[index]
        return wrap([Span(text.removesuffix("\n"))], max(1, width - 1))

    def guess_rows(self, index: int, width: int) -> int:
        """Guess the rows of one block."""
        text = self._blocks[index]
        return text.count("\n") + len(text) // max(1, width) + 1

    def decorate(self, strip: Strip, line: Line, index: int, row: int) -> Strip:
        """Show where the text that was looked for stands."""
        strip = super().decorate(strip, line, index, row)
        if self.found is None or self.found[0] != index:
            return strip
        first, at = self._place_of(index, self.found[1])
        if first != row:
            return strip
        return overlay(strip, self._background("match"), at, at + self.found[2])

    def action_scroll_by(self, step: int) -> None:
        """Scroll a few lines."""
        self.scroll_to(y=self.scroll_y + step, animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Ask for more before the end is reached."""
        super().watch_scroll_y(old_value, new_value)
        if self.scroll_y + 3 * self.room.height >= self.heights.total:
            self.post_message(self.NearEnd())
        self.post_message(self.Moved())


def _block_end(text: str) -> int | None:
    """Return where the next block ends, None if the text may be continued before that."""
    end = -1
    for _ in range(BLOCK_LINES):
        following = text.find("\n", end + 1, BLOCK_CHARS)
        if following < 0:
            break
        end = following
    else:
        return end + 1
    if len(text) < BLOCK_CHARS:
        return None
    return end + 1 if end >= 0 else BLOCK_CHARS
