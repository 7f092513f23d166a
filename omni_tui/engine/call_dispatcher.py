"""The last stretch of an approved call: its turn, the cache, room, a grant, and the executor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from omni_tui.approvals import Gate, PendingCall
from omni_tui.memory import CallRow
from omni_tui.protocol import Event
from omni_tui.protocol.calls import AttemptScheduled
from omni_tui.protocol.events import CallFinished, CallProgress
from omni_tui.protocol.values import CallOrigin
from omni_tui.security.text import safe
from omni_tui.tools import (
    CallOutcome,
    CallRetries,
    ConcurrencyLimits,
    OrderPlace,
    ResultCache,
    Tool,
    ToolExecutor,
    ToolRoutes,
    ToolRules,
    WriteOrder,
    retry_limits,
)
from omni_tui.tools.call_retries import RetryBackoff

_HELD = CallOutcome("held", "It waits for an approval.")


class CallWithdrawn(Exception):
    """A call was cancelled while it waited for its turn: nothing was sent."""


class CallDispatcher:
    """Sends the approved calls of one session, in order and within bounds."""

    def __init__(
        self,
        *,
        gate: Gate,
        executor: ToolExecutor,
        rules: ToolRules,
        cache: ResultCache,
        routes: ToolRoutes,
        tool: Callable[[str, str], Tool | None],
        allowed: Callable[[str], bool],
        timeout: Callable[[str], float],
        live: Callable[[Event], None],
    ) -> None:
        self._gate = gate
        self._executor = executor
        self._rules = rules
        self._cache = cache
        self._routes = routes
        self._tool = tool
        self._allowed = allowed
        self._timeout = timeout
        self._live = live
        self._order = WriteOrder()
        self._room = ConcurrencyLimits(rules)
        self.backoff = RetryBackoff()

    def place(self, origin: CallOrigin, server: str, tool: str) -> OrderPlace:
        """Take a call's place among those of its answer to its server. It must be left in the end."""
        key = (origin.turn, origin.step, origin.agent, server)
        return self._order.take(key, writes=self._cache.writes(server, tool))

    async def send(self, item: PendingCall, place: OrderPlace | None) -> CallOutcome:
        """Carry out an approved call when it is its turn. Raises what `Gate.grant` and the executor raise.

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
            async with self._room.of(row.server, row.tool):
                if not await asyncio.shield(self._gate.still_allowed(row.call)):
                    return _HELD
                return await self._executor.execute(
                    self._gate.grant(row.call),
                    timeout=self._rules.timeout(row.server, row.tool) or self._timeout(row.server),
                    on_progress=self._progress(row.call),
                    retries=self._retries(row),
                )
        except asyncio.CancelledError:
            if item.cancelled:
                raise CallWithdrawn from None
            raise

    def _retries(self, row: CallRow) -> CallRetries:
        tool = self._tool(row.server, row.tool)
        elsewhere = row.origin == "agent" and self._routes.after(row.server, row.tool) is not None
        unsent, cut = retry_limits(
            self._rules, tool, row.origin, allowed=self._allowed(row.server), elsewhere=elsewhere
        )
        return CallRetries(unsent, cut, self._ahead(row.call), self.backoff)

    async def _from_cache(self, row: CallRow) -> CallOutcome | None:
        found = self._cache.find(row)
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
        self._cache.hits += 1
        note = f"\n[Omni TUI: from the cache; such results are kept for {self._cache.ttl:g} s.]"
        return CallOutcome("succeeded", kept.text, note=note)

    def _progress(self, call: str) -> Callable[[float, float | None, str], None]:
        def report(progress: float, total: float | None, message: str) -> None:
            self._live(
                CallProgress(
                    call=call,
                    progress=progress,
                    total=total,
                    message=safe(message, limit=200, lines=False),
                    ts=time.time(),
                )
            )

        return report

    def _ahead(self, call: str) -> Callable[[int, int, float, str], None]:
        def tell(attempt: int, of: int, delay: float, why: str) -> None:
            reason = safe(why, limit=400, lines=False)
            self._live(
                AttemptScheduled(
                    call=call, attempt=attempt, of=of, delay_s=delay, reason=reason, ts=time.time()
                )
            )

        return tell
