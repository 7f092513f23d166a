"""The fold of the engine's events into what a transcript shows, without a screen.

Taking an event costs the same whatever came before it: it changes one item and notes which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from omni_tui.face.tasks import task_words
from omni_tui.face.transcript.stream import StreamText
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol import events as ev
from omni_tui.protocol.events import CallState, ContentPart, TurnStatus
from omni_tui.protocol.offers import AttachedResource
from omni_tui.protocol.tasks import CallTask, TaskProgress

CallStage = Literal["proposed"] | CallState
NoticeLevel = Literal["info", "warning", "error"]


@dataclass(slots=True)
class Item:
    """One thing in the transcript. `hidden` takes no room; `folded` shows its beginning only."""

    ts: float = 0.0
    hidden: bool = False
    folded: bool = True
    agent: str = "root"


@dataclass(slots=True)
class UserItem(Item):
    """What the person said, and which resources went with it."""

    text: str = ""
    attachments: tuple[AttachedResource, ...] = ()


@dataclass(slots=True)
class TextItem(Item):
    """A thought or an answer. While `stream` is there it is still arriving."""

    kind: Literal["thought", "answer"] = "answer"
    turn: str = ""
    text: str = ""
    partial: bool = False
    label: str = ""
    stream: StreamText | None = None

    @property
    def source(self) -> str:
        """The text so far."""
        return self.stream.text if self.stream is not None else self.text


@dataclass(slots=True)
class CallItem(Item):
    """A call and what became of it. `arguments` is the engine's safe preview of them (pretty JSON)."""

    call: str = ""
    turn: str = ""
    server: str = ""
    tool: str = ""
    arguments: str = ""
    size: int = 0
    origin: str = "agent"
    risk: str = "unknown"
    state: CallStage = "proposed"
    reason: str = ""
    feedback: str = ""
    decider: str = ""
    attempt: int = 1
    edited: bool = False
    started: float = 0.0
    elapsed_ms: float = 0.0
    progress: float | None = None
    total: float | None = None
    message: str = ""
    parts: tuple[ContentPart, ...] = ()
    result_size: int = 0
    cached_s: float | None = None
    """How old its result is, where that came from the cache."""
    fallback: str = ""

    @property
    def running(self) -> bool:
        """Whether an answer of the server is awaited."""
        return self.state == "dispatching"

    @property
    def waiting(self) -> bool:
        """Whether the person has to decide."""
        return self.state in ("pending", "held")

    @property
    def cut(self) -> bool:
        """Whether the engine sent only the beginning of the result."""
        return any(part.truncated for part in self.parts)


@dataclass(slots=True)
class NoticeItem(Item):
    """Something the person should know. Lines of `more` follow it, one each."""

    level: NoticeLevel = "info"
    what: str = ""
    why: str = ""
    todo: str = ""
    more: tuple[str, ...] = ()


@dataclass(slots=True)
class EndItem(Item):
    """A turn that did not end as it should."""

    status: TurnStatus = "done"
    reason: str = ""
    todo: str = ""


@dataclass(slots=True)
class RetryItem(Item):
    """A request to the model that will be sent again; `due` is Unix time."""

    turn: str = ""
    attempt: int = 0
    of: int = 0
    due: float = 0.0
    reason: str = ""


AnyItem = UserItem | TextItem | CallItem | NoticeItem | EndItem | RetryItem


@dataclass(slots=True)
class Fold:
    """The transcript's items and which of them changed since `take_changes`."""

    items: list[AnyItem] = field(default_factory=list)
    turn: str = ""
    """The running turn, "" if none."""
    since: float = 0.0
    mode: Mode | None = None
    model: str = ""
    running: set[int] = field(default_factory=set)
    """Indexes of calls that run right now."""
    waiting: set[int] = field(default_factory=set)
    """Indexes of calls that wait for the person."""
    retrying: int | None = None
    _changed: set[int] = field(default_factory=set)
    _at: dict[str, int] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)

    def apply(self, event: AnyEvent) -> bool:
        """Take one event into account; return whether it is shown. A journalled event counts once."""
        handler = _HANDLERS.get(type(event))
        if handler is None:
            return False
        if event.seq:
            if event.seq in self._seen:
                return False
            self._seen.add(event.seq)
        handler(self, event)
        return True

    def take_changes(self) -> set[int]:
        """Return the indexes of items that are new or changed, and forget them."""
        changed, self._changed = self._changed, set()
        return changed

    def touch(self, index: int) -> None:
        """Note that an item looks different now."""
        self._changed.add(index)

    def find_call(self, call: str) -> int | None:
        """Return the index of a call."""
        return self._at.get(f"call:{call}")

    def last_answer(self) -> TextItem | None:
        """Return the last answer that has any text."""
        for item in reversed(self.items):
            if isinstance(item, TextItem) and item.kind == "answer" and item.source:
                return item
        return None

    # --- what the person and the agent say

    def _user(self, event: ev.UserMessage) -> None:
        self._add(UserItem(ts=event.ts, text=event.text, attachments=event.attachments))

    def _started(self, event: ev.TurnStarted) -> None:
        if event.agent == "root":
            self.turn, self.since = event.turn, event.ts

    def _delta(self, event: ev.ThoughtDelta | ev.AnswerDelta) -> None:
        self._calm()
        kind: Literal["thought", "answer"] = "thought" if isinstance(event, ev.ThoughtDelta) else "answer"
        key = f"{kind}:{event.message}"
        index = self._at.get(key)
        if index is None:
            item = TextItem(ts=event.ts, kind=kind, turn=event.turn, stream=StreamText())
            index = self._add(item, key)
            self._open.add(index)
        else:
            found = self.items[index]
            if not isinstance(found, TextItem) or found.stream is None:
                return  # late: the whole text is here already
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
        self._calm()
        item.ts, item.turn, item.agent = event.ts, event.turn, event.agent
        item.hidden = not event.text.strip()
        key = f"{kind}:{event.message}"
        index = self._at.get(key)
        if index is None:
            self._add(item, key)
            return
        item.folded = self.items[index].folded
        self.items[index] = item
        self._open.discard(index)
        self._changed.add(index)

    def _retry(self, event: ev.Retrying) -> None:
        for index in self._streams(event.turn):  # it will be said again from its beginning
            item = self.items[index]
            if isinstance(item, TextItem) and item.stream is not None:
                item.stream.clear()
                item.hidden = True
                self._changed.add(index)
        item = RetryItem(
            ts=event.ts, turn=event.turn, attempt=event.attempt, of=event.of, reason=event.reason
        )
        item.due = event.ts + event.delay_s
        if self.retrying is None:
            self.retrying = self._add(item)
        else:
            self.items[self.retrying] = item
            self._changed.add(self.retrying)

    def _calm(self) -> None:
        """Whatever was to be tried again has worked, or is over."""
        if self.retrying is not None:
            self.items[self.retrying].hidden = True
            self._changed.add(self.retrying)
            self.retrying = None

    def _ended(self, event: ev.TurnEnded) -> None:
        self._calm()
        if event.turn == self.turn:
            self.turn = ""
        for index in self._streams(event.turn):
            item = self.items[index]
            if isinstance(item, TextItem) and item.stream is not None:
                item.text, item.partial, item.stream = item.stream.text, True, None
                self._changed.add(index)
            self._open.discard(index)
        if event.status != "done":
            self._add(EndItem(ts=event.ts, status=event.status, reason=event.reason, todo=event.todo))

    def _streams(self, turn: str) -> list[int]:
        return [i for i in self._open if (item := self.items[i]) and getattr(item, "turn", None) == turn]

    # --- calls

    def _proposed(self, event: ev.CallProposed) -> None:
        self._calm()
        item = CallItem(
            ts=event.ts,
            call=event.call,
            turn=event.turn,
            server=event.server,
            tool=event.label,
            arguments=event.arguments,
            size=event.size,
            origin=event.origin,
            risk=event.risk,
            agent=event.agent,
            fallback=event.fallback,
        )
        if self.find_call(event.call) is None:
            self._add(item, f"call:{event.call}")

    def _approval(self, event: ev.ApprovalRequested) -> None:
        index = self.find_call(event.call)
        if index is None:
            item = CallItem(
                ts=event.ts, call=event.call, turn=event.turn, server=event.server, risk=event.risk
            )
            item.origin, item.agent = event.origin, event.agent
            index = self._add(item, f"call:{event.call}")
        call = self._call(index)
        call.tool, call.arguments, call.size = event.label, event.arguments, event.size
        call.edited = call.edited or event.edited
        call.reason = ""
        self._state(index, "held" if event.held else "pending")

    def _moved(self, event: ev.CallChanged) -> None:
        index = self.find_call(event.call)
        if index is None:
            return
        call = self._call(index)
        call.reason, call.decider, call.attempt = event.reason, event.decider or call.decider, event.attempt
        call.feedback = event.feedback or call.feedback
        if event.state == "dispatching":
            call.started, call.progress, call.message = event.ts, None, ""
        self._state(index, event.state)

    def _progress(self, event: ev.CallProgress) -> None:
        index = self.find_call(event.call)
        if index is not None and self._call(index).running:
            call = self._call(index)
            call.progress, call.total, call.message = event.progress, event.total, event.message
            self._changed.add(index)

    def _ahead(self, event: ev.AttemptAhead) -> None:
        index = self.find_call(event.call)
        if index is not None and self._call(index).running:
            call = self._call(index)
            call.progress = None
            call.message = (
                f"try {event.attempt} of {event.of} in {event.delay_s:.1f} s, after: {event.reason}"
            )
            self._changed.add(index)

    def _task(self, event: CallTask | TaskProgress) -> None:
        index = self.find_call(event.call)
        if index is not None and self._call(index).running:
            call = self._call(index)
            call.progress, call.message = None, task_words(event)
            self._changed.add(index)

    def _finished(self, event: ev.CallFinished) -> None:
        index = self.find_call(event.call)
        if index is None:
            return
        call = self._call(index)
        call.parts, call.elapsed_ms, call.result_size = event.parts, event.elapsed_ms, event.size
        call.reason, call.attempt, call.cached_s = event.reason, event.attempt, event.cached_s
        self._state(index, event.state)

    def _state(self, index: int, state: CallStage) -> None:
        call = self._call(index)
        call.state = state
        (self.running.add if call.running else self.running.discard)(index)
        (self.waiting.add if call.waiting else self.waiting.discard)(index)
        self._changed.add(index)

    def _call(self, index: int) -> CallItem:
        item = self.items[index]
        assert isinstance(item, CallItem)
        return item

    # --- the rest

    def _notice(self, event: ev.Notice) -> None:
        self._add(
            NoticeItem(ts=event.ts, level=event.level, what=event.what, why=event.why, todo=event.todo)
        )

    def _problems(self, event: ev.ConfigProblems) -> None:
        if event.problems:
            many = "mistakes" if len(event.problems) > 1 else "mistake"
            more = tuple(": ".join(filter(None, (p.where, p.what, p.todo))) for p in event.problems)
            what = (
                f"The configuration has {len(event.problems)} {many}; until then every call is asked about."
            )
            self._add(NoticeItem(ts=event.ts, level="warning", what=what, more=more))

    def _opened(self, event: ev.SessionOpened) -> None:
        self.mode, self.model = event.mode, event.model

    def _mode(self, event: ev.ModeChanged) -> None:
        if event.mode != self.mode:
            self._add(NoticeItem(ts=event.ts, what=f"mode: {event.mode}", why=event.covers))
        self.mode = event.mode

    def _model(self, event: ev.ModelChanged) -> None:
        if event.name != self.model:
            self._add(NoticeItem(ts=event.ts, what=f"model: {event.name}", why=event.label))
        self.model = event.name

    def _add(self, item: AnyItem, key: str = "") -> int:
        index = len(self.items)
        self.items.append(item)
        self._changed.add(index)
        if key:
            self._at[key] = index
        return index


_HANDLERS: dict[type, Callable[..., None]] = {
    ev.UserMessage: Fold._user,
    ev.TurnStarted: Fold._started,
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
    ev.AttemptAhead: Fold._ahead,
    TaskProgress: Fold._task,
    ev.CallFinished: Fold._finished,
    ev.Notice: Fold._notice,
    ev.ConfigProblems: Fold._problems,
    ev.SessionOpened: Fold._opened,
    ev.ModeChanged: Fold._mode,
    ev.ModelChanged: Fold._model,
}
