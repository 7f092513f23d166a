"""A view of text of any length that is added page by page, with search."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import events
from textual.message import Message
from textual.strip import Strip

from omni_tui.face.lines import Line, Span, Spans, wrap
from omni_tui.face.widgets.block_view import SCROLL_KEYS, SelectableView, overlay

Look = Literal["text", "json", "head", "dim", "fail", "wait"]
NO_PART = -9
"""The part of lines that belong to no part of a result."""
_BLOCK_LINES = 40
_MAX_JOINED = 4_000
"""A line that a page cuts in two is joined again unless its beginning is longer than this."""
_MAX_COLOURED = 2_000
"""Longer lines of JSON have one colour."""
_FAR = 1 << 30
_ROLES = "text key value mark head dim fail wait match"
_JSON_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))'
    r'|(?P<text>"(?:[^"\\]|\\.)*"?)'
    r"|(?P<value>-?[0-9][0-9.eE+-]*|true\b|false\b|null\b)"
    r"|(?P<mark>[\[\]{}:,]+)"
)


@dataclass(eq=False, slots=True)
class TextBlock:
    """Some lines of text. `part` is the part of the result that they come from.

    `continues`: the first line continues the last line of the block before.
    """

    text: str
    look: Look
    part: int
    continues: bool


class LongTextView(SelectableView):
    """Shows text. `NearEnd` asks the owner for more."""

    FOLLOWS = False
    ROLES = "lines"
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{role}" for role in _ROLES.split()}
    BINDINGS = SCROLL_KEYS
    DEFAULT_CSS = """
    LongTextView {
        height: 1fr;
        padding: 0 0 0 1;
        color: $text-1;
        & > .lines--key, & > .lines--head { color: $text-2; }
        & > .lines--value { color: $running; }
        & > .lines--mark, & > .lines--dim { color: $text-3; }
        & > .lines--fail { color: $fail; }
        & > .lines--wait { color: $waiting; }
        & > .lines--match { background: $waiting; color: $on-colour; }
    }
    """

    class NearEnd(Message):
        """Less than two windows of text are left below the window. Posted once until text is added."""

    class Moved(Message):
        """The view was scrolled."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.found: tuple[int, int, int] | None = None
        """The block, place and length of the last match of `find`."""
        self._blocks: list[TextBlock] = []
        self._asked = False

    # --- text

    def clear(self) -> None:
        """Remove all text."""
        self._blocks, self.found, self._asked = [], None, False
        self.reset()
        self.settle()
        self.refresh()

    def add(self, text: str, look: Look = "text", part: int = NO_PART, *, continues: bool = False) -> None:
        """Add lines of safe text at the end. With `continues` the first one continues the last line."""
        continues = continues and bool(self._blocks)
        lines = text.split("\n")
        if self._blocks:
            self.redraw(len(self._blocks) - 1)
        if continues:
            last = self._blocks[-1]
            if len(last.text) - last.text.rfind("\n") <= _MAX_JOINED:
                last.text += lines.pop(0) + ("\n" if lines == [""] else "")
                continues = False
                lines = [] if lines == [""] else lines
        for start in range(0, len(lines), _BLOCK_LINES):
            block = lines[start : start + _BLOCK_LINES]
            if block == [""] and start:
                self._blocks[-1].text += "\n"
            else:
                self._blocks.append(TextBlock("\n".join(block), look, part, continues and start == 0))
        self.grow(len(self._blocks))
        self.settle()
        self.refresh()
        self._asked = False
        self._look_ahead()

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(("" if block.continues else "\n") + block.text for block in self._blocks)[1:]

    @property
    def visible_part(self) -> int:
        """The part of the result at the top of the window; `NO_PART` if there is none."""
        if not self._blocks:
            return NO_PART
        return self._blocks[self.heights.find(round(self.scroll_y))[0]].part

    @property
    def percent(self) -> int:
        """How far down the end of the window is, in percent of the text so far."""
        total = max(1, self.heights.total)
        return min(100, round(100 * (self.scroll_y + self.window.height) / total))

    # --- search

    def find(self, needle: str, step: int) -> bool:
        """Go to the next match (`step` 1) or the one before (-1), ignoring case; False if there is none."""
        if not needle:
            return False
        small, count = needle.lower(), len(self._blocks)
        block, at = self.found[:2] if self.found else (0, -1) if step > 0 else (count - 1, _FAR)
        while 0 <= block < count:
            source = self._blocks[block].text.lower()
            hit = source.find(small, at + 1) if step > 0 else source.rfind(small, 0, at)
            if hit >= 0:
                self._show_match((block, hit, len(needle)))
                return True
            block += step
            at = -1 if step > 0 else _FAR
        return False

    def _show_match(self, found: tuple[int, int, int]) -> None:
        self.found = found
        block, at, _ = found
        self.show_block(block)
        y = self.heights.start(block) + self._place_of(block, at)[0]
        if not round(self.scroll_y) <= y < round(self.scroll_y) + self.window.height:
            self.scroll_to(y=y - self.window.height // 2, animate=False)
        self.refresh()

    def _place_of(self, block: int, at: int) -> tuple[int, int]:
        """Return the row and the character in it where a character of a block is drawn."""
        start = 0
        for row, line in enumerate(self.rows_of(block)):
            if row:
                start += 1 if line.glue is None else len(line.glue)
            size = len(line.body)
            if at < start + size:
                return row, line.gutter + max(0, at - start)
            start += size
        return 0, 0

    # --- drawing

    def draw_block(self, index: int, width: int) -> list[Line]:
        """Wrap one block."""
        block, text = self._blocks[index], self._drawn_text(index)
        spans = [Span(text, block.look)]
        if block.look == "json":
            lines = text.split("\n")
            spans = [span for line in lines for span in (Span("\n"), *_json_spans(line))][1:]
        rows = wrap(spans, max(1, width - 1))
        if block.continues:
            rows[0] = rows[0]._replace(glue="")
        return rows

    def guess_rows(self, index: int, width: int) -> int:
        """Guess the rows of one block."""
        room = max(1, width - 1)
        return sum(1 + len(line) // room for line in self._drawn_text(index).split("\n"))

    def _drawn_text(self, index: int) -> str:
        """Return the text of a block; a line end at the end of all text makes no row."""
        text = self._blocks[index].text
        return text.removesuffix("\n") if index == len(self._blocks) - 1 else text

    def decorate(self, strip: Strip, row: Line, index: int, inner: int) -> Strip:
        """Add the match of a search."""
        strip = super().decorate(strip, row, index, inner)
        if self.found is None or self.found[0] != index:
            return strip
        first, at = self._place_of(index, self.found[1])
        return overlay(strip, self.look("match"), at, at + self.found[2]) if first == inner else strip

    # --- asking for more

    def on_resize(self, event: events.Resize) -> None:
        """Ask for more if a larger window needs it."""
        self.settle()
        self._look_ahead()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Ask for more before the end is reached."""
        super().watch_scroll_y(old_value, new_value)
        self._look_ahead()
        self.post_message(self.Moved())

    def _look_ahead(self) -> None:
        height = self.window.height
        if self._blocks and height and not self._asked and self.scroll_y + 3 * height >= self.heights.total:
            self._asked = True
            self.post_message(self.NearEnd())


def _json_spans(line: str) -> Spans:
    if len(line) > _MAX_COLOURED:
        return (Span(line),)
    spans: list[Span] = []
    here = 0
    for token in _JSON_TOKEN.finditer(line):
        if token.start() > here:
            spans.append(Span(line[here : token.start()]))
        spans.append(Span(token.group(), token.lastgroup or "text"))
        here = token.end()
    if here < len(line):
        spans.append(Span(line[here:]))
    return tuple(spans)
