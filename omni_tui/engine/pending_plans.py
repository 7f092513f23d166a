"""The plans of a session: shown to the person, decided, edited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from omni_tui.agents.plan import PlannableTool, PlannableTools
from omni_tui.agents.plan_parser import InvalidPlan, PlanConstraints, read_plan
from omni_tui.agents.plan_state import PlanState
from omni_tui.approvals import Gate
from omni_tui.approvals.pending import Pending, PendingItems
from omni_tui.engine.context import EngineContext
from omni_tui.engine.startup_wait import StartupWait
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.plan import PlanDecided, PlanProposed
from omni_tui.security.text import safe

_SETTLE_S = 20.0
_LOOK_S = 0.1
_MAX_FEEDBACK = 4_000


class PendingPlans:
    """The plans of the running turn, or of the one that was cut off; the orchestrator's `PlanHost`.

    `commit` journals events and applies them to `progress`; it raises `CancelledError` once the session
    is parked.
    """

    def __init__(
        self,
        *,
        context: EngineContext,
        gate: Gate,
        startup_wait: StartupWait,
        progress: PlanState,
        commit: Callable[..., Awaitable[None]],
        headless: bool,
    ) -> None:
        self.progress = progress
        self._commit = commit
        self._context = context
        self._gate = gate
        self._startup_wait = startup_wait
        self.headless = headless
        self._pending: PendingItems[Pending[PlanDecided]] = PendingItems("plan")
        if (record := progress.open) is not None:
            self._pending.add(Pending(record.event.plan, record.event.digest))

    def begin(self, turn: str) -> None:
        """Begin a turn without plans, unless this very turn is continued."""
        if self.progress.turn != turn:
            self.progress = PlanState(turn)

    def remember(self, events: Sequence[AnyEvent]) -> None:
        """Apply events that are on disk now."""
        for event in events:
            self.progress.apply(event)
            if isinstance(event, PlanProposed):
                self._shown(event)
            elif isinstance(event, PlanDecided) and (item := self._pending.get(event.plan)) is not None:
                item.settle(event)
                self._pending.remove(event.plan)

    def _shown(self, event: PlanProposed) -> None:
        """Note a plan that waits, or its edited form."""
        if (item := self._pending.get(event.plan)) is not None:
            item.digest = event.digest
        else:
            self._pending.add(Pending(event.plan, event.digest))

    # --- for the orchestrator -------------------------------------------------------------------

    def offer(self) -> PlannableTools:
        """Return the tools that a plan may name now, without those whose name is ambiguous."""
        found: dict[str, PlannableTool] = {}
        twice: set[str] = set()
        for tool in self._context.catalogue.all():
            key = f"{tool.server}/{tool.name}"
            if key in found:
                twice.add(key)
            found[key] = PlannableTool(key, tool.server, tool.spec())
        return {key: tool for key, tool in found.items() if key not in twice}

    def digest(self, plan: str, plan_json: str) -> str:
        """Return the digest that a decision on exactly this plan must name."""
        return self._context.vault.digest(f"plan|{plan}|{plan_json}".encode())

    def waits(self) -> bool:
        """Whether a call waits for the person."""
        return bool(self._gate.pending())

    async def settled(self, tools: frozenset[str]) -> None:
        """Wait until these tools are listed or no server connects any more, at most 20 s."""
        for _ in range(round(_SETTLE_S / _LOOK_S)):
            if not (tools - self.offer().keys() and self._startup_wait.waits()):
                return
            await asyncio.sleep(_LOOK_S)

    async def decided(self, plan: str) -> None:
        """Wait until a plan is decided. Headless, it is withdrawn."""
        if self.headless:
            await self._withdraw(plan, "headless")
        if (item := self._pending.get(plan)) is not None:
            await item.verdict()

    async def withdraw(self, plan: str) -> None:
        """Withdraw a plan that is not decided yet: the turn was stopped."""
        await self._withdraw(plan, "stop")

    async def _withdraw(self, plan: str, decider: str) -> None:
        async with self._pending.lock:
            if self._pending.get(plan) is not None:
                turn = self.progress.turn
                await self._commit(PlanDecided(plan=plan, turn=turn, verdict="withdrawn", decider=decider))

    def withdrawal_of_open(self) -> list[AnyEvent]:
        """Return the events that close a pending plan of a turn that is not continued."""
        record = self.progress.open
        if record is None:
            return []
        turn = record.event.turn
        return [PlanDecided(plan=record.event.plan, turn=turn, verdict="withdrawn", decider="stop")]

    # --- for the person -------------------------------------------------------------------------

    async def decide(self, plan: str, digest: str, *, approve: bool, feedback: str) -> None:
        """Carry out the person's decision on exactly the plan that was shown. Raises `UserError`."""
        async with self._pending.lock:
            self._pending.waiting(plan, digest)
            words = feedback.strip()[:_MAX_FEEDBACK]
            shown = safe(words, limit=_MAX_FEEDBACK)
            await self._commit(
                PlanDecided(
                    plan=plan,
                    turn=self.progress.turn,
                    verdict="approved" if approve else "rejected",
                    decider="user",
                    feedback=shown,
                    written=words if words != shown else "",
                )
            )

    async def edit(self, plan: str, digest: str, plan_json: str) -> None:
        """Replace a pending plan with an edited one, under a new digest.

        Raises `UserError` with all that is wrong with the plan.
        """
        async with self._pending.lock:
            self._pending.waiting(plan, digest)
            progress = self.progress
            phases, tasks = progress.numbered()
            scope = PlanConstraints(self.offer(), frozenset(progress.done()), phases, tasks)
            try:
                edited = read_plan(plan_json, scope)
            except InvalidPlan as error:
                raise UserError(f"this is not a plan that can be carried out: {error}") from None
            text = edited.to_json()
            event = msgspec.structs.replace(
                progress.plans[plan].event,
                seq=0,
                ts=0.0,
                digest=self.digest(plan, text),
                analysis=safe(edited.analysis),
                phases=edited.shown(),
                plan_json=text,
                edited=True,
            )
            await self._commit(event)
