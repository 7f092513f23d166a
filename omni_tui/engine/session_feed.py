"""What the followers of a session are told of it, and what is counted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from omni_tui.engine.context import EngineContext
from omni_tui.engine.session_fold import SessionFold
from omni_tui.models.budget import BudgetLimits
from omni_tui.protocol import AnyEvent, Event
from omni_tui.protocol.events import JournalFailed, JournalHead, UsageChanged
from omni_tui.security.text import safe

_HEAD_S = 0.5
"""Seconds after a write until the followers are told how far the journal has come."""


class SessionFeed:
    """Hears of everything that a session's journal wrote: counts it and tells the session's followers.

    `fold` is what all events on disk come to.
    """

    def __init__(self, context: EngineContext, session: str, limits: BudgetLimits) -> None:
        self._context = context
        self.session = session
        self.budget = context.models.budget(limits)
        self.fold = SessionFold()
        self._head = 0
        self._head_due = False
        self._closed = False
        self._listeners: list[Callable[[Sequence[AnyEvent]], None]] = [context.metrics.take_all]

    def listen(self, listener: Callable[[Sequence[AnyEvent]], None]) -> None:
        """Tell somebody of the engine of all that is written from now on, before any follower."""
        self._listeners.append(listener)

    def go_on(self, fold: SessionFold) -> None:
        """Go on with what the journal came to until now. Call it before anything is written."""
        self.fold = fold
        self.budget.restore(fold.spent, {turn: each.total for turn, each in fold.turns.items()})

    def live(self, event: Event) -> None:
        """Tell the followers something that is true for the moment."""
        for client in self._context.clients.following(self.session):
            client.tell(event)

    def committed(self, events: Sequence[AnyEvent]) -> None:
        """Take events that are on disk now."""
        self.fold.take_all(events)
        self._context.telemetry.take(self.session, events)
        if self._context.log is not None:
            self._context.log.take(self.session, events)
        for listener in self._listeners:
            listener(events)
        followers = self._context.clients.following(self.session)
        used = False
        for event in events:
            for client in followers:
                client.outbox.offer(event)
            if event.public:
                self._head = event.seq
                if not self._head_due:
                    self._head_due = True
                    asyncio.get_running_loop().call_later(_HEAD_S, self._tell_head)
            if isinstance(event, UsageChanged):
                self.budget.count(event.turn, event.usage)
                used = True
        if used:
            # At once: a follower that waits for the end of the turn must have heard it by then.
            self.tell_spending()
            self._context.tasks.spawn(self._save_usage(), "the day's usage")

    def failed(self, why: str) -> None:
        """Tell the followers that nothing can be written any more."""
        self.live(JournalFailed(what=safe(why, limit=1000)))

    def tell_spending(self) -> None:
        """Tell the followers what was used."""
        self.live(self._context.models.spending(self.budget))

    def close(self) -> None:
        """Tell nothing more of the journal's head."""
        self._closed = True

    def _tell_head(self) -> None:
        """Say how far the journal has come, so that a client that missed something can ask for it."""
        self._head_due = False
        if not self._closed:
            self.live(JournalHead(head=self._head, session=self.session))

    async def _save_usage(self) -> None:
        """Add what was used to the day's file, and tell the followers the day's new sum."""
        await asyncio.get_running_loop().run_in_executor(
            self._context.pool, self._context.models.days.flush
        )
        self.tell_spending()
