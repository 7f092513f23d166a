"""A live session: one journal, and everything that belongs to it alone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from omni_tui import __version__
from omni_tui.agents import ChatPolicy, PlanPolicy
from omni_tui.approvals import Gate, Subject, since
from omni_tui.config.server_display import display_target
from omni_tui.engine.call_dispatcher import CallDispatcher
from omni_tui.engine.call_service import CallService
from omni_tui.engine.context import EngineContext
from omni_tui.engine.conversation import conversation_from
from omni_tui.engine.pending_plans import PendingPlans
from omni_tui.engine.pending_server_requests import PendingServerRequests
from omni_tui.engine.sampling import Sampler
from omni_tui.engine.session_feed import SessionFeed
from omni_tui.engine.turn_modes import TurnModes
from omni_tui.engine.turn_runner import TurnRunner
from omni_tui.memory import CallRow, Journal, SavedTask, call_table, task_table
from omni_tui.models.base import Model
from omni_tui.models.budget import GO_ON
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol.context import SystemChanged
from omni_tui.protocol.events import (
    CallChanged,
    CallProposed,
    CallState,
    EngineReady,
    ModeChanged,
    ModelChanged,
    SessionOpened,
    TurnEnded,
    TurnStarted,
    UsageChanged,
    UserMessage,
)
from omni_tui.security.text import safe, safe_line
from omni_tui.servers import Dispatch
from omni_tui.servers.task_types import AnswerInputs
from omni_tui.tools import TaskTracker, ToolExecutor
from omni_tui.tools.tool_names import model_name

_READ = 2_000


@dataclass(slots=True)
class SessionSettings:
    """What a session is set to; kept in its journal. `system` is None where the config's words hold."""

    mode: Mode
    model: str
    system: str | None = None


class LiveSession:
    """Gate, calls and turns over one journal. Made by `open_live_session`.

    `attended` tells whether a person follows it, `used` when a client last sent it a command, in
    seconds of the monotonic clock.
    """

    def __init__(
        self,
        context: EngineContext,
        journal: Journal,
        feed: SessionFeed,
        events: list[AnyEvent],
        settings: SessionSettings,
        *,
        attended: bool,
    ) -> None:
        self._context = context
        self._model: Model | None = None
        self.journal = journal
        self.feed = feed
        self.settings = settings
        self.attended = attended
        self.used = time.monotonic()
        self.resumed = bool(events)
        self._fold(events)
        self.budget = feed.budget
        self.turns = TurnModes(self._mode)
        config, digest = context.loaded.config, context.vault.digest
        self.gate = Gate(
            journal,
            base=context.base_decisions(),
            lookup=self.subject,
            digest=digest,
            now=self._mode,
            headless=not attended,
        )
        executor = ToolExecutor(
            self.gate,
            context.schemas,
            context.pool,
            context.registry.get,
            context.catalogue.get,
            context.cache,
            context.startup_wait.back,
        )
        self.tasks = TaskTracker(
            journal,
            self.gate,
            executor,
            context.registry.get,
            feed.live,
            listed=lambda server: server in context.catalogue.servers(),
            inputs=self._task_inputs,
        )
        self.desk = CallService(
            journal=journal,
            gate=self.gate,
            sending=CallDispatcher(
                gate=self.gate,
                executor=executor,
                rules=context.rules,
                cache=context.cache,
                routes=context.routes,
                tool=context.catalogue.get,
                allowed=context.registry.is_allowed,
                timeout=context.registry.call_timeout,
                live=feed.live,
            ),
            tasks=self.tasks,
            catalogue=context.catalogue,
            schemas=context.schemas,
            routes=context.routes,
            subject=self.subject,
            turns=self.turns,
        )
        self.asks = PendingServerRequests(
            journal,
            Sampler(lambda: config.sampling, lambda: self.settings.model, context.models.make, self.budget),
            digest=digest,
            place=self._place,
            clock=time.monotonic,
        )
        conversation = conversation_from(events)
        for turn, mode in conversation.modes.items():
            self.turns.sent(turn, mode)
        self.plans = PendingPlans(
            progress=conversation.progress,
            commit=self._commit,
            catalogue=context.catalogue,
            digest=digest,
            waits=lambda: bool(self.gate.pending()),
            connecting=context.startup_wait.going_on,
            headless=not attended,
        )
        self.runner = TurnRunner(
            journal=journal,
            desk=self.desk,
            conversation=conversation,
            model=self.model,
            settings=lambda: (self.settings.mode, self.settings.model),
            turns=self.turns,
            tool_specs=lambda: context.catalogue.specs(context.routes.offered),
            policy=self.policy,
            live=feed.live,
            plans=self.plans,
            plan_policy=self.plan_policy,
            gathering=context.startup_wait,
            pool=context.pool,
        )

    async def resume(self, events: list[AnyEvent]) -> None:
        """Settle what a crash left open, and take up the calls that wait. Call it once, at the start."""
        waiting, running = await self._settle()
        unfinished = self.runner.unfinished
        if not events:
            opened = SessionOpened(
                title=safe("new session"),
                mode=self.settings.mode,
                model=safe_line(self.settings.model),
            )
            await self.journal.commit(opened)
        elif unfinished and not _parked(events):
            ended = TurnEnded(
                turn=unfinished,
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

    def attend(self, attended: bool) -> None:
        """Take note whether a person follows the session; without one, what would ask is withheld."""
        self.attended = attended
        self.gate.headless = self.plans.headless = not attended

    async def listed(self, server: str) -> None:
        """A server's tools are known now: go on with what waited for that."""
        self.tasks.back(server)
        await self.gate.reconsider(server)

    def ready(self) -> EngineReady:
        """Say who the engine is, and which session this is."""
        context, paths, model = self._context, self._context.loaded.paths, self.model()
        return EngineReady(
            version=__version__,
            pid=os.getpid(),
            session=self.journal.session,
            ts=time.time(),
            head=self.journal.head,
            log_path=str(paths.log_dir / "engine.log"),
            state_dir=str(paths.state_dir),
            config_path=str(paths.config_file),
            first_run=context.loaded.first_run and not context.registry.names(),
            encryption=safe_line(context.vault.kind),
            mode=self.settings.mode,
            model=safe_line(model.name),
            model_label=safe_line(model.label),
            resumed=self.resumed,
            demo=context.options.demo,
        )

    async def close(self) -> None:
        """Park what runs, and close the journal. It is clean if nothing is left open."""
        self.feed.close()
        await self.asks.close()
        await self.runner.park()
        await self.journal.close(clean=not self.gate.pending() and not self.runner.unfinished)

    # --- settings -------------------------------------------------------------------------------

    def model(self) -> Model:
        """Return the model that answers now; made at first need."""
        if self._model is None:
            self._model = self._context.models.with_fallbacks(self.settings.model)
        return self._model

    async def set_model(self, name: str) -> None:
        """Use another model from the next message on. Raises what `make_model` raises."""
        model = self._context.models.with_fallbacks(name)
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
        """Return the limits and the prompt of a turn, with this session's own prompt where it has one."""
        context, agent, tools = (
            self._context,
            self._context.loaded.config.agent,
            self._context.loaded.config.tools,
        )
        instructions = {
            name: text
            for name in context.registry.names()
            # Of a changed server nothing is said that nobody has looked at yet.
            if (text := context.registry.get(name).instructions) and context.catalogue.is_known_server(name)
        }
        own = self.settings.system
        return ChatPolicy(
            max_steps=agent.max_steps,
            system_prompt=agent.system_prompt if own is None else own,
            result_limit=tools.result_limit,
            instructions=instructions,
            offered=tools.offered,
            pinned=tuple(model_name(*pair.split("/", 1)) for pair in tools.pinned),
            budget=self.budget,
        )

    def plan_policy(self) -> PlanPolicy:
        """Return how plans are handled, from the config."""
        agent, policy = self._context.loaded.config.agent, self._context.loaded.config.policy
        return PlanPolicy(
            plan=policy.plan,
            calls=policy.of_plans,
            parallel=agent.parallel,
            max_requests=agent.max_requests,
            max_minutes=agent.max_minutes,
        )

    # --- inside ---------------------------------------------------------------------------------

    def _mode(self) -> Mode:
        return self.settings.mode

    def _task_inputs(self, dispatch: Dispatch) -> AnswerInputs:
        """Return what answers the input requests of a call that runs as a task."""
        return partial(self._context.registry.get(dispatch.server).answer_inputs, call=dispatch.call)

    async def _commit(self, *events: AnyEvent) -> None:
        await self.runner.commit(*events)

    def subject(self, server: str, name: str) -> Subject | None:
        """Return what the gate needs of a tool, None if it is not there now."""
        tool = self._context.catalogue.get(server, name)
        if tool is None:
            return None
        try:
            connection = self._context.registry.get(server)
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
        spec = connection.spec
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
            target=display_target(spec),
            transport=spec.transport,
            trust_words=trust,
        )

    def _place(self, server: str) -> tuple[str, str]:
        """Return where a server is and how it is reached, for showing."""
        try:
            spec = self._context.registry.get(server).spec
        except KeyError:
            return "", ""
        return display_target(spec), spec.transport

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
                self.feed.budget.remember(event.turn, event.usage)

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


async def open_live_session(
    context: EngineContext,
    journal: Journal,
    feed: SessionFeed,
    settings: SessionSettings,
    *,
    attended: bool,
) -> LiveSession:
    """Read a journal and return its session, ready for turns; a new one gets these settings.

    Raises what reading and writing the journal raises.
    """
    events: list[AnyEvent] = []
    while page := await journal.read(events[-1].seq if events else 0, _READ):
        events += page
    feed.stats.begin(events)
    session = LiveSession(context, journal, feed, events, settings, attended=attended)
    await session.resume(events)
    return session


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
