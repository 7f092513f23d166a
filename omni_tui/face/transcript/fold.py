"""The items of a transcript, made from the engine's events. Knows nothing of the screen.

Applying an event costs the same whatever came before it: it changes one item and notes which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from omni_tui.face.formats import counted, format_task_status
from omni_tui.face.overview import server_request_key
from omni_tui.face.risk import sure_risk
from omni_tui.face.transcript import plan_fold
from omni_tui.face.transcript.host_notices import (
    HostEvent,
    host_notice,
    loaded_notice,
    missing_tools_notice,
)
from omni_tui.face.transcript.item_types import (
    AnyItem,
    CallItem,
    CallStage,
    EndItem,
    NoticeItem,
    NoticeLevel,
    RetryItem,
    ServerRequestItem,
    TextItem,
    UserItem,
)
from omni_tui.face.transcript.long_texts import is_long
from omni_tui.face.transcript.stream import StreamText
from omni_tui.face.transcript.sub_agents import SubAgentIndex, apply_to_sub_agent, task_of_event
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol import events as ev
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.context import BuiltinToolCalled, ContextSummarised, SystemChanged
from omni_tui.protocol.conversation import RunReport
from omni_tui.protocol.goals import ActionsProposed, GoalStated, GoalTracked
from omni_tui.protocol.loaded import CallLoaded, NoteLoaded, SessionLoaded
from omni_tui.protocol.models import ModelFellBack
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.protocol.session_search import TextPlace
from omni_tui.security.text import safe, safe_line

_MESSAGE_LIMIT = 64_000
_NOTE_LINES = 12


class Fold(msgspec.Struct):
    """The transcript's items and which of them changed since `take_changes`."""

    items: list[AnyItem] = msgspec.field(default_factory=list)
    turn: str = ""
    """The running turn, "" if none."""
    since: float = 0.0
    mode: Mode | None = None
    model: str = ""
    running: set[int] = msgspec.field(default_factory=set)
    """Indexes of calls and tasks that run right now."""
    waiting: set[int] = msgspec.field(default_factory=set)
    """Indexes of calls, server requests and plans that wait for the user, without those of sub-agents."""
    sub_agents: SubAgentIndex = msgspec.field(default_factory=SubAgentIndex)
    retrying: int | None = None
    left_out: bool = False
    """Whether the beginning of the session is not shown."""
    awaits: ev.AwaitingTools | None = None
    """The servers that the running message waits for before it goes to the model."""
    forgotten: set[str] = msgspec.field(default_factory=set)
    """The turns that the model knows no longer, since the session was rewound."""
    _changed: set[int] = msgspec.field(default_factory=set)
    _at: dict[str, int] = msgspec.field(default_factory=dict)
    _open: set[int] = msgspec.field(default_factory=set)
    _seen: set[int] = msgspec.field(default_factory=set)
    _parked: dict[str, int] = msgspec.field(default_factory=dict)
    _queued: set[int] = msgspec.field(default_factory=set)
    """Indexes of messages that wait behind a turn."""

    def apply(self, event: AnyEvent) -> bool:
        """Apply an event; return whether it is shown. A journalled event counts once."""
        handler = _HANDLERS.get(type(event))
        if handler is None:
            return False
        if event.seq:
            if event.seq in self._seen:
                return False
            self._seen.add(event.seq)
        index = task_of_event(self, event)
        if index is not None:
            return apply_to_sub_agent(self, index, event, handler)
        handler(self, event)
        return True

    @property
    def waits(self) -> int:
        """How many things wait for the user, with those of sub-agents."""
        return len(self.waiting) + sum(len(agent.fold.waiting) for agent in self.sub_agents.all())

    def take_changes(self) -> set[int]:
        """Return the indexes of items that are new or changed, and forget them."""
        changed, self._changed = self._changed, set()
        return changed

    def with_next_shown(self, indexes: set[int]) -> set[int]:
        """Return indexes and those of the items shown next, whose space above may be another now."""
        found = set(indexes)
        for index in indexes:
            if index + 1 in indexes:
                continue  # what is shown next after that one is shown next after this one too
            below = range(index + 1, len(self.items))
            if (at := next((at for at in below if not self.items[at].hidden), None)) is not None:
                found.add(at)
        return found

    def touch(self, index: int) -> None:
        """Note that an item looks different now."""
        self._changed.add(index)

    def tick(self) -> None:
        """Note that a second has passed for what runs or will be retried."""
        self._changed |= self.running
        if self.retrying is not None:
            self._changed.add(self.retrying)

    def find_call(self, call: str) -> int | None:
        """Return the index of a call."""
        return self._at.get(f"call:{call}")

    def find_text(self, place: TextPlace) -> int | None:
        """Return the index of the call or message at a place, else of the message that began its turn."""
        keys = (
            f"call:{place.call}",
            f"answer:{place.message}",
            f"thought:{place.message}",
            f"user:{place.turn}",
        )
        found = (self._at[key] for key in keys if key in self._at)
        return next((index for index in found if not self.items[index].hidden), None)

    def last_answer(self) -> TextItem | None:
        """Return the last answer that has any text."""
        for item in reversed(self.items):
            if isinstance(item, TextItem) and item.kind == "answer" and item.source:
                return item
        return None

    # --- messages and answers

    def _user(self, event: ev.UserMessage) -> None:
        item = UserItem(ts=event.ts, turn=event.turn, text=event.text, words=event.words)
        item.attachments, item.stage = event.attachments, "queued" if self.turn else ""
        item.mode = event.mode or ""
        index = self.add(item, f"user:{event.turn}")
        if item.stage:
            self._queued.add(index)

    def _started(self, event: ev.TurnStarted) -> None:
        if event.agent == "root":
            self.turn, self.since = event.turn, event.ts
            self._dequeued(event.turn)
            self._restage("queued")
        plan_fold.on_turn_started(self, event.turn)
        if (parked := self._parked.pop(event.turn, None)) is not None:
            # It continues: the notice that it was parked is outdated.
            self.items[parked].hidden = True
            self.touch(parked)

    def engine_stopped(self, ts: float) -> None:
        """Stop what ran: nothing more comes since `ts`."""
        if self.turn:
            self.close(self.turn)
            plan_fold.stop_clocks(self, self.turn, ts)
            self.turn = ""
        self._restage("parked")

    def _steered(self, event: ev.Steered) -> None:
        self._dequeued(event.by)

    def _dequeued(self, turn: str, stage: Literal["", "untold"] = "") -> bool:
        """Take a message off the queue; return whether it was queued."""
        index = self._at.get(f"user:{turn}")
        if index is None or index not in self._queued:
            return False
        self._queued.remove(index)
        self._set_stage(index, stage)
        return True

    def _set_stage(self, index: int, stage: Literal["", "queued", "parked", "untold"]) -> None:
        item = self.items[index]
        assert isinstance(item, UserItem)
        item.stage = stage
        self._changed.add(index)

    def _restage(self, stage: Literal["queued", "parked"]) -> None:
        for index in self._queued:
            self._set_stage(index, stage)

    def untold(self, turn: str) -> bool:
        """Return whether the message of a turn was taken off the queue, so that no model gets it."""
        index = self._at.get(f"user:{turn}")
        item = self.items[index] if index is not None else None
        return isinstance(item, UserItem) and item.stage == "untold"

    def _delta(self, event: ev.ThoughtDelta | ev.AnswerDelta) -> None:
        self._clear_retry()
        kind: Literal["thought", "answer"] = "thought" if isinstance(event, ev.ThoughtDelta) else "answer"
        key = f"{kind}:{event.message}"
        index = self._at.get(key)
        if index is None:
            item = TextItem(ts=event.ts, kind=kind, turn=event.turn, stream=StreamText())
            index = self.add(item, key)
            self._open.add(index)
        else:
            found = self.items[index]
            if not isinstance(found, TextItem) or found.stream is None:
                return  # late: the whole text is here
            item = found
        assert item.stream is not None
        item.stream.feed(event.text)
        item.hidden = False
        self._changed.add(index)

    def _thought(self, event: ev.Thought) -> None:
        self._text("thought", event, TextItem(kind="thought", text=event.text))

    def _answer(self, event: ev.Answer) -> None:
        item = TextItem(kind="answer", text=event.text, partial=event.partial, label=event.label)
        self._text("answer", event, item)

    def _text(self, kind: str, event: ev.Thought | ev.Answer, item: TextItem) -> None:
        self._clear_retry()
        streamed = self._at.get(f"answer:{event.message}")
        if kind == "thought" and streamed in self._open:
            # What streamed as an answer may turn out to be a thought. If not, an answer follows.
            self.items[streamed].hidden = True
            self._changed.add(streamed)
        item.ts, item.turn, item.agent = event.ts, event.turn, event.agent
        item.hidden = not event.text.strip()
        key = f"{kind}:{event.message}"
        index = self._at.get(key)
        if index is None:
            self.add(item, key)
            return
        former = self.items[index]
        item.folded = former.folded
        if isinstance(former, TextItem) and is_long(item.text):
            item.streamed = former.stream
        self.items[index] = item
        self._open.discard(index)
        self._changed.add(index)

    def _retry(self, event: ev.Retrying) -> None:
        for index in self._streams(event.turn):  # the answer starts again from its beginning
            item = self.items[index]
            if isinstance(item, TextItem) and item.stream is not None:
                item.stream.clear()
                item.hidden = True
                self._changed.add(index)
        item = RetryItem(ts=event.ts, attempt=event.attempt, of=event.of, reason=event.reason)
        item.due = event.ts + event.delay_s
        if self.retrying is None:
            self.retrying = self.add(item)
        else:
            self.items[self.retrying] = item
            self._changed.add(self.retrying)

    def _clear_retry(self) -> None:
        if self.retrying is not None:
            self.items[self.retrying].hidden = True
            self._changed.add(self.retrying)
            self.retrying = None

    def _ended(self, event: ev.TurnEnded) -> None:
        if event.turn != self.turn and event.status == "stopped" and self._dequeued(event.turn, "untold"):
            return
        if event.turn == self.turn:
            self.turn = ""
        self.awaits = None
        self.close(event.turn)
        plan_fold.stop_clocks(self, event.turn, event.ts)
        if event.status != "done" or event.reason:
            item = EndItem(ts=event.ts, status=event.status, reason=event.reason, todo=event.todo)
            index = self.add(item)
            if event.status == "parked":
                self._parked[event.turn] = index
                self._restage("parked")
        if event.missing:
            self.add(missing_tools_notice(event.ts, event.missing))

    def _awaiting(self, event: ev.AwaitingTools) -> None:
        self.awaits = event if event.servers else None

    def close(self, turn: str) -> None:
        """End the streams of a turn: what was still arriving is cut off."""
        self._clear_retry()
        for index in self._streams(turn):
            item = self.items[index]
            if isinstance(item, TextItem) and item.stream is not None:
                item.text, item.partial = item.stream.text, True
                item.stream, item.streamed = None, item.stream
                self._changed.add(index)
            self._open.discard(index)

    def _streams(self, turn: str) -> list[int]:
        return [i for i in self._open if isinstance(item := self.items[i], TextItem) and item.turn == turn]

    # --- calls

    def _proposed(self, event: ev.CallProposed) -> None:
        self._clear_retry()
        self._added_call(event).fallback = event.fallback

    def _added_call(self, event: ev.CallProposed | ev.ApprovalRequested) -> CallItem:
        if (call := self._call(event.call)) is None:
            call = CallItem(
                ts=event.ts, call=event.call, turn=event.turn, server=event.server, tool=event.label,
                arguments=event.arguments, origin=event.origin, agent=event.agent,
                risk=sure_risk(event.risk, server_trusted=event.server_trusted),
            )  # fmt: skip
            self.add(call, f"call:{event.call}")
        return call

    def _approval(self, event: ev.ApprovalRequested) -> None:
        call = self._added_call(event)
        call.tool, call.arguments, call.reason = event.label, event.arguments, ""
        call.edited = call.edited or event.edited
        self._state(call, "held" if event.held else "pending")

    def _moved(self, event: ev.CallChanged) -> None:
        if (call := self._call(event.call)) is not None:
            call.reason, call.attempt = event.reason, event.attempt
            call.decider = event.decider
            call.feedback = event.feedback or call.feedback
            if event.state == "dispatching":
                call.started, call.progress, call.message = event.ts, None, ""
            self._state(call, event.state)

    def _progress(self, event: ev.CallProgress) -> None:
        if (call := self._call(event.call)) is not None and call.running:
            call.progress, call.total, call.message = event.progress, event.total, event.message

    def _ahead(self, event: ev.AttemptScheduled) -> None:
        if (call := self._call(event.call)) is not None and call.running:
            when = f"attempt {event.attempt} of {event.of} in {event.delay_s:.1f} s"
            call.progress, call.message = None, f"{when}, after: {event.reason}"

    def _task(self, event: CallTask | TaskProgress) -> None:
        if (call := self._call(event.call)) is not None and call.running:
            call.progress, call.message = None, format_task_status(event)

    def _finished(self, event: ev.CallFinished) -> None:
        if (call := self._call(event.call)) is not None:
            call.parts, call.elapsed_ms, call.result_size = event.parts, event.elapsed_ms, event.size
            call.reason, call.attempt, call.cached_s = event.reason, event.attempt, event.cached_s
            self._state(call, event.state)

    def _call_loaded(self, event: CallLoaded) -> None:
        state: CallStage = "uncertain" if event.state == "unfinished" else event.state
        ended = event.state == "unfinished"
        item = CallItem(
            ts=event.ts, call=event.call, turn=event.turn, server=event.server, tool=event.label,
            arguments=event.arguments, origin=event.origin, agent=event.agent,
            state=state, decider=event.decider, feedback=event.feedback,
            reason=safe("it had not ended when it was saved") if ended else event.reason,
            elapsed_ms=event.elapsed_ms, parts=event.parts, result_size=event.size,
        )  # fmt: skip
        self.add(item, f"call:{event.call}")

    def _session_loaded(self, event: SessionLoaded) -> None:
        self.add(loaded_notice(event))

    def _note_loaded(self, event: NoteLoaded) -> None:
        what, *more = event.text.splitlines() or [""]
        level: NoticeLevel = "warning" if event.warning else "info"
        self.add(NoticeItem(ts=event.ts, level=level, what=what, more=tuple(more[:_NOTE_LINES])))

    def _state(self, call: CallItem, state: CallStage) -> None:
        call.state = state
        index = self._at[f"call:{call.call}"]
        (self.running.add if call.running else self.running.discard)(index)
        (self.waiting.add if call.waiting else self.waiting.discard)(index)

    def _call(self, call: str) -> CallItem | None:
        """Return a call, which is about to change, None if it is not here."""
        if (index := self.find_call(call)) is None:
            return None
        item = self.items[index]
        assert isinstance(item, CallItem)
        self._changed.add(index)
        return item

    def _round(self, event: ev.CallRound) -> None:
        """Show that a call continues after its server got the input it asked for."""
        if (call := self._call(event.call)) is not None:
            call.round, call.attempt = event.round, event.attempt
            asked = ", ".join(safe_line(method, limit=60) for method in event.asked[:4])
            what = f"got the input it asked for{f' ({asked})' if asked else ''}"
            call.message = f"{what} · round {event.round}"

    # --- server requests

    def _request_opened(self, event: ServerRequestOpened) -> None:
        key = server_request_key(event.ask)
        index = self.find(key)
        if index is None:
            index = self.add(ServerRequestItem(ts=event.ts), key)
        item = self._request(index)
        item.server, item.label, item.stage, item.outcome = event.server, event.label, event.stage, ""
        item.message = safe(event.message, limit=_MESSAGE_LIMIT)
        self.waiting.add(index)
        self._changed.add(index)

    def _request_closed(self, event: ServerRequestClosed) -> None:
        index = self.find(server_request_key(event.ask))
        if index is None:
            return
        item = self._request(index)
        item.outcome, item.decider = event.outcome, event.decider
        item.reason, item.answer = event.reason, event.answer
        self.waiting.discard(index)
        self._changed.add(index)

    def _request(self, index: int) -> ServerRequestItem:
        item = self.items[index]
        assert isinstance(item, ServerRequestItem)
        return item

    # --- notices

    def _journal_failed(self, event: ev.JournalFailed) -> None:
        self.add(NoticeItem(ts=event.ts, level="error", what=event.what, todo=event.todo))

    def _notice(self, event: ev.Notice) -> None:
        notice = NoticeItem(ts=event.ts, level=event.level, what=event.what, why=event.why, todo=event.todo)
        self.add(notice)

    def _left_out(self, event: ev.EarlierLeftOut) -> None:
        if self.left_out:
            return
        self.left_out = True
        what = safe(f"{counted(event.begins - 1, 'earlier event')} of this session are not shown")
        self.add(NoticeItem(ts=event.ts, what=what, todo=safe("/earlier shows all of it")))

    def _host(self, event: HostEvent) -> None:
        self.add(host_notice(event))

    def _problems(self, event: ev.ConfigProblems) -> None:
        if event.problems:
            more = tuple(": ".join(filter(None, (p.where, p.what, p.todo))) for p in event.problems)
            errors = counted(len(event.problems), "error")
            what = f"The config has {errors}. Until this is fixed, every call needs approval."
            self.add(NoticeItem(ts=event.ts, level="warning", what=what, more=more))

    def _opened(self, event: ev.SessionOpened) -> None:
        self.mode, self.model = event.mode, event.model

    def _branched(self, event: ev.SessionBranched) -> None:
        what = f"branched from session {safe_line(event.origin, limit=60)}"
        self.add(NoticeItem(ts=event.ts, what=what))

    def _rewound(self, event: ev.SessionRewound) -> None:
        index = self._at.get(f"user:{event.turn}")
        said = self.items[index] if index is not None else None
        words = ""
        if isinstance(said, UserItem):
            words = f" “{safe_line(said.text, limit=60)}”"
        for item in self.items[index if index is not None else len(self.items) :]:
            if isinstance(item, UserItem):
                self.forgotten.add(item.turn)
        what = f"rewound: the model has forgotten your message{words} and what followed it"
        why = "all of it is still in this session; what calls did stays done"
        self.add(NoticeItem(ts=event.ts, what=what, why=why))

    def _mode(self, event: ev.ModeChanged) -> None:
        if event.mode != self.mode:
            self.add(NoticeItem(ts=event.ts, what=f"mode: {event.mode}", why=event.covers))
        self.mode = event.mode

    def _model(self, event: ev.ModelChanged) -> None:
        if event.name != self.model:
            self.add(NoticeItem(ts=event.ts, what=f"model: {event.name}", why=event.label))
        self.model = event.name

    def _fell_back(self, event: ModelFellBack) -> None:
        self._clear_retry()
        what = f"{event.to} answers instead of {event.model}"
        self.add(NoticeItem(ts=event.ts, level="warning", what=what, why=event.reason, todo=event.todo))

    def _rule_added(self, event: RuleAdded) -> None:
        where = {"session": "in this session", "user": "from now on", "project": "as the project has it"}
        what = f"rule {safe_line(event.id, limit=80)} counts {where[event.scope]}"
        self.add(NoticeItem(ts=event.ts, what=what, why=event.sentence))

    def _rule_revoked(self, event: RuleRevoked) -> None:
        what = f"rule {safe_line(event.id, limit=80)} is revoked"
        self.add(NoticeItem(ts=event.ts, what=what))

    def _usage(self, event: ev.UsageChanged) -> None:
        """Show nothing: the status bar shows what the root used."""

    def find(self, key: str) -> int | None:
        """Return the index of an item that was added under a key."""
        return self._at.get(key)

    def add(self, item: AnyItem, key: str = "") -> int:
        """Add an item at the end, under a key if it is to be found again; return its index."""
        index = len(self.items)
        self.items.append(item)
        self._changed.add(index)
        if key:
            self._at[key] = index
        return index


_HANDLERS: dict[type, Callable[..., None]] = {
    ev.UserMessage: Fold._user,
    ev.TurnStarted: Fold._started,
    ev.AwaitingTools: Fold._awaiting,
    ev.Steered: Fold._steered,
    ev.SessionRewound: Fold._rewound,
    ev.ThoughtDelta: Fold._delta,
    ev.AnswerDelta: Fold._delta,
    ev.Thought: Fold._thought,
    ev.Answer: Fold._answer,
    ev.Retrying: Fold._retry,
    ev.TurnEnded: Fold._ended,
    ev.CallProposed: Fold._proposed,
    ev.ApprovalRequested: Fold._approval,
    ev.CallChanged: Fold._moved,
    ev.CallProgress: Fold._progress,
    CallTask: Fold._task,
    ev.AttemptScheduled: Fold._ahead,
    TaskProgress: Fold._task,
    ev.CallFinished: Fold._finished,
    ev.CallRound: Fold._round,
    ServerRequestOpened: Fold._request_opened,
    ServerRequestClosed: Fold._request_closed,
    CallLoaded: Fold._call_loaded,
    SessionLoaded: Fold._session_loaded,
    NoteLoaded: Fold._note_loaded,
    BuiltinToolCalled: Fold._host,
    ContextSummarised: Fold._host,
    SystemChanged: Fold._host,
    RunReport: Fold._host,
    ActionsProposed: Fold._host,
    GoalStated: Fold._host,
    GoalTracked: Fold._host,
    ev.Notice: Fold._notice,
    ev.EarlierLeftOut: Fold._left_out,
    ev.JournalFailed: Fold._journal_failed,
    ev.ConfigProblems: Fold._problems,
    ev.SessionOpened: Fold._opened,
    ev.SessionBranched: Fold._branched,
    ev.ModeChanged: Fold._mode,
    ev.ModelChanged: Fold._model,
    ModelFellBack: Fold._fell_back,
    ev.UsageChanged: Fold._usage,
    RuleAdded: Fold._rule_added,
    RuleRevoked: Fold._rule_revoked,
    PlanProposed: plan_fold.on_proposed,
    PlanDecided: plan_fold.on_decided,
    PlanTaskChanged: plan_fold.on_task,
    PlanEnded: plan_fold.on_ended,
}
