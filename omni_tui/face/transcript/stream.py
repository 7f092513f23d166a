"""Text that is still arriving: complete blocks become Markdown, the rest is plain lines.

Drawing costs as much as what arrived since the last time, at most `STEP` characters: finished blocks,
lines and rows are kept.
"""

from __future__ import annotations

import re

from omni_tui.face.lines import BLANK, Line, Span, wrap
from omni_tui.face.transcript.markdown import markdown

STEP = 8_000
"""Characters that one drawing takes in; what came beyond them waits for the next one."""
_MAX_BLOCK = 8_000
"""A longer block stays as it is until the whole answer is laid out."""
_LOOSE_ROWS = 4
"""Rows at the end of a line whose breaks may change with what follows."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


class StreamText:
    """A growing text and its lines."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._pending: list[str] = []
        self._tail = ""  # the last source line, not complete
        self._tail_rows: list[Line] = []  # rows of it that what follows cannot change
        self._tail_at = 0  # where in it the others begin
        self._tail_glue: str | None = None
        self._block: list[str] = []  # the complete source lines of the last block
        self._fence = ""  # the mark that opened the code block
        self._gap = False  # an empty line came after the block
        self._width = 0
        self._done: list[Line] = []
        self._open: list[Line] = []

    def feed(self, text: str) -> None:
        """Add text."""
        self._parts.append(text)
        self._pending.append(text)

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def clear(self) -> None:
        """Remove the text: it will be sent again."""
        self._parts = []
        self._restart()

    @property
    def behind(self) -> bool:
        """Whether a part of the text is not in the lines yet."""
        return any(self._pending)

    def lines(self, width: int, indent: int) -> list[Line]:
        """Return the lines so far. Unchanged lines are the same objects as before."""
        if width != self._width:
            self._width = width
            self._restart()
        text = "".join(self._pending)
        self._pending = [text[STEP:]] if len(text) > STEP else []
        *finished, tail = (self._tail + text[:STEP]).split("\n")
        for line in finished:
            self._line(line, indent)
        self._tail = tail
        if tail:
            self._after_gap(tail, indent)
        rows = self._rows_of(tail, indent) if tail.strip() else []
        return [*self._done, *self._open, *self._air(rows), *rows]

    def _restart(self) -> None:
        self._done, self._open, self._block = [], [], []
        self._tail = self._fence = ""
        self._gap = False
        self._next_line()
        self._pending = [self.text]

    def _line(self, line: str, indent: int) -> None:
        if self._fence:
            mark = _FENCE.match(line)
            closes = mark is not None and mark[1].startswith(self._fence) and not mark[2].strip()
            self._keep(line, indent)
            if closes:
                self._fence = ""
                if not line[:1].isspace():
                    self._finish(indent)
        elif not line.strip():
            self._gap = bool(self._block)
            self._next_line()
        else:
            self._after_gap(line, indent)
            if mark := _FENCE.match(line):
                self._fence = mark[1]
            self._keep(line, indent)

    def _after_gap(self, line: str, indent: int) -> None:
        """After an empty line, finish the block unless the next line is indented and so belongs to it."""
        if not self._gap:
            return
        self._gap = False
        if line[:1] in " \t":
            self._block.append("")
            self._open.append(BLANK)
        else:
            self._finish(indent)

    def _keep(self, line: str, indent: int) -> None:
        rows = self._rows_of(line, indent)
        self._next_line()
        self._open += [*self._air(rows), *rows]
        self._block.append(line)

    def _finish(self, indent: int) -> None:
        if not self._block:
            return
        block = "\n".join(self._block)
        if len(block) > _MAX_BLOCK:
            self._done += self._open  # with the blank line above it
        else:
            if self._done:
                self._done.append(BLANK)
            self._done += markdown(block, self._width, indent=indent)
        self._block, self._open = [], []

    def _air(self, rows: list[Line]) -> list[Line]:
        """Return the blank line above a new block."""
        return [BLANK] if rows and self._done and not self._open else []

    def _next_line(self) -> None:
        self._tail_rows, self._tail_at, self._tail_glue = [], 0, None

    def _rows_of(self, line: str, indent: int) -> list[Line]:
        """Return the rows of the line that is arriving, and keep those that cannot change."""
        rows = self._plain(line, line[self._tail_at :], indent)
        if self._tail_at:
            rows[0] = rows[0]._replace(glue=self._tail_glue)
        if len(rows) > 2 * _LOOSE_ROWS:
            kept, loose = rows[:-_LOOSE_ROWS], rows[-_LOOSE_ROWS:]
            self._tail_at += sum(len(row.body) + len(row.glue or "") for row in kept)
            self._tail_at += len(loose[0].glue or "") - (len(kept[0].glue or "") if self._tail_rows else 0)
            self._tail_glue = loose[0].glue
            self._tail_rows += kept
            return [*self._tail_rows, *loose]
        return [*self._tail_rows, *rows]

    def _plain(self, line: str, rest: str, indent: int) -> list[Line]:
        """Return the rows of `rest`, the end of a line, as they are while it arrives."""
        if self._fence or _FENCE.match(line):
            edge = (Span(" " * indent), Span("  ", "code"))
            spans = [Span(rest, "code code-tag" if _FENCE.match(line) else "code")]
            return wrap(spans, self._width, first=edge, rest=edge, hard=True, fill="code")
        margin = (Span(" " * indent),)
        return wrap([Span(rest)], self._width, first=margin, rest=margin)
