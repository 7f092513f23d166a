"""The traces of one session, made when somebody asks for them first and kept up to date from then on."""

from __future__ import annotations

import asyncio

from omni_tui.engine.session_feed import SessionFeed
from omni_tui.memory import Journal
from omni_tui.observability.trace_fold import TRACED, TraceFold

_LOOKED_BACK = 3_000
"""How many of the last events are read for the traces of what was before."""
_PAGE = 300
"""Events that are read at once: nothing can be written meanwhile."""


class SessionTraces:
    """Reads the end of a journal once, then follows what is written."""

    def __init__(self, journal: Journal, feed: SessionFeed) -> None:
        self._journal = journal
        self._feed = feed
        self._fold: TraceFold | None = None
        self._reading = asyncio.Lock()

    async def read(self) -> TraceFold:
        """Return the traces as of now. Raises `JournalBroken`."""
        async with self._reading:
            if self._fold is None:
                self._fold = await self._followed()
        return self._fold

    async def _followed(self) -> TraceFold:
        fold, head = TraceFold(), self._journal.head
        after = max(0, head - _LOOKED_BACK)
        while True:
            events = await self._journal.read_only(TRACED, after, head, _PAGE)
            fold.take_all(events)
            if len(events) == _PAGE:
                after = events[-1].seq
            elif self._journal.head > head:  # something was written meanwhile
                after, head = head, self._journal.head
            else:
                # Without a pause since the look at the head: no event is missed, none comes twice.
                self._feed.listen(fold.take_all)
                return fold
