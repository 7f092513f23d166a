"""Sends an approved call: waits for its turn, looks in the cache, gets a grant, and executes it."""

from __future__ import annotations

import asyncio
import time

from omni_tui.approvals import Gate, PendingCall
from omni_tui.engine.context import EngineContext
from omni_tui.engine.session_feed import SessionFeed
from omni_tui.memory import CallRow
from omni_tui.protocol.calls import AttemptScheduled
from omni_tui.protocol.events import CallFinished, CallProgress
from omni_tui.protocol.values import CallOrigin
from omni_tui.security.text import safe
from omni_tui.tools import (
    CallOutcome,
    CallRetries,
    OrderPlace,
    ToolExecutor,
    WriteOrder,
    retry_limits,
)
from omni_tui.tools.call_retries import RetryBackoff

_HELD = CallOutcome("held", "It waits for an approval.")


class CallWithdrawn(Exception):
    """A call was cancelled while it waited for its turn: nothing was sent."""


class _CallNews:
    """Shows the progress of a call while it runs."""

    def __init__(self, call: str, feed: SessionFeed) -> None:
        self._call = call
        self._feed = feed

    def progress(self, progress: float, total: float | None, message: str) -> None:
        """Show the progress that the server reports."""
        shown = safe(message, limit=200, lines=False)
        self._feed.live(
            CallProgress(call=self._call, progress=progress, total=total, message=shown, ts=time.time())
        )

    def retry(self, attempt: int, of: int, delay: float, why: str) -> None:
        """Show that a further attempt follows after `delay` seconds."""
        reason = safe(why, limit=400, lines=False)
        self._feed.live(
            AttemptScheduled(
                call=self._call, attempt=attempt, of=of, delay_s=delay, reason=reason, ts=time.time()
            )
        )


class CallDispatcher:
    """Sends the approved calls of one session, in order and within the limits."""

    def __init__(
        self, context: EngineContext, gate: Gate, executor: ToolExecutor, feed: SessionFeed
    ) -> None:
        self._context = context
        self._gate = gate
        self._executor = executor
        self._feed = feed
        self._order = WriteOrder()
        self.backoff = RetryBackoff()

    def place(self, origin: CallOrigin, server: str, tool: str) -> OrderPlace:
        """Take a place in the order of an answer's calls to one server. It must be left in the end."""
        key = (origin.turn, origin.step, origin.agent, server)
        return self._order.take(key, writes=self._context.cache.writes(server, tool))

    async def send(self, item: PendingCall, place: OrderPlace | None) -> CallOutcome:
        """Execute an approved call when it is its turn. Raises what `Gate.grant` and the executor raise.

        Raises `CallWithdrawn` if it is cancelled before that.
        """
        row = item.row
        try:
            if place is not None:
                await place.turn.wait()
            if not await asyncio.shield(self._gate.still_allowed(row.call)):
                return _HELD
            if (found := await self._from_cache(row)) is not None:
                return found
            async with self._context.limits.of(row.server, row.tool):
                if not await asyncio.shield(self._gate.still_allowed(row.call)):
                    return _HELD
                terms, news = self._context.rules.of(row.server, row.tool), _CallNews(row.call, self._feed)
                elsewhere = (
                    row.origin == "agent" and self._context.routes.after(row.server, row.tool) is not None
                )
                unsent, cut = retry_limits(
                    terms.retries,
                    self._context.catalogue.get(row.server, row.tool),
                    row.origin,
                    allowed=self._context.registry.is_allowed(row.server),
                    elsewhere=elsewhere,
                )
                return await self._executor.execute(
                    self._gate.grant(row.call),
                    timeout=terms.timeout or self._context.registry.call_timeout(row.server),
                    on_progress=news.progress,
                    retries=CallRetries(unsent, cut, news.retry, self.backoff),
                )
        except asyncio.CancelledError:
            if item.cancelled:
                raise CallWithdrawn from None
            raise

    async def _from_cache(self, row: CallRow) -> CallOutcome | None:
        found = self._context.cache.find(row)
        if found is None:
            return None
        kept, age = found
        event = CallFinished(
            call=row.call,
            state="succeeded",
            parts=kept.parts,
            elapsed_ms=0.0,
            size=len(kept.stored),
            attempt=row.attempt,
            cached_s=age,
        )
        await asyncio.shield(self._gate.finish_unsent(row.call, event, kept.stored))
        self._context.cache.hits += 1
        note = f"\n[Omni TUI: from the cache; such results are kept for {self._context.cache.ttl:g} s.]"
        return CallOutcome("succeeded", kept.text, note=note)
