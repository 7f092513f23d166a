"""The lane of one agent: a transcript of its own, and the little that stands under its task.

A folded lane draws nothing of what it holds. Text that streams into it is kept; the line under its
task changes only when the agent does something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from omni_tui.face.lines import Line, Span, Spans
from omni_tui.face.transcript.item_types import AnyItem, CallItem, TextItem

if TYPE_CHECKING:
    from omni_tui.face.transcript.fold import Fold

MAX_ITEMS = 30
"""Items of an unfolded lane that stand under its task; alone it shows them all."""
MAX_ROWS = 240
STREAM_ROWS = 8
"""Rows of a text that is still arriving."""

Drawer = Callable[[AnyItem, AnyItem | None, int, float], list[Line]]


class SubAgent(msgspec.Struct):
    """What an agent below the root thought, called and answered. `agent` is its path."""

    fold: Fold
    turn: str
    agent: str
    calls: int = 0
    tokens: int = 0
    last: tuple[str, str] = ("", "")
    """What it did last: a mark and words."""
    alone: bool = False
    """Whether the view shows this lane and nothing else."""
    _news: set[int] = msgspec.field(default_factory=set)
    _stale: set[int] = msgspec.field(default_factory=set)
    _drawn: dict[int, list[Line]] = msgspec.field(default_factory=dict)
    _width: int = 0

    def note_changes(self) -> None:
        """Take over what changed in the fold: for the lines here, and for the view that shows it alone."""
        changed = self.fold.take_changes()
        self._stale |= changed
        if self.alone:
            self._news |= changed

    def take_news(self) -> set[int]:
        """Return the indexes of what changed since the last time, for the view that shows it alone."""
        self.note_changes()
        news, self._news = self._news, set()
        return news

    def tick(self) -> None:
        """A second has passed for what runs or will be tried again."""
        fold = self.fold
        for index in (*fold.running, *(() if fold.retrying is None else (fold.retrying,))):
            fold.touch(index)
        self.note_changes()

    def waiting(self) -> CallItem | None:
        """Return a call that waits for the person."""
        for index in sorted(self.fold.waiting):
            item = self.fold.items[index]
            if isinstance(item, CallItem):
                return item
        return None

    def lines(self, width: int, now: float, draw: Drawer, lead: Spans) -> tuple[list[Line], int]:
        """Return the lines of the last items, each after `lead`, and how many items were left out.

        Lines of what did not change are the same objects as before.
        """
        self.note_changes()
        if width != self._width:
            self._width = width
            self._drawn.clear()
        for index in self._stale:
            self._drawn.pop(index, None)
        self._stale.clear()
        items = self.fold.items
        shown = [index for index in range(len(items)) if not items[index].hidden]
        left = max(0, len(shown) - MAX_ITEMS)
        lines: list[Line] = []
        before: AnyItem | None = None
        for index in shown[left:]:
            if index not in self._drawn:
                self._drawn[index] = [
                    _after(lead, line) for line in _bounded(items[index], before, width, now, draw)
                ]
            lines += self._drawn[index]
            before = items[index]
        return lines[-MAX_ROWS:], left + (len(lines) > MAX_ROWS)


def _bounded(item: AnyItem, before: AnyItem | None, width: int, now: float, draw: Drawer) -> list[Line]:
    lines = draw(item, before, width, now)
    if isinstance(item, TextItem) and item.stream is not None:
        return lines[-STREAM_ROWS:]
    return lines


def _after(lead: Spans, line: Line) -> Line:
    """Return a line after `lead`. A click on it is no click on the task."""
    length = sum(len(span.text) for span in lead)
    spans: tuple[Span, ...] = (*lead, *line.spans)
    return line._replace(spans=spans, gutter=line.gutter + length, target="")
