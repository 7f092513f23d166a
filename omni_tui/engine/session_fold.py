"""What the events of a session come to: everything that opening it again needs to know.

It grows with what is open, not with the length of the session, and is saved as a checkpoint
(`memory/checkpoint.py`). The words of the conversation are no part of it: it knows from which event on they
are to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from omni_tui.memory import Checkpoint
from omni_tui.models.budget import UsageTotal
from omni_tui.observability.session_counts import SessionCounts
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol.calls import ApprovalRequested, AttemptFailed, CallDeferred, CallEdited, CallTask
from omni_tui.protocol.context import ContextSummarised, SystemChanged
from omni_tui.protocol.events import (
    CallChanged,
    CallFinished,
    CallProposed,
    ModeChanged,
    ModelChanged,
    ModelMessage,
    SessionBranched,
    SessionOpened,
    SessionRewound,
    SessionTagged,
    SessionTitled,
    Steered,
    TurnEnded,
    TurnStarted,
    TurnStatus,
    Usage,
    UsageChanged,
    UserMessage,
)
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened

_FORMAT = 1
"""Raise it when the same events come to something else: older checkpoints are left alone then."""
KEPT_BYTES, KEPT_MESSAGES = 4_000_000, 10_000
"""Of a longer conversation at least so much is read again: as much as the largest windows hold."""
_SEGMENT_BYTES, _SEGMENT_MESSAGES = 64_000, 250
_LONG_SEGMENT = 4
"""Segments begin with messages of the person, unless one gets so many times longer."""
_KEPT_SUMMARIES = 4
_ENDS = frozenset(("rejected", "denied", "withheld", "expired", "cancelled", "uncertain", "cached"))
"""States of a call that end it without a result. A failed one may be tried again, but not by itself."""
_TOLD = 6
_SAMPLING = "a-"
"""How the ids of server requests begin, which stand for a turn where a model answers a server."""


class OpenTurn(msgspec.Struct):
    """A turn that has not ended, or has calls that have not. `seq` is the number of its first event."""

    seq: int
    mode: Mode
    steps: int = 0
    used: Usage = Usage()
    total: UsageTotal = msgspec.field(default_factory=UsageTotal)
    over: bool = False


class OpenCall(msgspec.Struct):
    """A call that has not ended, its turn, and the numbers of the last events that tell of it."""

    attempt: int = 1
    turn: str = ""
    told: list[int] = msgspec.field(default_factory=list)

    def tell(self, seq: int) -> None:
        """Note an event that tells of it; the first one is always kept."""
        self.told.append(seq)
        if len(self.told) > _TOLD:
            del self.told[1]


class _Segment(msgspec.Struct, array_like=True):
    """A part of the conversation: the number of its first event, its length."""

    seq: int
    size: int = 0
    messages: int = 0


class SessionFold(msgspec.Struct):
    """The state of a session after event `seq`. `take` its events once each, in order.

    `mode`, `model` and `system` are None while nothing was set. `mode_seq` is the number of the event that
    set the mode. `ended`: how the last turn ended. `parked`: the last turn was parked.
    """

    seq: int = 0
    mode: Mode | None = None
    mode_seq: int = 0
    model: str | None = None
    system: str | None = None
    titled: bool = False
    unfinished: str = ""
    """The turn that runs, or was cut off."""
    ended: TurnStatus | None = None
    parked: bool = False
    queued: dict[str, str] = msgspec.field(default_factory=dict)
    """Messages that no turn has taken yet, as a model gets them after a restart, by turn."""
    turns: dict[str, OpenTurn] = msgspec.field(default_factory=dict)
    calls: dict[str, OpenCall] = msgspec.field(default_factory=dict)
    cut: dict[str, None] = msgspec.field(default_factory=dict)
    """Calls of which an attempt may have run before the last one."""
    fallbacks: dict[str, str] = msgspec.field(default_factory=dict)
    """Calls that stand in for another, and the words that say so."""
    server_requests: dict[str, int] = msgspec.field(default_factory=dict)
    """The server requests that are open, and the number of the event that showed each last."""
    told_settings: dict[str, int] = msgspec.field(default_factory=dict)
    """The numbers of the last events that set the session, by their type."""
    sampled: int = 0
    """Tokens that were used to answer servers."""
    rules: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)
    """The session's own rules: the number of the event that added each, and its table."""
    attached_from: dict[str, None] = msgspec.field(default_factory=dict)
    """The servers whose resources were attached to messages."""
    quotes_prompts: bool = False
    """Whether a message has passages of servers' prompts."""
    spent: UsageTotal = msgspec.field(default_factory=UsageTotal)
    counts: SessionCounts = msgspec.field(default_factory=SessionCounts)
    summaries: list[ContextSummarised] = msgspec.field(default_factory=list)
    """The last ones of the root agent, and those of the agents of open turns."""
    left_out: int = 0
    """How many messages of the conversation came before those that are read again."""
    left_summary: ContextSummarised | None = None
    """The last summary of the conversation when they were left out."""
    segments: list[_Segment] = msgspec.field(default_factory=list)

    def take(self, event: AnyEvent) -> None:
        """Take the next event."""
        self.seq = event.seq
        self.counts.take(event)
        if isinstance(event, _SETTINGS):
            self.told_settings[type(event).__name__] = event.seq
        takes = _TAKES.get(type(event))
        if takes is not None:
            takes(self, event)

    def take_all(self, events: Iterable[AnyEvent]) -> None:
        """Take several events."""
        for event in events:
            self.take(event)

    @property
    def begun(self) -> bool:
        """Whether there is any event."""
        return self.seq > 0

    @property
    def conversation_since(self) -> int:
        """The number of the first event whose message is read again."""
        return self.segments[0].seq if self.segments else self.seq + 1

    def counting(self, before: int) -> list[int]:
        """Return the numbers of earlier events that still count for who shows the session."""
        found = {*self.told_settings.values(), *self.server_requests.values()}
        found.update(seq for call in self.calls.values() for seq in call.told)
        return sorted(seq for seq in found if 0 < seq < before)

    def turn_left(self) -> str:
        """Return the turn to continue: the one that was cut off, else the first that waits; "" if none."""
        return self.unfinished or next(iter(self.queued), "")

    def checkpoint(self) -> Checkpoint:
        """Return this state to be saved."""
        return Checkpoint(self.seq, _encode((_FORMAT, self)))

    @classmethod
    def restored(cls, saved: Checkpoint | None) -> SessionFold:
        """Return the state of a checkpoint; an empty one if there is none, or none that can be used."""
        if saved is None:
            return cls()
        try:
            made, fold = _decode(saved.body)
        except (msgspec.DecodeError, ValueError):
            return cls()
        return fold if (made, fold.seq) == (_FORMAT, saved.seq) else cls()

    # --- settings -------------------------------------------------------------------------------

    def _opened(self, event: SessionOpened) -> None:
        self.mode, self.mode_seq, self.model = event.mode, event.seq, event.model

    def _mode_changed(self, event: ModeChanged) -> None:
        self.mode, self.mode_seq = event.mode, event.seq

    def _model_changed(self, event: ModelChanged) -> None:
        self.model = event.name

    def _system_changed(self, event: SystemChanged) -> None:
        self.system = event.words

    def _titled(self, _event: SessionTitled) -> None:
        self.titled = True

    def _rule_added(self, event: RuleAdded) -> None:
        if event.scope == "session":
            self.rules[event.id] = event.seq, event.rule_toml

    def _rule_revoked(self, event: RuleRevoked) -> None:
        if event.scope == "session":
            self.rules.pop(event.id, None)

    # --- turns ----------------------------------------------------------------------------------

    def _said(self, event: UserMessage) -> None:
        if event.loaded:  # it began no turn here
            return
        self.queued[event.turn] = retold(event)
        # Journals of earlier versions have the mode in the mode changes.
        self._turn(event.turn, event.seq).mode = event.mode or self.mode or "chat"
        self.attached_from |= dict.fromkeys(str(each.server) for each in event.attachments)
        self.quotes_prompts = self.quotes_prompts or bool(event.from_prompts)
        self.parked = False

    def _started(self, event: TurnStarted) -> None:
        self.queued.pop(event.turn, None)
        if self.unfinished != event.turn:
            self._turn_over(self.unfinished)  # nobody can continue it any more
        self.unfinished = event.turn
        turn = self._turn(event.turn, event.seq)
        if event.agent == "root":
            turn.mode = event.mode
        self.parked = False

    def _steered(self, event: Steered) -> None:
        self.queued.pop(event.by, None)
        if event.by != self.unfinished:
            self._turn_over(event.by)  # its message is part of the other turn

    def _ended(self, event: TurnEnded) -> None:
        self.parked = event.status == "parked"
        if self.parked:
            return
        self.queued.pop(event.turn, None)
        self.ended = event.status
        if self.unfinished == event.turn:
            self.unfinished = ""
        self._turn_over(event.turn)

    def _turn(self, turn: str, seq: int) -> OpenTurn:
        if turn not in self.turns:
            self.turns[turn] = OpenTurn(seq, self.mode or "chat")
        return self.turns[turn]

    def _turn_over(self, turn: str) -> None:
        if turn in self.turns:
            self.turns[turn].over = True
            self._forget_turn(turn)

    def _forget_turn(self, turn: str) -> None:
        """Forget a turn that is over, once none of its calls is open."""
        found = self.turns.get(turn)
        if found is None or not found.over or any(call.turn == turn for call in self.calls.values()):
            return
        del self.turns[turn]
        self.summaries = [each for each in self.summaries if each.agent == "root" or each.turn != turn]

    # --- the conversation -----------------------------------------------------------------------

    def _message(self, event: ModelMessage) -> None:
        if event.agent != "root":
            return
        if event.turn in self.turns:
            self.turns[event.turn].steps += event.role == "assistant"
        if self._begins_segment(event.role):
            self._leave_out()
            self.segments.append(_Segment(event.seq))
        last = self.segments[-1]
        last.size += len(event.body_json)
        last.messages += 1

    def _rewound(self, event: SessionRewound) -> None:
        """Forget the last messages; nothing of their turns can be continued."""
        self._turn_over(self.unfinished)
        for turn in self.queued:
            self._turn_over(turn)
        self.unfinished, self.ended, self.queued = "", None, {}
        left = event.messages
        while left > 0 and self.segments:
            last = self.segments[-1]
            if last.messages > left:
                last.messages -= left  # its size counts what is forgotten too: that does no harm
                return
            left -= last.messages
            del self.segments[-1]
        self.left_out = max(0, self.left_out - left)

    def _begins_segment(self, role: str) -> bool:
        if not self.segments:
            return True
        last, least = self.segments[-1], 1
        if role != "user":
            least = _LONG_SEGMENT
        full = last.size >= least * _SEGMENT_BYTES or last.messages >= least * _SEGMENT_MESSAGES
        return full and role != "tool"  # a result stays with its call

    def _leave_out(self) -> None:
        """Leave out the beginning of a long conversation, half of it at once."""
        size = sum(each.size for each in self.segments)
        messages = sum(each.messages for each in self.segments)
        if size < 2 * KEPT_BYTES and messages < 2 * KEPT_MESSAGES:
            return
        while len(self.segments) > 1:
            first = self.segments[0]
            size, messages = size - first.size, messages - first.messages
            if size < KEPT_BYTES and messages < KEPT_MESSAGES:
                break
            self.left_out += first.messages
            del self.segments[0]
        of_root = [each for each in self.summaries if each.agent == "root"]
        self.left_summary = of_root[-1] if of_root else self.left_summary

    def _summarised(self, event: ContextSummarised) -> None:
        self.summaries.append(event)
        of_root = [each for each in self.summaries if each.agent == "root"]
        if len(of_root) > _KEPT_SUMMARIES:
            self.summaries.remove(of_root[0])

    def _used(self, event: UsageChanged) -> None:
        self.spent.add(event.usage)
        if event.turn.startswith(_SAMPLING):
            self.sampled += event.usage.input + event.usage.output
        elif (turn := self.turns.get(event.turn)) is not None:
            turn.used = added(turn.used, event.usage)
            turn.total.add(event.usage)

    # --- what waits -----------------------------------------------------------------------------

    def _proposed(self, event: CallProposed) -> None:
        self.calls[event.call] = OpenCall(1, event.turn, [event.seq])
        if event.fallback:
            self.fallbacks[event.call] = event.fallback

    def _changed(self, event: CallChanged) -> None:
        if event.state not in _ENDS:
            call = self.calls.setdefault(event.call, OpenCall())
            call.attempt = event.attempt
            call.tell(event.seq)
            return
        if event.state != "uncertain":  # which may still turn out to be something else
            self.cut.pop(event.call, None)
            self.fallbacks.pop(event.call, None)
        self._call_over(event.call)

    def _shown(self, event: ApprovalRequested | CallEdited | CallDeferred | CallTask) -> None:
        if (call := self.calls.get(event.call)) is not None:
            call.tell(event.seq)

    def _finished(self, event: CallFinished) -> None:
        if event.state == "succeeded":
            self.cut.pop(event.call, None)
            self.fallbacks.pop(event.call, None)
        self._call_over(event.call)

    def _call_over(self, call: str) -> None:
        if (found := self.calls.pop(call, None)) is not None:
            self._forget_turn(found.turn)

    def _attempt_failed(self, event: AttemptFailed) -> None:
        if event.cut:
            self.cut[event.call] = None

    def _asked(self, event: ServerRequestOpened) -> None:
        self.server_requests[event.ask] = event.seq

    def _answered(self, event: ServerRequestClosed) -> None:
        self.server_requests.pop(event.ask, None)


_SETTINGS = (
    SessionOpened, SessionTitled, SessionTagged, SessionBranched, ModeChanged, ModelChanged, SystemChanged
)  # fmt: skip
_TAKES: dict[type[AnyEvent], Callable[[SessionFold, Any], None]] = {
    SessionOpened: SessionFold._opened,
    ModeChanged: SessionFold._mode_changed,
    ModelChanged: SessionFold._model_changed,
    SystemChanged: SessionFold._system_changed,
    SessionTitled: SessionFold._titled,
    RuleAdded: SessionFold._rule_added,
    RuleRevoked: SessionFold._rule_revoked,
    UserMessage: SessionFold._said,
    TurnStarted: SessionFold._started,
    Steered: SessionFold._steered,
    TurnEnded: SessionFold._ended,
    ModelMessage: SessionFold._message,
    SessionRewound: SessionFold._rewound,
    ContextSummarised: SessionFold._summarised,
    UsageChanged: SessionFold._used,
    CallProposed: SessionFold._proposed,
    CallChanged: SessionFold._changed,
    CallFinished: SessionFold._finished,
    ApprovalRequested: SessionFold._shown,
    CallEdited: SessionFold._shown,
    CallDeferred: SessionFold._shown,
    CallTask: SessionFold._shown,
    AttemptFailed: SessionFold._attempt_failed,
    ServerRequestOpened: SessionFold._asked,
    ServerRequestClosed: SessionFold._answered,
}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, SessionFold]).decode


def added(so_far: Usage, more: Usage) -> Usage:
    """Return two usages together; requests without a known price count as free."""
    cost = None if so_far.cost is None and more.cost is None else (so_far.cost or 0) + (more.cost or 0)
    return Usage(
        input=so_far.input + more.input,
        output=so_far.output + more.output,
        cached=so_far.cached + more.cached,
        cost=cost,
        estimated=so_far.estimated or more.estimated,
    )


def retold(event: UserMessage) -> str:
    """Return a message as the model gets it that had not got it before the app ended.

    Attachments are journalled only when the model gets them, so they are missing here, and it says so.
    """
    if not event.attachments:
        return event.words
    names = ", ".join(f"{each.server} › {each.label}" for each in event.attachments)
    lost = f"attached to this message, and lost when the app ended before it was sent: {names}"
    return f"{event.words}\n\n[Omni TUI: {lost}. Read it again if you can, or ask for it.]"
