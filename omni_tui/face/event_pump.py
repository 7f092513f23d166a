"""Brings events from the link to the app, in small batches: keys stay live during ten thousand events."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter

from omni_tui import __version__
from omni_tui.face.port import EventReceiver, LinkPort
from omni_tui.protocol import AnyEvent, CommandReply, Link, LinkClosed
from omni_tui.protocol.commands import Hello, Replay
from omni_tui.protocol.events import (
    CommandFailed,
    EarlierLeftOut,
    EngineReady,
    EventsDropped,
    JournalHead,
    ReplayDone,
    SessionOpened,
)

BATCH_S = 0.008
"""Longest time in seconds that events are handled before keys and paints get their turn."""

TAIL = 6_000
"""Events of a long session that are shown at first: the others are in the journal."""

_log = logging.getLogger(__name__)


class EventPump:
    """Reads one link until it closes. `cursor` and `session` outlive a restart of the engine.

    `left_out`: the beginning of the session was not sent.
    """

    def __init__(self, host: EventReceiver) -> None:
        self._host = host
        self.cursor = 0
        self.session = ""
        self.left_out = False
        self._whole = False
        self._awaiting_start = False
        self._greeted = False
        self._catching_up = False
        self._cursor_before = 0
        self._flush_due = False

    async def run(self, link: Link, port: LinkPort) -> None:
        """Send `Hello`, then deliver events until the engine is gone. Never raises `LinkClosed`."""
        try:
            self._awaiting_start = False
            self._greeted, self._catching_up = False, True
            link.send(Hello(client=f"omni-tui {__version__}", cursor=self.cursor, tail=self._tail()))
            started = perf_counter()
            async for event in link.events():
                self._take(event, port)
                self._flush_soon()
                if perf_counter() - started > BATCH_S:
                    await asyncio.sleep(0.001)
                    started = perf_counter()
        except LinkClosed as error:
            port.fail(error)
            self._host.stopped(str(error))
        except Exception as error:
            _log.exception("the event pump broke")
            port.fail(LinkClosed(str(error)))
            self._host.stopped(f"the face could not read what it said ({type(error).__name__})")

    def switch(self, session: str, port: LinkPort, *, whole: bool = False) -> None:
        """Clear the face for a session and request its events, of a long one the last unless `whole`."""
        self._begin(session, whole=whole)
        self._awaiting_start = True
        self._request_events(port, 0)

    def show_whole(self, port: LinkPort) -> None:
        """Request all events of the session anew, if some were left out."""
        if self.left_out:
            self.switch(self.session, port, whole=True)

    def _tail(self) -> int:
        """Return how many events to ask for at most, 0 for all that are missing."""
        return 0 if self._whole or self.cursor else TAIL

    def _request_events(self, port: LinkPort, after: int) -> None:
        self._catching_up = True
        port.send(Replay(after=after, tail=0 if after else self._tail()))

    def _begin(self, session: str, *, whole: bool = False) -> None:
        self.session, self.cursor = session, 0
        self.left_out, self._whole = False, whole
        self._host.clear_session()

    def _flush_soon(self) -> None:
        """Redraw when this coroutine waits next: after a batch, or when no more events are here."""
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._host.flushed()

    def _take(self, event: AnyEvent, port: LinkPort) -> None:
        if isinstance(event, CommandReply):
            if not port.take_reply(event) and isinstance(event, CommandFailed):
                self._host.failed(event)
            if not isinstance(event, ReplayDone):
                return
            self._catching_up = False
        elif isinstance(event, EventsDropped):
            self._request_events(port, min(event.after, self.cursor))
            return
        elif isinstance(event, JournalHead):
            self._check_for_gaps(event, port)
            return
        elif event.seq > 0 and not self._in_order(event, port):
            return
        elif isinstance(event, EngineReady):
            self._on_ready(event, port)
        elif isinstance(event, EarlierLeftOut):
            self.left_out = True
        self._host.deliver(event)

    def _on_ready(self, ready: EngineReady, port: LinkPort) -> None:
        """Request the session that the engine has open, unless it comes unasked after `Hello`."""
        if ready.session and ready.session != self.session:
            if self.session:
                self.switch(ready.session, port)
            self.session = ready.session
        elif self._greeted:  # the session was opened again and may have new events
            self._request_events(port, self.cursor)
        self._greeted = True

    def _check_for_gaps(self, head: JournalHead, port: LinkPort) -> None:
        """Request again what was journalled and never arrived."""
        stands, self._cursor_before = self.cursor == self._cursor_before, self.cursor
        if not self.session or (self._catching_up and not stands):
            return
        if head.session != self.session:
            self.switch(head.session, port)
        elif head.head > self.cursor:
            _log.warning("asking again: %d is written, %d has arrived", head.head, self.cursor)
            self._request_events(port, self.cursor)

    def _in_order(self, event: AnyEvent, port: LinkPort) -> bool:
        """Return False for a journalled event that was seen before or came too early."""
        if event.session and event.session != self.session:
            if self.session and not isinstance(event, SessionOpened):
                self.switch(event.session, port)
                return False
            if self.session:
                self._begin(event.session)
            self.session = event.session
        if isinstance(event, SessionOpened):
            self._awaiting_start = False
        if self._awaiting_start or event.seq <= self.cursor:
            return False
        self.cursor = event.seq
        return True
