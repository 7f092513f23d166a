"""Long texts of a transcript, laid out in a thread so that no key waits for it.

A step of the screen's loop lays out `LONG` characters at most. A longer text is laid out beside it, once
for each width; until then its beginning stands in its place, with a row that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any

from omni_tui.face.cells import fit
from omni_tui.face.lines import Line, Span

LONG = 4_000
"""Characters that are laid out at once."""
MANY_LINES = 200
"""Line ends that are laid out at once: an empty line is short, but a row as any other."""
KEPT = 64
"""Layouts that are kept."""
_STAND_IN = 1_000
_STAND_IN_ROWS = 20

Layout = Callable[[str], list[Line]]
"""Makes lines of a text: a partial of a function with arguments that can be compared."""


def is_long(text: str) -> bool:
    """Return whether laying out a text takes more than one step should."""
    return len(text) > LONG or (len(text) > MANY_LINES and text.count("\n") > MANY_LINES)


def lay_out_now(text: str, layout: Layout, width: int, former: list[Line] | None = None) -> list[Line]:
    """Lay out a text of any length at once."""
    return layout(text)


LayOut = Callable[[str, Layout, int, list[Line] | None], list[Line]]
"""`lay_out_now`, or `LongTexts.lay_out`: a text, its layout, its width, and what may stand for it."""


class LongTexts:
    """The layouts of one view. `run` starts a coroutine as its worker; `ready` is told of new ones."""

    def __init__(
        self, run: Callable[[Coroutine[Any, Any, None]], object], ready: Callable[[], None]
    ) -> None:
        self._run = run
        self._ready = ready
        self._done: dict[Hashable, list[Line]] = {}
        self._wanted: dict[Hashable, tuple[str, Layout]] = {}
        self._busy = False

    @property
    def waiting(self) -> bool:
        """Whether something is still laid out."""
        return bool(self._wanted)

    def lay_out(
        self, text: str, layout: Layout, width: int, former: list[Line] | None = None
    ) -> list[Line]:
        """Return the lines of a text; of a long one what stands for it until a thread has laid it out.

        `former` are lines that were shown for it before, if there are any.
        """
        if not is_long(text):
            return layout(text)
        key = (text, width, _name(layout))
        if (lines := self._done.get(key)) is not None:
            return lines
        self._wanted[key] = text, layout
        if not self._busy:
            self._busy = True
            self._run(self._work())
        return former or _beginning(text, layout, width)

    async def _work(self) -> None:
        try:
            while self._wanted:
                key = next(reversed(self._wanted))  # what was asked for last is on the screen
                text, layout = self._wanted[key]
                lines = await asyncio.to_thread(layout, text)
                self._done[key] = lines
                for old in list(self._done)[:-KEPT]:
                    del self._done[old]
                self._wanted.pop(key, None)
                self._ready()
        finally:
            self._busy = False

    def forget(self) -> None:
        """Drop what is still wanted: another session, or another width."""
        self._wanted.clear()


def _name(layout: Layout) -> Hashable:
    assert isinstance(layout, partial)
    return layout.func, layout.args, tuple(layout.keywords.items())


def _beginning(text: str, layout: Layout, width: int) -> list[Line]:
    head = "\n".join(text[:_STAND_IN].split("\n")[:_STAND_IN_ROWS])
    hint = fit(f"  … laying out {len(text):,} characters", width)
    return [*layout(head)[:_STAND_IN_ROWS], Line((Span(hint, "hint"),), len(hint))]
