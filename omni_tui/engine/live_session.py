"""A live session: one journal, and everything that belongs to it alone."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import tomllib
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Literal

from omni_tui import __version__
from omni_tui.agents import TurnSettings
from omni_tui.approvals.gate import Gate
from omni_tui.approvals.policy import COVERS
from omni_tui.approvals.policy_in_force import PolicyInForce
from omni_tui.engine.call_dispatcher import CallDispatcher
from omni_tui.engine.call_service import CallService
from omni_tui.engine.consents import NotAudited
from omni_tui.engine.context import EngineContext
from omni_tui.engine.conversation import conversation_left, read_history
from omni_tui.engine.model_history import ModelHistory
from omni_tui.engine.offered_tools import OfferedTools
from omni_tui.engine.outside_sources import JournalledResults, OutsideSources
from omni_tui.engine.pending_plans import PendingPlans
from omni_tui.engine.pending_server_requests import PendingServerRequests
from omni_tui.engine.redis_memory import SessionMemory
from omni_tui.engine.sampler import Sampler
from omni_tui.engine.session_feed import SessionFeed
from omni_tui.engine.session_fold import SessionFold
from omni_tui.engine.session_traces import SessionTraces
from omni_tui.engine.startup_wait import StartupWait
from omni_tui.engine.turn_modes import SessionSettings, TurnModes
from omni_tui.engine.turn_runner import TurnRunner
from omni_tui.memory import CLOSED, CallRow, Journal, JournalBroken, SavedTask, call_table, task_table
from omni_tui.models.base import Model
from omni_tui.models.budget import GO_ON
from omni_tui.policy import Rule, RuleError, RuleOrigin, rule_from_table
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol.context import SystemChanged
from omni_tui.protocol.events import (
    CallChanged,
    CallState,
    EngineReady,
    ModeChanged,
    ModelChanged,
    Notice,
    SessionOpened,
    TurnEnded,
    UserMessage,
)
from omni_tui.protocol.rules import RuleRevoked
from omni_tui.resilience.pauses import Pauses
from omni_tui.security.text import safe, safe_line
from omni_tui.servers import Dispatch
from omni_tui.servers.base import DispatchRefused
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from omni_tui.tools.executor import ToolExecutor
from omni_tui.tools.task_tracker import TaskTracker

logger = logging.getLogger(__name__)

_READ = 2_000
_SAVED_EACH = 10_000
"""Events after which a checkpoint is made anew, also while a turn runs."""
_SAVED_AT_REST = 2_000
"""The same once a turn has ended, and when the session is closed. Fewer are read in no time."""


class LiveSession:
    """Gate, calls and turns over one journal. Made by `open_live_session`.

    `history` are the messages of its models, `left` the events since the first of the turn that was left,
    `saved` the number of the last event in its checkpoint.

    `attended` tells whether a person follows it, `used` when a client last sent it a command, in
    seconds of the monotonic clock, and `notices` what every follower should be told of it. `tightened`
    says what counts no more since saved events are lost that may have restricted it, "" if nothing.
    """

    def __init__(
        self,
        context: EngineContext,
        journal: Journal,
        feed: SessionFeed,
        history: ModelHistory,
        left: list[AnyEvent],
        settings: SessionSettings,
        *,
        attended: bool,
        saved: int = 0,
    ) -> None:
        self._context = context
        self._model: Model | None = None
        self._plugin_models = 0
        self._closing: asyncio.Future[None] | None = None
        self.journal = journal
        self.feed = feed
        self.memory = SessionMemory(context.redis, journal, feed.live)
        feed.listen(self.memory.committed)
        self.traces = SessionTraces(journal, feed)
        self.settings = settings
        self.attended = attended
        self.used = time.monotonic()
        fold = feed.fold
        self.resumed = fold.begun
        self._saved = saved
        self.notices: list[Notice] = []
        self._set(fold)
        self.budget = feed.budget
        self.turns = TurnModes(settings)
        self.startup_wait = StartupWait(context.registry, context.catalogue)
        self.pauses = Pauses()
        config = context.loaded.config
        results = JournalledResults(journal, fold.seq, fold.attached_from)
        rules, doubtful = _session_rules(fold, journal.session), _last_doubtful(journal)
        doubted = [rule for seq, rule in rules if seq <= doubtful and rule.decision == "allow"]
        counting = [rule for seq, rule in rules if seq > doubtful or rule.decision != "allow"]
        context.rule_book.watch_uses(counting, new=False)
        self.policy_in_force = PolicyInForce(context.rule_book, counting, results)
        self.tightened = ""
        self._tightening: tuple[AnyEvent, ...] = ()
        if doubtful:
            self._tighten(doubted, mode=fold.mode_seq <= doubtful)
        sources = OutsideSources(self.policy_in_force, results)
        feed.listen(sources.follow)
        feed.listen(self._save_in_time)
        self.gate = Gate(
            journal,
            policy=self.policy_in_force,
            lookup=context.subject,
            digest=context.vault.digest,
            now=self._mode,
            headless=not attended,
            expire_after=config.policy.expire_after,
        )
        executor = ToolExecutor(
            self.gate,
            context.schemas,
            context.pool,
            context.registry,
            context.catalogue,
            context.cache,
            self.startup_wait.back,
        )
        self.tasks = TaskTracker(
            journal, self.gate, executor, context.registry, context.catalogue, feed.live
        )
        self.calls = CallService(
            context=context,
            journal=journal,
            gate=self.gate,
            policy=self.policy_in_force,
            dispatcher=CallDispatcher(context, self.gate, executor, feed, self.pauses),
            tasks=self.tasks,
            turns=self.turns,
        )
        self.server_requests = PendingServerRequests(
            context,
            journal,
            Sampler(config.sampling, settings, context.models.make, self.budget),
            expire_after=config.policy.expire_after,
        )
        conversation = conversation_left(fold, history, left)
        for turn, mode in conversation.modes.items():
            self.turns.sent(turn, mode)
        self.plans = PendingPlans(
            context=context,
            gate=self.gate,
            startup_wait=self.startup_wait,
            progress=conversation.progress,
            commit=self._commit,
            headless=not attended,
            expire_after=config.policy.expire_after,
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
            pauses=self.pauses,
            offered=OfferedTools(context, self.policy_in_force),
        )

    async def resume(self, left: list[AnyEvent]) -> None:
        """Settle what a crash left open, and take up the calls that wait. Call it once, at the start."""
        fold = self.feed.fold
        begun, parked, asked, sampled = fold.begun, fold.parked, list(fold.server_requests), fold.sampled
        stand_ins = dict(fold.fallbacks)
        await self.journal.commit(*self._tightening)
        if fold.quotes_prompts:
            await self._recall_prompts(fold.seq)
        waiting, running, uncertain = await self._settle(fold)
        unfinished = self.runner.unfinished
        if unfinished:
            rejected = await self.journal.run(lambda tx: call_table.rejected_of(tx, unfinished))
            self.gate.rejected.recall(unfinished, rejected)
            self.calls.recall_refusals(left)
        if not begun:
            opened = SessionOpened(
                title=safe("new session"),
                mode=self.settings.mode,
                model=safe_line(self.settings.model),
            )
            await self.journal.commit(opened)
        elif unfinished and not parked:
            ended = TurnEnded(
                turn=unfinished,
                status="parked",
                reason=safe("the app ended while this ran"),
                todo=safe(f"{GO_ON} to continue it"),
            )
            await self.journal.commit(ended)
        await self.plans.restore()
        await self.server_requests.close_left_open(asked, sampled)
        pending = [row for row in waiting if row.call not in running]
        if begun and self.journal.recovered:
            self._tell_of_crash(uncertain, len(pending), len(running), unfinished=bool(unfinished))
        elsewhere = await self.memory.why_not_only_here() if pending else ""
        await self.calls.restore(pending, stand_ins)
        if elsewhere:
            await self._give_up(elsewhere)
        self.calls.follow_tasks([row for row in waiting if row.call in running], running)

    async def _give_up(self, why: str) -> None:
        """Withdraw calls that may wait on another machine too: they could be approved twice."""
        number = await self.calls.give_up_restored(why)
        what = (
            f"{number} {'call that waited was' if number == 1 else 'calls that waited were'} withdrawn here"
        )
        self.notices.append(
            Notice(
                level="warning",
                what=safe(f"{what}, since another machine may have this session: {why}", limit=1_200),
                todo=safe(f"{GO_ON} to let the model ask again"),
                ts=time.time(),
            )
        )

    def _tell_of_crash(self, uncertain: int, waiting: int, running: int, *, unfinished: bool) -> None:
        """Tell who opens the session what the crash left open, if it left anything."""
        left = (
            (uncertain, "call is uncertain", "calls are uncertain"),
            (waiting, "call waits for you", "calls wait for you"),
            (running, "task goes on at its server", "tasks go on at their servers"),
            (int(unfinished), "turn was cut off, which /continue continues", ""),
        )
        words = [f"{number} {one if number == 1 else many}" for number, one, many in left if number]
        if words:
            what = f"after the app ended unexpectedly: {', '.join(words)}"
            level: Literal["info", "warning"] = "warning" if uncertain else "info"
            self.notices.append(Notice(level=level, what=safe(what), ts=time.time()))

    def attend(self, attended: bool) -> None:
        """Take note whether a person follows the session; without one, what would ask is withheld.

        That holds for what waits already: its followers would wait for nobody.
        """
        left = self.attended and not attended
        self.attended = attended
        self.gate.headless = self.plans.headless = not attended
        if left:
            self._context.tasks.spawn(self._left(), "what waited for a person")

    async def _left(self) -> None:
        """End what waits for the person, who has left. Stops as soon as one is there again."""
        await self.gate.withhold()
        if not self.attended:
            await self.plans.withdraw_all()
        if not self.attended:
            await self.server_requests.cancel_all("nobody is there to answer", "headless")

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
        """Park what runs, and close the journal. It is clean if nothing is left open.

        May be called again, also meanwhile. Raises `JournalBroken` if the end could not be written; the
        session is closed then too.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self.feed.close()
        self.gate.expiry.close()
        self.plans.expiry.close()
        try:
            await self.server_requests.close()
        finally:
            await self.runner.park()
            await self.memory.close()
            if self.feed.fold.seq - self._saved >= _SAVED_AT_REST:
                await self._save_checkpoint()
            clean = not self.gate.pending() and not self.runner.unfinished
            count, head = await self.journal.close(clean)
            await self._context.save_rule_uses()
            if count:
                await self._note_closed(count, head)

    async def _note_closed(self, count: int, head: str) -> None:
        """Note in the installation's audit how far that of this session reaches."""
        session = self.journal.session
        try:
            await self._context.consents.note(
                CLOSED, session, done="the session is closed and saved", actor="", count=count, head=head
            )
        except NotAudited as error:
            self._context.clients.tell(Notice(level="warning", what=safe(str(error), limit=1_000)))

    # --- settings -------------------------------------------------------------------------------

    def model(self) -> Model:
        """Return the model that answers now; made at first need."""
        plugins = self._context.models.plugins
        if self._model is None or self._plugin_models != plugins.changes:
            # A name that LiteLLM does not know may be that of a plugin by now.
            self._plugin_models = plugins.changes
            self._model = self._context.models.with_fallbacks(self.settings.model)
        return self._model

    async def set_model(self, name: str) -> None:
        """Use another model from the next message on. Raises what `make_model` raises."""
        model = self._context.models.with_fallbacks(name)
        self._model, self.settings.model = model, name
        self._plugin_models = self._context.models.plugins.changes
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

    def policy(self) -> TurnSettings:
        """Return the limits and the prompt of a turn."""
        return self._context.turn_settings(self.settings.system, self.budget)

    # --- inside ---------------------------------------------------------------------------------

    async def _recall_prompts(self, upto: int) -> None:
        """Remember the passages of prompts in messages of before: they may be sent again."""
        after = 0
        while page := await self.journal.read_only((UserMessage,), after, upto, _READ):
            for event in page:
                if isinstance(event, UserMessage):
                    self._context.prompt_texts.note_message(event.words, event.from_prompts)
            after = page[-1].seq

    def _mode(self) -> Mode:
        return self.settings.mode

    async def _commit(self, *events: AnyEvent) -> None:
        await self.runner.commit(*events)

    def _set(self, fold: SessionFold) -> None:
        """Set the session to what its journal says."""
        settings = self.settings
        settings.mode, settings.system = fold.mode or settings.mode, fold.system
        settings.model = settings.model if fold.model is None else fold.model

    def _save_in_time(self, events: Sequence[AnyEvent]) -> None:
        """Make a checkpoint when enough was written since the last one."""
        fresh = self.feed.fold.seq - self._saved
        rests = any(isinstance(event, TurnEnded) for event in events)
        if fresh >= (_SAVED_AT_REST if rests else _SAVED_EACH):
            self._saved = self.feed.fold.seq  # first: more may come while it is written
            self._context.tasks.spawn(self._save_checkpoint(), "a checkpoint of the session")

    async def _save_checkpoint(self) -> None:
        """Write down what all events come to, so that the next start need not read them."""
        made = self.feed.fold.checkpoint()
        try:
            await self.journal.save_checkpoint(made)
        except JournalBroken:
            logger.info("no checkpoint of session %s was made", self.journal.session, exc_info=True)

    def _tighten(self, doubted: Sequence[Rule], *, mode: bool) -> None:
        """Go on without some rules, and in the strictest mode: what took them back may be lost."""
        gone: list[AnyEvent] = [RuleRevoked(id=rule.id, scope="session") for rule in doubted]
        kept: list[str] = []
        if mode:
            order = self._context.mode_order(self.policy_in_force.rules.rules)
            self.settings.mode = order.strictest("chat", "orchestrator", "auto")
            gone.append(ModeChanged(mode=self.settings.mode, covers=safe(COVERS[self.settings.mode])))
            kept.append(f"it goes on in {self.settings.mode} mode")
        if doubted:
            kept.append(f"{len(doubted)} of its rules that allow calls count no more")
        self._tightening = tuple(gone)
        if kept:
            self.tightened = (
                f"What restricted this session may be lost with other events, so {', and '.join(kept)}. "
                "Rules of this session that deny calls may be lost too: /rules shows those there are"
            )

    async def _settle(self, fold: SessionFold) -> tuple[list[CallRow], dict[str, SavedTask], int]:
        """Mark what a crash cut off, and say so.

        Return the calls that wait, for the person or for a task; those tasks; how many became uncertain.

        The events go with the change: a crash in between must not hide what became uncertain.
        """
        rows: list[CallRow] = await self.journal.run(call_table.open_calls)
        running = await self.journal.run(task_table.running)
        before = frozenset(fold.cut)
        cut = [
            event
            for row in rows
            if row.call not in running and (event := _cut(row, row.call in before)) is not None
        ]
        unfinished = {call: each.attempt for call, each in fold.calls.items()}
        known = await self.journal.run(lambda tx: call_table.known(tx, unfinished))
        cut += _without_row(unfinished, known)
        await self.journal.commit(*cut, change=lambda tx: call_table.mark_after_crash(tx, before))
        still: list[CallRow] = await self.journal.run(call_table.open_calls)
        uncertain = sum(isinstance(event, CallChanged) and event.state == "uncertain" for event in cut)
        waiting = [row for row in still if row.state in ("pending", "held", "dispatching")]
        return waiting, running, uncertain


def _last_doubtful(journal: Journal) -> int:
    """Return the number of the last event after which one may be lost that took it back; 0 if none is."""
    return journal.head if journal.damage else journal.last_damaged


def _session_rules(fold: SessionFold, session: str) -> list[tuple[int, Rule]]:
    """Return the rules of a session that were added and not revoked, with the numbers of their events.

    One that cannot be read is left out.
    """
    rules: list[tuple[int, Rule]] = []
    origin = RuleOrigin("session", made="card", session=session)
    for name, (seq, text) in fold.rules.items():
        try:
            (table,) = tomllib.loads(text)["policy"]["rule"]
            rules.append((seq, rule_from_table(table, origin)))
        except (RuleError, ValueError, KeyError, TypeError):
            logger.warning("the rule %s of this session cannot be read and does not count", name)
    return rules


async def _saved_fold(journal: Journal) -> SessionFold:
    """Return what the checkpoint of a journal says, an empty one without it."""
    return SessionFold.restored(await journal.checkpoint())


async def _read_rest(journal: Journal, fold: SessionFold) -> None:
    """Take the events that came after."""
    after = fold.seq
    while page := await journal.read(after, _READ):
        fold.take_all(page)
        after = fold.seq


async def _events_left(journal: Journal, fold: SessionFold) -> list[AnyEvent]:
    """Return the events since the first one of the turn that is to be continued, none without one."""
    events: list[AnyEvent] = []
    if (turn := fold.turns.get(fold.turn_left())) is not None:
        after = turn.seq - 1
        while page := await journal.read(after, _READ):
            events += page
            after = page[-1].seq
    return events


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
    fold = await _saved_fold(journal)
    saved = fold.seq
    await _read_rest(journal, fold)
    feed.go_on(fold)
    history, left = await read_history(journal, fold), await _events_left(journal, fold)
    session = LiveSession(context, journal, feed, history, left, settings, attended=attended, saved=saved)
    await session.resume(left)
    if context.redis.on:
        await session.memory.follow()
    return session


def _cut(row: CallRow, cut_before: bool) -> CallChanged | None:
    """Return what a restart makes of a call, None if it stays as it is.

    `cut_before`: whether an attempt before its last one may have run.
    """
    state: CallState
    if row.state == "dispatching":
        state = "uncertain"
        reason = "the app ended while this ran; it may or may not have happened"
    elif row.state == "approved" and cut_before:
        state = "uncertain"
        reason = "the app ended before this was tried again; the attempt before may have run"
    elif row.state == "approved":
        state = "pending"
        reason = "you approved this before the restart; confirm it again"
    else:
        return None
    return CallChanged(
        call=row.call, state=state, decider="restart", reason=safe(reason), attempt=row.attempt
    )


def _without_row(unfinished: Mapping[str, int], known: Container[str]) -> Iterator[CallChanged]:
    """Yield what becomes of unfinished calls that a damaged file has no row of: nobody can say any more.

    `unfinished`: the last attempt of each.
    """
    for call, attempt in unfinished.items():
        if call not in known:
            reason = "what was saved of this call is damaged; it may or may not have happened"
            yield CallChanged(
                call=call, state="uncertain", decider="restart", reason=safe(reason), attempt=attempt
            )


class OpenSessions(dict[str, LiveSession]):
    """The open sessions by id."""

    def is_open(self, dispatch: Dispatch) -> bool:
        """Return whether the gate of one of them has this very dispatch open."""
        return any(dispatch in session.gate.dispatches for session in self.values())

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        """Journal that a call continues with answers, in its own session. Raises `DispatchRefused`."""
        for session in self.values():
            if dispatch in session.gate.dispatches:
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

        That is the session of its call. Where the server does not tell the call, it is one of those with a
        call at that server, or any if there is none: the session that somebody used last. Nobody answers
        what may belong to a session without a person.
        """
        sessions = list(self.values())
        if request.call:
            sessions = [session for session in sessions if session.gate.row(request.call) is not None]
        elif calling := [session for session in sessions if session.gate.dispatches.at(request.server)]:
            if not all(session.attended for session in calling):
                return None
            sessions = calling
        attended = [session for session in sessions if session.attended]
        return max(attended, key=lambda session: session.used, default=None)

    async def tools_listed(self, server: str) -> None:
        """Continue what waited in any session for a server's tools."""
        for session in list(self.values()):
            await session.listed(server)

    def server_allowed(self, server: str) -> None:
        """Note in every session that the person allowed a server now: earlier messages do not profit."""
        for session in self.values():
            session.turns.allowed(server)
