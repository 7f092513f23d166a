"""The turns of a session: one at a time; they can be stopped, parked, and continued."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from omni_tui.agents import ToolOutcome, run_orchestrated, run_turn
from omni_tui.agents.agent_host import EarlierResult
from omni_tui.agents.goal import goal_stated
from omni_tui.agents.turn_limits import autonomous
from omni_tui.agents.turn_writer import uninterrupted
from omni_tui.engine.call_service import CallService
from omni_tui.engine.context import EngineContext
from omni_tui.engine.context_store import ContextStore
from omni_tui.engine.conversation import Conversation, title_of
from omni_tui.engine.offered_tools import OfferedTools
from omni_tui.engine.pending_plans import PendingPlans
from omni_tui.engine.session_feed import SessionFeed
from omni_tui.engine.startup_wait import StartupWait
from omni_tui.engine.turn_modes import SessionSettings, TurnModes
from omni_tui.engine.turn_report import turn_report
from omni_tui.memory import Journal, JournalBroken
from omni_tui.models.base import Image, Message, Model, ToolCall, ToolSpec
from omni_tui.models.budget import GO_ON
from omni_tui.models.window import Window
from omni_tui.protocol import AnyEvent, Event, JsonText, Mode, SafeText, UserError
from omni_tui.protocol.events import (
    AwaitingTools,
    ModelMessage,
    SessionRewound,
    SessionTitled,
    Steered,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageChanged,
    UserMessage,
)
from omni_tui.protocol.prompts_and_resources import AttachedResource
from omni_tui.protocol.values import CallOrigin
from omni_tui.resilience.pauses import Pauses
from omni_tui.resilience.retry import RetryPolicy
from omni_tui.security.text import exact_json, safe, safe_line

logger = logging.getLogger(__name__)

MAX_MESSAGE = 200_000
_STOP_S = 3.0


class TurnInProgress(Exception):
    """A command that cannot be carried out now because of a turn. The text says what to do."""


@dataclass(frozen=True, slots=True)
class _QueuedMessage:
    """A message that no turn has taken yet, with its mode and model."""

    message: Message
    mode: Mode
    model: str
    words: str
    """What the person wrote, without what was attached."""


class TurnRunner:
    """Runs the turns of one session; the `AgentHost` of the agent loop."""

    def __init__(
        self,
        *,
        context: EngineContext,
        feed: SessionFeed,
        journal: Journal,
        calls: CallService,
        conversation: Conversation,
        model: Callable[[], Model],
        settings: SessionSettings,
        turns: TurnModes,
        plans: PendingPlans,
        startup_wait: StartupWait,
        pauses: Pauses,
        offered: OfferedTools,
    ) -> None:
        self.memo = ContextStore(journal, conversation.summaries, context.pool)
        self._context = context
        self._feed = feed
        self._journal = journal
        self._calls = calls
        self._conversation = conversation
        self._model = model
        self._settings = settings
        self._turns = turns
        self._plans = plans
        self._startup_wait = startup_wait
        self._retry = RetryPolicy(sleep=pauses.sleep)
        self._offered = offered
        self._missing: tuple[str, ...] = ()
        self._connecting_s = 0.0
        self._queue: deque[str] = deque()
        self._pending: dict[str, _QueuedMessage] = {}
        self._resuming: set[str] = set()
        self._turn = ""
        self._runs_under: tuple[Mode, str] = settings.mode, settings.model
        self._task: asyncio.Task[None] | None = None
        self._parked = False
        self._ending = False

    @property
    def running(self) -> bool:
        """Whether a turn runs now."""
        return self._task is not None and not self._task.done()

    async def is_idle(self) -> bool:
        """Whether no turn runs. Waits for the last steps of one whose end is being journalled."""
        if self._ending and self._task is not None:
            await asyncio.wait([self._task])
        return not self.running

    @property
    def mode(self) -> Mode | None:
        """The mode of the turn that runs now, None if none does."""
        return self._runs_under[0] if self.running else None

    @property
    def unfinished(self) -> str:
        """The turn that was cut off by a crash or by leaving, "" if there is none."""
        return self._conversation.unfinished

    # --- what the person asks -------------------------------------------------------------------

    async def rename(self, title: SafeText) -> None:
        """Give the session a title of the person, which no message replaces."""
        self._conversation.titled = True
        await self._journal.commit(SessionTitled(title=title))

    async def send(
        self,
        text: str,
        *,
        told: str = "",
        attachments: tuple[AttachedResource, ...] = (),
        images: tuple[Image, ...] = (),
    ) -> str:
        """Journal a message and work on it after the running turn. Return the turn's id.

        `told`: what the model gets if it is more than the text: the text with `attachments`. `images`:
        the pictures among them.
        """
        turn = "t-" + uuid.uuid4().hex[:12]
        message = Message(role="user", text=told or text, images=images)
        shown = safe(text, limit=MAX_MESSAGE)
        mode, model = self._settings.mode, self._settings.model
        self._turns.sent(turn, mode)
        events: list[AnyEvent] = [
            UserMessage(
                turn=turn,
                text=shown,
                attachments=attachments,
                mode=mode,
                written=text if text != shown else "",
                from_prompts=self._context.prompt_texts.passages(text),
            )
        ]
        if not self._conversation.titled:
            self._conversation.titled = True
            events.append(SessionTitled(title=title_of(text)))
        if self._conversation.unfinished:
            events += self._plans.withdrawal_of_open()
            events += _untold(self._conversation.queued)
            self._conversation.queued = {}
            await self._calls.withdraw_restored()
        await self._journal.commit(*events)
        self._plans.remember(events)
        self._conversation.unfinished = ""
        self._queue.append(turn)
        self._pending[turn] = _QueuedMessage(message, mode, model, text)
        self._go()
        return turn

    async def continue_turn(self) -> None:
        """Continue the turn that was cut off, else what the last one left undone, in a new turn.

        Raises `TurnInProgress` if a turn runs or there is nothing to continue.
        """
        if self.running:
            raise TurnInProgress("a turn is already running; stop it first")
        if self._conversation.unfinished:
            self._resume(self._conversation.unfinished)
        elif self._conversation.ended in ("limit", "stopped", "failed"):
            await self.send("continue")
        else:
            raise TurnInProgress("there is nothing to continue: the last turn is done")

    def _resume(self, turn: str) -> None:
        self._conversation.unfinished = ""
        self._resuming.add(turn)
        self._turns.sent(turn, self._turns.mode(turn))
        self._queue.appendleft(turn)
        for behind, text in self._conversation.queued.items():
            mode, model = self._turns.mode(behind), self._settings.model
            self._queue.append(behind)
            self._pending[behind] = _QueuedMessage(Message(role="user", text=text), mode, model, text)
        self._conversation.queued = {}
        self._go()

    async def rewind(self, turn: str) -> int:
        """Forget a message and what followed it, and withdraw what still waits of that.

        Return how many of the model's messages that were. Call it while no turn runs. Raises `UserError` if
        the model does not know the message.
        """
        conversation = self._conversation
        start = conversation.history.start_of(turn)
        if start is None:
            raise UserError("the model does not know that message: it never got it, or has forgotten it")
        count = len(conversation.messages) - start
        # Before that is on disk: what is forgotten must not be continued.
        await self._calls.withdraw_restored()
        events: list[AnyEvent] = [
            *self._plans.withdrawal_of_open(),
            *_untold(conversation.queued),
            SessionRewound(turn=turn, messages=count),
        ]
        await self.commit(*events)
        conversation.rewound()
        return count

    async def stop(self) -> bool:
        """Stop the running turn and drop the queued messages. Return False if no turn ran."""
        dropped = [turn for turn in self._queue if self._pending.pop(turn, None) is not None]
        self._queue.clear()
        task = self._task
        running = task is not None and not task.done()
        if task is not None and running:
            task.cancel()
            await asyncio.wait([task], timeout=_STOP_S)
        if dropped:
            await self._journal.commit(*_untold(dropped))
        return running

    async def park(self) -> None:
        """Stop working and leave everything to be continued later: nothing is refused or withdrawn."""
        turn = self._turn if self.running else ""
        self._parked = True
        self._queue.clear()
        await self._calls.close()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_STOP_S)
        if turn:
            # The next start then finds that something is left to do.
            self._conversation.unfinished = turn
            ended = TurnEnded(
                turn=turn,
                status="parked",
                reason=safe("you left the app while this ran"),
                todo=safe(f"{GO_ON} to continue it"),
            )
            try:
                await self._journal.commit(ended)
            except JournalBroken:
                logger.exception("parking could not be journalled; the next start finds it out")

    # --- the loop -------------------------------------------------------------------------------

    def _go(self) -> None:
        if not self.running:
            self._task = asyncio.create_task(self._run(), name="turns")

    async def _run(self) -> None:
        while self._queue and not self._parked:
            self._turn = turn = self._queue.popleft()
            try:
                await self._one(turn, resume=turn in self._resuming)
            except JournalBroken:
                return  # the engine has said so
            finally:
                self._resuming.discard(turn)

    async def _one(self, turn: str, *, resume: bool) -> None:
        model = self._model()
        waiting = self._pending.pop(turn, None)
        message = waiting.message if waiting is not None else None
        if message is None and resume and self._conversation.untold:
            message = Message(role="user", text=self._conversation.untold)
            self._conversation.untold = ""
        # The mode of the message counts; a later change can only tighten it.
        mode = self._turns.mode(turn)
        self._runs_under = mode, self._settings.model
        self._ending = False
        started = TurnStarted(turn=turn, mode=mode, model=safe_line(model.name))
        # In one commit: a turn that has begun has its message.
        told: tuple[AnyEvent, ...] = () if message is None else (self.model_message(turn, message),)
        if mode != "chat" and waiting is not None:
            told = (*told, goal_stated(turn, waiting.words))
        if not await self._begun(turn, *told, started):
            return
        policy = self._context.turn_settings(self._settings.system, self._feed.budget)
        policy = replace(policy, retry=self._retry)
        report_since = None if mode == "chat" else asyncio.get_running_loop().time()
        if mode == "orchestrator":
            self._plans.begin(turn)
            ended = await run_orchestrated(
                self, self._plans, model, turn=turn, settings=policy, limits=self._context.plan_limits()
            )
        elif mode == "auto":
            async with autonomous(policy, self._context.plan_limits(), self._plans.waits) as policy:
                ended = await run_turn(self, model, turn=turn, settings=policy, resume=resume)
        else:
            policy = replace(policy, proposes=True)
            ended = await run_turn(self, model, turn=turn, settings=policy, resume=resume)
        # Whoever stops it now comes too late: it ends as it did, and must not stay without its end.
        await uninterrupted(asyncio.ensure_future(self._end(ended, report_since)))

    async def _end(self, ended: TurnEnded, report_since: float | None) -> None:
        """Journal how a turn ended, with a report of what it did since that moment of the loop's time."""
        if report_since is not None and not self._parked:
            await self._report(ended, asyncio.get_running_loop().time() - report_since)
        self._ending = True
        if not self._parked:
            missing = tuple(safe_line(name) for name in self._missing)
            self._conversation.ended = ended.status
            waited = self._connecting_s
            await self._journal.commit(msgspec.structs.replace(ended, missing=missing, connecting_s=waited))

    async def _begun(self, turn: str, *first: AnyEvent) -> bool:
        """Journal the `first` events of a turn and wait for servers that are connecting.

        False if the turn was stopped meanwhile.
        """

        def tell(servers: tuple[str, ...], until: float) -> None:
            names = tuple(safe_line(name) for name in servers)
            self._feed.live(AwaitingTools(turn=turn, servers=names, until=until))

        try:
            await uninterrupted(asyncio.ensure_future(self.commit(*first)))
            waits = asyncio.get_running_loop().time()
            await self._startup_wait.over(tell)
            self._connecting_s = asyncio.get_running_loop().time() - waits
            self._missing = self._startup_wait.missing()
        except asyncio.CancelledError:
            if self._parked:
                raise
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            await self._calls.stop_followed(turn)
            await self._journal.commit(
                TurnEnded(turn=turn, status="stopped", reason=safe("stopped by you"))
            )
            return False
        return True

    async def _report(self, ended: TurnEnded, elapsed_s: float) -> None:
        """Journal what a turn of auto or orchestrator did, whatever the model says."""
        usage = self._conversation.used.get(ended.turn, Usage())
        make = partial(turn_report, ended=ended, elapsed_s=elapsed_s, usage=usage)
        report = await self._journal.run(make)
        await self._journal.commit(report)

    @staticmethod
    def model_message(turn: str, message: Message, call: str = "") -> ModelMessage:
        """Wrap a message of the model's history for the journal."""
        body: JsonText = exact_json(msgspec.to_builtins(message))
        return ModelMessage(turn=turn, role=message.role, body_json=body, call=call)

    # --- AgentHost ------------------------------------------------------------------------------

    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the tools that the model may call now."""
        self._missing = self._startup_wait.missing()
        return self._offered.under(self._runs_under[0])

    async def call(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        """Carry one call through the gate. A parked turn never gets an answer."""
        outcome = await self._calls.by_agent(origin, call)
        self._check_parked()
        return outcome

    async def add_messages(self, turn: str) -> None:
        """Add the messages that the person sent meanwhile to this turn.

        One with another mode or model begins its own turn.
        """
        while self._queue and (waiting := self._pending.get(by := self._queue[0])) is not None:
            if (waiting.mode, waiting.model) != self._runs_under:
                return
            await self.commit(Steered(turn=turn, by=by), self.model_message(turn, waiting.message))
            self._queue.popleft()
            self._pending.pop(by, None)

    def steps(self, turn: str) -> int:
        """Return how many answers a model has given in a turn."""
        return self._conversation.steps[turn]

    async def commit(self, *events: AnyEvent) -> None:
        """Journal events of the turn; returns when they are on disk."""
        self._check_parked()
        await self._journal.commit(*events)
        for event in events:
            self._conversation.history.take(event)
            if isinstance(event, ModelMessage) and event.agent == "root":
                self._conversation.steps[event.turn] += event.role == "assistant"
            elif isinstance(event, UsageChanged):
                self._conversation.spent(event)
        self._plans.remember(events)

    def live(self, event: Event) -> None:
        """Show an event that is not journalled."""
        if not self._parked:
            self.memo.note(event)
            self._feed.live(event)

    def window(self, agent: str) -> Window:
        """Return the context window of an agent's conversation."""
        return self.memo.window(agent)

    async def stored(self, call: str) -> EarlierResult | None:
        """Return the whole result of a call that an agent of this session made."""
        return await self.memo.stored(call)

    def history(self) -> tuple[Message, ...]:
        """Return the messages of this session, without those of the agents of plans."""
        return tuple(self._conversation.messages)

    def _check_parked(self) -> None:
        """Raise `CancelledError` in a parked turn, which must not write its own end."""
        if self._parked:
            raise asyncio.CancelledError


def _untold(turns: Iterable[str]) -> list[AnyEvent]:
    """Return the events that close messages that never reached the model."""
    reason, todo = safe("the model was not told this"), safe("send it again if it still matters")
    return [TurnEnded(turn=turn, status="stopped", reason=reason, todo=todo) for turn in turns]
