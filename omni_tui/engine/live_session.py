"""A live session: one journal, and everything that belongs to it alone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial

from omni_tui import __version__
from omni_tui.agents import ChatPolicy
from omni_tui.approvals import Gate
from omni_tui.engine.call_dispatcher import CallDispatcher
from omni_tui.engine.call_service import CallService
from omni_tui.engine.context import EngineContext
from omni_tui.engine.conversation import conversation_from
from omni_tui.engine.pending_plans import PendingPlans
from omni_tui.engine.pending_server_requests import PendingServerRequests
from omni_tui.engine.sampler import Sampler
from omni_tui.engine.session_feed import SessionFeed
from omni_tui.engine.startup_wait import StartupWait
from omni_tui.engine.turn_modes import SessionSettings, TurnModes
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
    Notice,
    SessionOpened,
    TurnEnded,
    TurnStarted,
    UsageChanged,
    UserMessage,
)
from omni_tui.security.text import safe, safe_line
from omni_tui.servers import Dispatch
from omni_tui.servers.base import DispatchRefused
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from omni_tui.servers.task_types import AnswerInputs
from omni_tui.tools import TaskTracker, ToolExecutor

_READ = 2_000


class LiveSession:
    """Gate, calls and turns over one journal. Made by `open_live_session`.

    `attended` tells whether a person follows it, `used` when a client last sent it a command, in
    seconds of the monotonic clock, and `notices` what every follower should be told of it.
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
        self.notices: list[Notice] = []
        self._fold(events)
        self.budget = feed.budget
        self.turns = TurnModes(settings)
        self.startup_wait = StartupWait(context.registry, context.catalogue)
        config = context.loaded.config
        self.gate = Gate(
            journal,
            base=context.base_decisions(),
            lookup=context.subject,
            digest=context.vault.digest,
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
            self.startup_wait.back,
        )
        self.tasks = TaskTracker(
            journal,
            self.gate,
            executor,
            context.registry.get,
            feed.live,
            listed=self._is_listed,
            inputs=self._task_inputs,
        )
        self.calls = CallService(
            context=context,
            journal=journal,
            gate=self.gate,
            dispatcher=CallDispatcher(context, self.gate, executor, feed),
            tasks=self.tasks,
            turns=self.turns,
        )
        self.server_requests = PendingServerRequests(
            context,
            journal,
            Sampler(config.sampling, self._model_name, context.models.make, self.budget),
        )
        conversation = conversation_from(events)
        for turn, mode in conversation.modes.items():
            self.turns.sent(turn, mode)
        self.plans = PendingPlans(
            context=context,
            gate=self.gate,
            startup_wait=self.startup_wait,
            progress=conversation.progress,
            commit=self._commit,
            headless=not attended,
        )
        self.runner = TurnRunner(
            context=context,
            feed=feed,
            journal=journal,
            calls=self.calls,
            conversation=conversation,
            model=self.model,
            settings=settings,
            turns=self.turns,
            plans=self.plans,
            startup_wait=self.startup_wait,
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
                todo=safe(f"{GO_ON} to continue it"),
            )
            await self.journal.commit(ended)
        await self.server_requests.close_left_open(events)
        stand_ins = {event.call: event.fallback for event in events if isinstance(event, CallProposed)}
        left = [row for row in waiting if row.call not in running]
        await self.calls.restore(left, stand_ins)
        self.calls.follow_tasks([row for row in waiting if row.call in running], running)

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
        await self.server_requests.close()
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
        """Return the limits and the prompt of a turn."""
        return self._context.chat_policy(self.settings.system, self.budget)

    # --- inside ---------------------------------------------------------------------------------

    def _mode(self) -> Mode:
        return self.settings.mode

    def _model_name(self) -> str:
        return self.settings.model

    def _is_listed(self, server: str) -> bool:
        return server in self._context.catalogue.servers()

    def _task_inputs(self, dispatch: Dispatch) -> AnswerInputs:
        """Return what answers the input requests of a call that runs as a task."""
        return partial(self._context.registry.get(dispatch.server).answer_inputs, call=dispatch.call)

    async def _commit(self, *events: AnyEvent) -> None:
        await self.runner.commit(*events)

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


class OpenSessions(dict[str, LiveSession]):
    """The open sessions by id."""

    def is_open(self, dispatch: Dispatch) -> bool:
        """Return whether the gate of one of them has this very dispatch open."""
        return any(session.gate.is_open(dispatch) for session in self.values())

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        """Journal that a call continues with answers, in its own session. Raises `DispatchRefused`."""
        for session in self.values():
            if session.gate.is_open(dispatch):
                return await session.gate.dispatches.next_round(dispatch, number, methods)
        raise DispatchRefused(f"the call {dispatch.call} is over")

    async def server_request(self, request: ServerRequest) -> ServerRequestAnswer:
        """Put a server request before a person who follows the session it belongs to."""
        session = self._session_of(request)
        if session is None:
            return ServerRequestAnswer("cancel", reason="nobody is there to answer")
        return await session.server_requests.open(request)

    def _session_of(self, request: ServerRequest) -> LiveSession | None:
        """Return the session in which a server request is answered, None if nobody is there.

        That is the session of its call. Where the server does not tell the call, it is the session
        that somebody used last.
        """
        attended = [session for session in self.values() if session.attended]
        if request.call:
            attended = [session for session in attended if session.gate.row(request.call) is not None]
        return max(attended, key=lambda session: session.used, default=None)

    async def tools_listed(self, server: str) -> None:
        """Continue what waited in any session for a server's tools."""
        for session in list(self.values()):
            await session.listed(server)

    def server_allowed(self, server: str) -> None:
        """Note in every session that the person allowed a server now: earlier messages do not profit."""
        for session in self.values():
            session.turns.allowed(server)

    def touch(self, session: str) -> None:
        """Note that somebody uses a session now."""
        if session in self:
            self[session].used = time.monotonic()
