"""The plans of a session: shown to the person, decided, edited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from omni_tui.agents.plan import PlannableTool, PlannableTools
from omni_tui.agents.plan_parser import InvalidPlan, PlanConstraints, read_plan
from omni_tui.agents.plan_state import PlanState
from omni_tui.approvals.expiry import DECIDER as EXPIRED_BY
from omni_tui.approvals.expiry import Expiry
from omni_tui.approvals.gate import Gate
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
    is parked. `expire_after`: how long a plan may wait for the person, in seconds; 0 for as long as it
    takes.
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
        expire_after: float = 0.0,
    ) -> None:
        self.progress = progress
        self._commit = commit
        self._context = context
        self._gate = gate
        self._startup_wait = startup_wait
        self.headless = headless
        self.expiry = Expiry(self, expire_after)
        self._pending: PendingItems[Pending[PlanDecided]] = PendingItems("plan")
        if (record := progress.open) is not None:
            self._pending.add(Pending(record.event.plan, record.event.digest))

    def begin(self, turn: str) -> None:
        """Begin a turn without plans, unless this very turn is continued."""
        if self.progress.turn != turn:
            self.progress = PlanState(turn)
            for item in self._pending:  # of a turn that is over
                self._forget(item.id)

    def remember(self, events: Sequence[AnyEvent]) -> None:
        """Apply events that are on disk now."""
        for event in events:
            self.progress.apply(event)
            if not isinstance(event, PlanProposed | PlanDecided):
                continue
            item = self._pending.get(event.plan)
            if isinstance(event, PlanDecided):
                if item is not None:
                    item.settle(event)
                    self._forget(event.plan)
                continue
            if item is not None:  # it was edited, or is shown again
                item.digest = event.digest
            else:
                self._pending.add(Pending(event.plan, event.digest))
            if event.expires:
                self.expiry.begin(event.plan)

    def _forget(self, plan: str) -> None:
        self.expiry.stop(plan)
        self._pending.remove(plan)

    async def restore(self) -> None:
        """Let the time of a plan that waited when the app ended begin again, and show it with that."""
        record = self.progress.open
        if record is not None and (expires := self.expires()):
            again = msgspec.structs.replace(record.event, seq=0, ts=0.0, expires=expires, former="")
            await self._commit(again)

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

    def expires(self) -> float:
        """Return when a plan that is proposed now expires, as Unix time; 0 for never.

        Nobody there has no time.
        """
        return 0.0 if self.headless else self.expiry.ends()

    def waits(self) -> bool:
        """Whether a call waits for the person."""
        return bool(self._gate.pending())

    async def settled(self, tools: frozenset[str]) -> None:
        """Wait until these tools are listed or no server connects any more, at most 20 s."""
        for _ in range(round(_SETTLE_S / _LOOK_S)):
            if not (tools - self.offer().keys() and self._startup_wait.missing()):
                return
            await asyncio.sleep(_LOOK_S)

    async def decided(self, plan: str) -> None:
        """Wait until a plan is decided. Headless, it is withdrawn."""
        if self.headless:
            await self.withdraw(plan, "headless")
        if (item := self._pending.get(plan)) is not None:
            await item.verdict()

    async def withdraw(self, plan: str, decider: str = "stop") -> None:
        """Withdraw a plan that is not decided yet: the turn was stopped, or nobody is there."""
        async with self._pending.lock:
            if (item := self._pending.get(plan)) is not None:
                await self._commit(_withdrawn(plan, self.progress.turn, decider, item.digest))

    async def expire(self, plan: str) -> None:
        """End a plan that waited too long; do nothing if it was decided on, or its time still runs."""
        async with self._pending.lock:
            if (item := self._pending.get(plan)) is not None and not self.expiry.runs(plan):
                await self._commit(_withdrawn(plan, self.progress.turn, EXPIRED_BY, item.digest))

    async def withdraw_all(self) -> None:
        """Withdraw what waits: the person has left."""
        for item in self._pending:
            await self.withdraw(item.id, "headless")

    def withdrawal_of_open(self) -> list[AnyEvent]:
        """Return the events that close a pending plan of a turn that is not continued."""
        record = self.progress.open
        if record is None:
            return []
        return [_withdrawn(record.event.plan, record.event.turn, "stop", record.event.digest)]

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
                    digest=digest,
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
                expires=self.expires(),
                former=digest,
            )
            await self._commit(event)


def _withdrawn(plan: str, turn: str, decider: str, digest: str) -> PlanDecided:
    return PlanDecided(plan=plan, turn=turn, verdict="withdrawn", decider=decider, digest=digest)
