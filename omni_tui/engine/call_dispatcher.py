"""Sends an approved call: waits for its turn, looks in the cache, gets a grant, and executes it."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from omni_tui.approvals.gate import Gate
from omni_tui.approvals.pending import PendingCall
from omni_tui.engine.context import EngineContext
from omni_tui.engine.session_feed import SessionFeed
from omni_tui.memory import CallRow
from omni_tui.protocol.calls import AttemptScheduled
from omni_tui.protocol.events import CallFinished, CallProgress
from omni_tui.protocol.values import CallOrigin
from omni_tui.resilience.pauses import Pauses
from omni_tui.security.text import safe
from omni_tui.tools.call_retries import CallRetries, RetryBackoff, retry_limits
from omni_tui.tools.executor import CallOutcome, ToolExecutor
from omni_tui.tools.write_order import OrderPlace, WriteOrder

_HELD = CallOutcome("held", "It waits for an approval.")


class CallWithdrawn(Exception):
    """A call was cancelled while it waited for its turn: nothing was sent."""


class CallDispatcher:
    """Sends the approved calls of one session, in order and within the limits."""

    def __init__(
        self,
        context: EngineContext,
        gate: Gate,
        executor: ToolExecutor,
        feed: SessionFeed,
        pauses: Pauses,
    ) -> None:
        self._context = context
        self._gate = gate
        self._executor = executor
        self._feed = feed
        self._order = WriteOrder()
        self.backoff = RetryBackoff(sleep=pauses.sleep)

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
            if not await self._still_allowed(row.call):
                return _HELD
            if (found := await self._from_cache(row)) is not None:
                return found
            async with self._context.limits.of(row.server, row.tool):
                if not await self._still_allowed(row.call):
                    return _HELD
                terms = self._context.tool_settings.of(row.server, row.tool)
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
                timeout = terms.timeout or self._context.registry.get(row.server).spec.call_timeout
                with self._context.telemetry.propagated(self._feed.session, row.turn, row.call):
                    return await self._executor.execute(
                        self._gate.grant(row.call),
                        timeout=timeout,
                        on_progress=partial(self._progress, row.call),
                        retries=CallRetries(unsent, cut, partial(self._retry, row.call), self.backoff),
                    )
        except asyncio.CancelledError:
            if item.cancelled:
                raise CallWithdrawn from None
            raise

    async def _still_allowed(self, call: str) -> bool:
        """Whether the policy of now lets an approved call go; mostly that is known without waiting."""
        return self._gate.surely_allowed(call) or await asyncio.shield(self._gate.still_allowed(call))

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

    def _progress(self, call: str, progress: float, total: float | None, message: str) -> None:
        """Show the progress that the server reports."""
        shown = safe(message, limit=200, lines=False)
        self._feed.live(
            CallProgress(call=call, progress=progress, total=total, message=shown, ts=time.time())
        )

    def _retry(self, call: str, attempt: int, of: int, delay: float, why: str) -> None:
        """Show that a further attempt follows after `delay` seconds."""
        reason = safe(why, limit=400, lines=False)
        self._feed.live(
            AttemptScheduled(
                call=call, attempt=attempt, of=of, delay_s=delay, reason=reason, ts=time.time()
            )
        )
