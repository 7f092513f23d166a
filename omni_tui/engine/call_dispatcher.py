"""The last stretch of an approved call: its turn, the cache, room, a grant, and the executor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable

from omni_tui.approvals import Gate
from omni_tui.memory import CallRow
from omni_tui.protocol import Event, UserError
from omni_tui.protocol.calls import AttemptScheduled
from omni_tui.protocol.events import CallFinished, CallProgress
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
        self._lanes = WriteOrder()
        self._room = ConcurrencyLimits(rules)
        self.backoff = RetryBackoff()

    def place(self, key: Hashable, server: str, tool: str) -> OrderPlace:
        """Take a call's place among those of its answer (`key`). It must be left in the end."""
        return self._lanes.take(key, writes=self._cache.writes(server, tool))

    async def send(self, call: str, place: OrderPlace | None) -> CallOutcome:
        """Carry out an approved call when it is its turn. Raises what `Gate.grant` and the executor raise.

        Raises `CallWithdrawn` if it is cancelled before that.
        """
        row = self._gate.row(call)
        if row is None:
            raise UserError("this call is over")
        try:
            if place is not None:
                await place.turn.wait()
            if not await asyncio.shield(self._gate.still_allowed(call)):
                return CallOutcome("held", "It waits for an approval.")
            if (found := await self._from_cache(row)) is not None:
                return found
            async with self._room.of(row.server, row.tool):
                if not await asyncio.shield(self._gate.still_allowed(call)):
                    return CallOutcome("held", "It waits for an approval.")
                return await self._out(row)
        except asyncio.CancelledError:
            if self._gate.withdrawn(call):
                raise CallWithdrawn from None
            raise

    async def _out(self, row: CallRow) -> CallOutcome:
        tool = self._tool(row.server, row.tool)
        elsewhere = row.origin == "agent" and self._routes.after(row.server, row.tool) is not None
        unsent, cut = retry_limits(
            self._rules, tool, row.origin, allowed=self._allowed(row.server), elsewhere=elsewhere
        )
        timeout = self._rules.timeout(row.server, row.tool) or self._timeout(row.server)
        grant = self._gate.grant(row.call)
        return await self._executor.execute(
            grant,
            timeout=timeout,
            on_progress=self._progress(row.call),
            repeats=CallRetries(unsent, cut, self._ahead(row.call), self.backoff),
        )

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
