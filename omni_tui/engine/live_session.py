"""A live session: one journal, and everything that belongs to it alone."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from omni_tui.agents import ChatPolicy, PlanPolicy
from omni_tui.approvals import Decision, Gate, Subject, since
from omni_tui.config.sections import SamplingSection
from omni_tui.config.server_display import display_target
from omni_tui.engine.call_dispatcher import CallDispatcher
from omni_tui.engine.call_service import CallService
from omni_tui.engine.conversation import conversation_from
from omni_tui.engine.pending_plans import PendingPlans
from omni_tui.engine.pending_server_requests import PendingServerRequests
from omni_tui.engine.pool import MeteredPool
from omni_tui.engine.sampling import Sampler
from omni_tui.engine.startup_wait import StartupWait
from omni_tui.engine.turn_modes import TurnModes
from omni_tui.engine.turn_runner import TurnRunner
from omni_tui.memory import CallRow, Journal, SavedTask, call_table, task_table
from omni_tui.models.base import Model
from omni_tui.models.budget import GO_ON, Budget
from omni_tui.observability.tool_stats import ToolStats
from omni_tui.protocol import AnyEvent, Event, Mode
from omni_tui.protocol.context import SystemChanged
from omni_tui.protocol.events import (
    CallChanged,
    CallProposed,
    CallState,
    ModeChanged,
    ModelChanged,
    SessionOpened,
    TurnEnded,
    TurnStarted,
    UsageChanged,
    UserMessage,
)
from omni_tui.security.text import safe, safe_line
from omni_tui.servers import Connection
from omni_tui.tools import (
    Catalogue,
    ResultCache,
    SchemaChecker,
    TaskTracker,
    ToolExecutor,
    ToolRoutes,
    ToolRules,
)

logger = logging.getLogger(__name__)

_READ = 2_000


class EngineContext(Protocol):
    """What a session needs of its engine."""

    pool: MeteredPool
    catalogue: Catalogue
    schemas: SchemaChecker
    rules: ToolRules
    cache: ResultCache
    routes: ToolRoutes
    gathering: StartupWait
    executions: ToolStats
    headless: bool

    def base_decisions(self) -> dict[Mode, Decision]:
        """What each mode does when nothing else decides."""
        ...

    def policy(self) -> ChatPolicy:
        """Limits and prompt of a turn."""
        ...

    def plan_policy(self) -> PlanPolicy:
        """How plans are handled."""
        ...

    def connection(self, server: str) -> Connection:
        """Return a server's connection. Raises `KeyError`."""
        ...

    def make_model(
        self, name: str, *, max_tokens: int | None = None, temperature: float | None = None
    ) -> Model:
        """Return the model of a name, with these limits in the place of the config's."""
        ...

    def chain(self, model: Model) -> Model:
        """Return a model with its fallbacks behind it."""
        ...

    def budget(self) -> Budget:
        """Return the budgets of a new session."""
        ...

    def sampling(self) -> SamplingSection:
        """What servers may have the model answer."""
        ...

    def digest(self, data: bytes) -> str:
        """Keyed digest of this installation."""
        ...

    def live(self, event: Event) -> None:
        """Tell the faces something that is true for the moment."""
        ...

    def allowed(self, server: str) -> bool:
        """Whether the person allowed a server."""
        ...

    def call_timeout(self, server: str) -> float:
        """Seconds without progress after which a call is given up."""
        ...


@dataclass(slots=True)
class SessionSettings:
    """What a session is set to; kept in its journal. `system` is None where the config's words hold."""

    mode: Mode
    model: str
    system: str | None = None


class LiveSession:
    """Gate, calls and turns over one journal."""

    def __init__(self, around: EngineContext, journal: Journal, settings: SessionSettings) -> None:
        self._around = around
        self.journal = journal
        self.settings = settings
        self._model: Model | None = None
        self.turns = TurnModes(lambda: self.settings.mode)
        self.budget = around.budget()
        self.gate = Gate(
            journal,
            base=around.base_decisions(),
            lookup=self.subject,
            digest=around.digest,
            now=lambda: self.settings.mode,
            headless=around.headless,
        )
        executor = ToolExecutor(
            self.gate,
            around.schemas,
            around.pool,
            around.connection,
            around.catalogue.get,
            around.cache,
            around.gathering.back,
        )
        sending = CallDispatcher(
            gate=self.gate,
            executor=executor,
            rules=around.rules,
            cache=around.cache,
            routes=around.routes,
            tool=around.catalogue.get,
            allowed=around.allowed,
            timeout=around.call_timeout,
            live=around.live,
        )
        self.tasks = TaskTracker(
            journal,
            self.gate,
            executor,
            around.connection,
            around.live,
            listed=lambda server: server in around.catalogue.servers(),
            inputs=lambda dispatch: (
                lambda requests: around.connection(dispatch.server).answer_inputs(requests, dispatch.call)
            ),
        )
        self.desk = CallService(
            journal=journal,
            gate=self.gate,
            sending=sending,
            tasks=self.tasks,
            catalogue=around.catalogue,
            schemas=around.schemas,
            routes=around.routes,
            subject=self.subject,
            turns=self.turns,
        )
        sampler = Sampler(around.sampling, lambda: self.settings.model, around.make_model, self.budget)
        self.asks = PendingServerRequests(
            journal, sampler, digest=around.digest, place=self._place, clock=time.monotonic
        )
        self.runner: TurnRunner
        self.plans: PendingPlans
        self.resumed = False

    async def start(self) -> None:
        """Read the journal, settle what a crash left open, and be ready for turns."""
        events = await self._whole()
        self._around.executions.begin(events)
        self._fold(events)
        waiting, running = await self._settle()
        conversation = conversation_from(events)
        for turn, mode in conversation.modes.items():
            self.turns.sent(turn, mode)
        self.plans = PendingPlans(
            progress=conversation.progress,
            commit=lambda *told: self.runner.commit(*told),
            catalogue=self._around.catalogue,
            digest=self._around.digest,
            waits=lambda: bool(self.gate.pending()),
            connecting=self._around.gathering.going_on,
            headless=self._around.headless,
        )
        self.runner = TurnRunner(
            journal=self.journal,
            desk=self.desk,
            conversation=conversation,
            model=self.model,
            settings=lambda: (self.settings.mode, self.settings.model),
            turns=self.turns,
            tool_specs=lambda: self._around.catalogue.specs(self._around.routes.offered),
            policy=self.policy,
            live=self._around.live,
            plans=self.plans,
            plan_policy=self._around.plan_policy,
            gathering=self._around.gathering,
            pool=self._around.pool,
        )
        self.resumed = bool(events)
        if not events:
            opened = SessionOpened(
                title=safe("new session"),
                mode=self.settings.mode,
                model=safe_line(self.settings.model),
            )
            await self.journal.commit(opened)
        elif conversation.unfinished and not _parked(events):
            ended = TurnEnded(
                turn=conversation.unfinished,
                status="parked",
                reason=safe("the app ended while this ran"),
                todo=safe(f"{GO_ON} to go on with it"),
            )
            await self.journal.commit(ended)
        await self.asks.settle(events)
        stand_ins = {event.call: event.fallback for event in events if isinstance(event, CallProposed)}
        left = [row for row in waiting if row.call not in running]
        await self.desk.restore(left, stand_ins)
        self.desk.take_up([row for row in waiting if row.call in running], running)

    async def listed(self, server: str) -> None:
        """A server's tools are known now: go on with what waited for that."""
        self.tasks.back(server)
        await self.gate.reconsider(server)

    async def close(self) -> None:
        """Park what runs, and close the journal. It is clean if nothing is left open."""
        await self.asks.close()
        await self.runner.park()
        await self.journal.close(clean=not self.gate.pending() and not self.runner.unfinished)

    # --- settings -------------------------------------------------------------------------------

    def model(self) -> Model:
        """Return the model that answers now; made at first need."""
        if self._model is None:
            self._model = self._around.chain(self._around.make_model(self.settings.model))
        return self._model

    async def set_model(self, name: str) -> None:
        """Use another model from the next message on. Raises what `make_model` raises."""
        model = self._around.chain(self._around.make_model(name))
        self._model, self.settings.model = model, name
        await self.journal.commit(ModelChanged(name=safe_line(model.name), label=safe_line(model.label)))

    async def set_mode(self, mode: Mode, covers: str) -> None:
        """Change what happens to a call when nothing else decides."""
        self.settings.mode = mode
        await self.journal.commit(ModeChanged(mode=mode, covers=safe(covers)))

    async def set_system(self, text: str) -> None:
        """Put other words of the person in the system prompt, from the next turn on."""
        shown = safe(text)
        event = SystemChanged(text=shown, written=text if text != shown else "")
        self.settings.system = event.words
        await self.journal.commit(event)

    def policy(self) -> ChatPolicy:
        """Limits and prompt of a turn, with this session's own words where it has some."""
        policy = self._around.policy()
        own = self.settings.system
        return policy if own is None else dataclasses.replace(policy, system_prompt=own)

    # --- inside ---------------------------------------------------------------------------------

    def subject(self, server: str, name: str) -> Subject | None:
        """Return what the gate needs of a tool, None if it is not there now."""
        tool = self._around.catalogue.get(server, name)
        if tool is None:
            return None
        try:
            self._around.connection(server)
        except KeyError:
            return None
        seen = tool.first_seen
        words = {
            "unchanged": f"unchanged since {since(seen)}",
            "new": "new on this server",
            "changed": f"changed since {since(seen)}",
        }
        if tool.server_trust == "changed":
            trust = "how it is started, or what it says about its use, has changed"
        else:
            trust = words[tool.trust]
        return Subject(
            server=server,
            tool=name,
            server_fp=tool.server_fp,
            def_hash=tool.def_hash,
            server_trust=tool.server_trust,
            tool_trust=tool.trust,
            risk=tool.risk,
            title=tool.definition.title,
            description=tool.definition.description,
            target=tool.target,
            transport=tool.transport,
            trust_words=trust,
        )

    def _place(self, server: str) -> tuple[str, str]:
        """Return where a server is and how it is reached, for showing."""
        try:
            spec = self._around.connection(server).spec
        except KeyError:
            return "", ""
        return display_target(spec), spec.transport

    async def _whole(self) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        while page := await self.journal.read(events[-1].seq if events else 0, _READ):
            events += page
        return events

    def _fold(self, events: Sequence[AnyEvent]) -> None:
        for event in events:
            if isinstance(event, ModeChanged | SessionOpened):
                self.settings.mode = event.mode
            if isinstance(event, SystemChanged):
                self.settings.system = event.words
            if isinstance(event, ModelChanged):
                self.settings.model = event.name
            elif isinstance(event, SessionOpened):
                self.settings.model = event.model
            elif isinstance(event, UsageChanged):
                self.budget.remember(event.turn, event.usage)

    async def _settle(self) -> tuple[list[CallRow], dict[str, SavedTask]]:
        """Mark what a crash cut off, say so, and return the calls that wait, for the person or for a task.

        The events go with the change: a crash in between must not hide what became uncertain.
        """
        rows: list[CallRow] = await self.journal.run(call_table.open_calls)
        running = await self.journal.run(task_table.running)
        cut = [event for row in rows if row.call not in running and (event := _cut(row)) is not None]
        await self.journal.commit(*cut, change=call_table.mark_after_crash)
        still: list[CallRow] = await self.journal.run(call_table.open_calls)
        return [row for row in still if row.state in ("pending", "held", "dispatching")], running


def _cut(row: CallRow) -> CallChanged | None:
    """Return what a restart makes of a call, None if it stays as it is."""
    state: CallState
    if row.state == "dispatching":
        state = "uncertain"
        reason = "the app ended while this ran; it may or may not have happened"
    elif row.state == "approved":
        state = "pending"
        reason = "you approved this before the restart; confirm it again"
    else:
        return None
    return CallChanged(
        call=row.call, state=state, decider="restart", reason=safe(reason), attempt=row.attempt
    )


def _parked(events: Sequence[AnyEvent]) -> bool:
    for event in reversed(events):
        if isinstance(event, TurnEnded):
            return event.status == "parked"
        if isinstance(event, TurnStarted | UserMessage):
            return False
    return False
