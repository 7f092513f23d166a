"""Text that is still arriving: complete blocks become Markdown, the rest is plain lines.

Drawing costs as much as what arrived since the last time, plus the last source line: finished blocks and
lines are kept.
"""

from __future__ import annotations

import re

from omni_tui.face.lines import BLANK, Line, Span, wrap
from omni_tui.face.transcript.markdown import markdown

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


class StreamText:
    """A growing text and its lines."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._pending: list[str] = []
        self._tail = ""  # the last source line, not complete
        self._block: list[str] = []  # the complete source lines of the last block
        self._fence = ""  # the mark that opened the code block
        self._gap = False  # an empty line came after the block
        self._width = 0
        self._done: list[Line] = []
        self._open: list[Line] = []
        self.size = 0

    def feed(self, text: str) -> None:
        """Add text."""
        self._parts.append(text)
        self._pending.append(text)
        self.size += len(text)

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def clear(self) -> None:
        """Remove the text: it will be sent again."""
        self._parts, self.size = [], 0
        self._restart()

    def lines(self, width: int, indent: int) -> list[Line]:
        """Return the lines so far. Unchanged lines are the same objects as before."""
        if width != self._width:
            self._width = width
            self._restart()
        text = "".join(self._pending)
        self._pending = []
        *finished, self._tail = (self._tail + text).split("\n")
        for line in finished:
            self._line(line, indent)
        if self._tail:
            self._after_gap(self._tail, indent)
        return [*self._done, *self._open, *(self._plain(self._tail, indent) if self._tail.strip() else ())]

    def _restart(self) -> None:
        self._done, self._open, self._block = [], [], []
        self._tail = self._fence = ""
        self._gap = False
        self._pending = [self.text]

    def _line(self, line: str, indent: int) -> None:
        """Add a complete source line."""
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
        self._open.extend(self._plain(line, indent))
        self._block.append(line)

    def _finish(self, indent: int) -> None:
        """Turn the block into Markdown."""
        if not self._block:
            return
        if self._done:
            self._done.append(BLANK)
        self._done.extend(markdown("\n".join(self._block), self._width, indent=indent))
        self._block, self._open = [], []

    def _plain(self, line: str, indent: int) -> list[Line]:
        air = [BLANK] if self._done and not self._open else []
        if self._fence or _FENCE.match(line):
            edge = (Span(" " * indent), Span("  ", "code"))
            spans = [Span(line, "code code-tag" if _FENCE.match(line) else "code")]
            return [*air, *wrap(spans, self._width, first=edge, rest=edge, hard=True, fill="code")]
        margin = (Span(" " * indent),)
        return [*air, *wrap([Span(line)], self._width, first=margin, rest=margin)]
