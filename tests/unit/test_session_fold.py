"""What a session's events come to is the same from its checkpoint, from its journal, and as it happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.engine import session_fold
from omni_tui.engine.conversation import conversation_from
from omni_tui.engine.session_fold import SessionFold
from omni_tui.memory import Checkpoint
from omni_tui.protocol import AnyEvent, JsonText, Mode, SafeText
from omni_tui.protocol import events as e
from omni_tui.protocol.calls import AttemptFailed
from omni_tui.protocol.context import ContextSummarised, SystemChanged
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from omni_tui.protocol.values import CallState, TurnStatus
from tests.whole_journal import fold_of, whole_conversation

TURNS = st.sampled_from(["t1", "t2", "t3", "a-1"])
CALLS = st.sampled_from(["c1", "c2", "c3"])
AGENTS = st.sampled_from(["root", "root", "root", "root/1"])
MODES: st.SearchStrategy[Mode] = st.sampled_from(get_args(Mode))
NAMES = st.sampled_from([SafeText("some/model"), SafeText("other")])
WORDS = st.sampled_from([SafeText("one"), SafeText("two words")])
ROLES = st.sampled_from(["user", "assistant", "tool"])
ENDS = st.sampled_from(["rejected", "denied", "withheld", "expired", "cancelled", "uncertain", "cached"])
COUNTS = st.integers(0, 50)
COSTS = st.sampled_from([None, 0.25, 0.5])


def _body(role: str, text: str) -> JsonText:
    return JsonText(msgspec.json.encode({"role": role, "text": text}).decode())


EVENTS: st.SearchStrategy[AnyEvent] = st.one_of(
    st.builds(e.UserMessage, turn=TURNS, text=WORDS, mode=st.none() | MODES),
    st.builds(e.TurnStarted, turn=TURNS, mode=MODES, model=NAMES, agent=AGENTS),
    st.builds(e.TurnEnded, turn=TURNS, status=st.sampled_from(get_args(TurnStatus))),
    st.builds(e.Steered, turn=TURNS, by=TURNS),
    st.builds(e.SessionRewound, turn=TURNS, messages=st.integers(0, 4)),
    st.builds(
        lambda turn, role, text, agent: e.ModelMessage(
            turn=turn, role=role, body_json=_body(role, text), agent=agent
        ),
        TURNS,
        ROLES,
        WORDS,
        AGENTS,
    ),
    st.builds(
        e.UsageChanged,
        turn=TURNS,
        usage=st.builds(e.Usage, input=COUNTS, output=COUNTS, cost=COSTS, estimated=st.booleans()),
        model=st.just(SafeText("")) | NAMES,
    ),
    st.builds(e.Answer, turn=TURNS, message=CALLS, text=WORDS),
    st.builds(
        e.CallProposed,
        call=CALLS,
        server=st.just("demo"),
        tool=st.sampled_from(["read", "write"]),
        label=WORDS,
        arguments=WORDS,
        size=COUNTS,
        digest=st.just("d"),
        origin=st.just("agent"),
        turn=TURNS,
        risk=st.just("read"),
        fallback=st.just(SafeText("")) | WORDS,
    ),
    st.builds(
        e.CallChanged,
        call=CALLS,
        state=st.sampled_from(get_args(CallState)),
        decider=st.just("user"),
        attempt=st.integers(1, 3),
    ),
    st.builds(
        e.CallFinished,
        call=CALLS,
        state=st.sampled_from(["succeeded", "failed", "result_rejected"]),
        parts=st.just(()),
        elapsed_ms=st.sampled_from([1.0, 2.5]),
        size=COUNTS,
        cached_s=st.sampled_from([None, None, 3.0]),
    ),
    st.builds(
        AttemptFailed,
        call=CALLS,
        attempt=st.just(1),
        of=st.just(3),
        cut=st.booleans(),
        elapsed_ms=st.just(1.0),
    ),
    st.builds(e.SessionOpened, title=WORDS, mode=MODES, model=NAMES),
    st.builds(e.SessionTitled, title=WORDS),
    st.builds(e.ModeChanged, mode=MODES, covers=WORDS),
    st.builds(e.ModelChanged, name=NAMES, label=WORDS),
    st.builds(SystemChanged, text=WORDS),
    st.builds(
        ContextSummarised,
        turn=TURNS,
        upto=COUNTS,
        mark=st.just("m"),
        text=WORDS,
        by_model=st.booleans(),
        agent=AGENTS,
    ),
    st.builds(
        RuleAdded, id=CALLS, scope=st.sampled_from(["session", "user"]), sentence=WORDS, rule_toml=WORDS
    ),
    st.builds(RuleRevoked, id=CALLS, scope=st.sampled_from(["session", "user"])),
)


def numbered(events: Sequence[AnyEvent], first: int = 1) -> list[AnyEvent]:
    return [msgspec.structs.replace(event, seq=number) for number, event in enumerate(events, first)]


HISTORIES = st.lists(EVENTS, max_size=40).map(numbered)


@given(HISTORIES)
def test_from_a_checkpoint_and_the_rest_it_is_the_same_at_every_cut(events: list[AnyEvent]) -> None:
    whole = fold_of(events)
    for cut in range(len(events) + 1):
        fold = SessionFold.restored(fold_of(events[:cut]).checkpoint())
        assert fold.seq == cut
        fold.take_all(events[cut:])
        assert fold == whole


@given(HISTORIES)
def test_what_is_left_open_is_what_the_whole_journal_tells(events: list[AnyEvent]) -> None:
    fold, reference = fold_of(events), _Reference(events)
    assert (fold.unfinished, fold.queued, fold.ended) == (
        reference.unfinished,
        reference.queued,
        reference.ended,
    )
    assert fold.parked == reference.parked
    assert {call: each.attempt for call, each in fold.calls.items()} == reference.calls
    assert set(fold.rules) == reference.rules
    assert fold.spent.tokens == reference.tokens
    assert reference.waiting <= fold.turns.keys()


@given(HISTORIES)
def test_open_turns_have_what_the_whole_journal_tells_of_them(events: list[AnyEvent]) -> None:
    again, whole, fold = conversation_from(events), whole_conversation(events), fold_of(events)
    assert again.messages == whole.messages
    for turn, left in fold.turns.items():
        begun = left.seq - 1  # a turn of the same id may have ended before
        since = whole_conversation(events[begun:])
        assert left.steps == since.steps[turn]
        assert left.mode == whole.modes.get(turn, left.mode)
        if not turn.startswith("a-"):
            assert left.used == since.used.get(turn, e.Usage())


class _Reference:
    """What is open at the end of a journal, worked out from its end."""

    def __init__(self, events: Sequence[AnyEvent]) -> None:
        self.queued: dict[str, str] = {}
        self.unfinished = ""
        self.ended: TurnStatus | None = None
        self.calls: dict[str, int] = {}
        self.rules: set[str] = set()
        self.tokens = 0
        for event in events:
            self._turn(event)
            self._call(event)
            if isinstance(event, RuleAdded | RuleRevoked) and event.scope == "session":
                (self.rules.add if isinstance(event, RuleAdded) else self.rules.discard)(event.id)
            if isinstance(event, e.UsageChanged):
                self.tokens += event.usage.input + event.usage.output
        told = [each for each in events if isinstance(each, e.TurnEnded | e.TurnStarted | e.UserMessage)]
        self.parked = bool(told) and isinstance(told[-1], e.TurnEnded) and told[-1].status == "parked"
        self.waiting = {*self.queued, self.unfinished} - {""}

    def _turn(self, event: AnyEvent) -> None:
        if isinstance(event, e.SessionRewound):
            self.queued, self.unfinished, self.ended = {}, "", None
        elif isinstance(event, e.UserMessage):
            self.queued[event.turn] = event.text
        elif isinstance(event, e.TurnStarted):
            self.queued.pop(event.turn, None)
            self.unfinished = event.turn
        elif isinstance(event, e.Steered):
            self.queued.pop(event.by, None)
        elif isinstance(event, e.TurnEnded) and event.status != "parked":
            self.queued.pop(event.turn, None)
            self.ended = event.status
            self.unfinished = "" if self.unfinished == event.turn else self.unfinished

    def _call(self, event: AnyEvent) -> None:
        if isinstance(event, e.CallProposed):
            self.calls[event.call] = 1
        elif isinstance(event, e.CallFinished) or (
            isinstance(event, e.CallChanged) and event.state in session_fold._ENDS
        ):
            self.calls.pop(event.call, None)
        elif isinstance(event, e.CallChanged):
            self.calls[event.call] = event.attempt


@given(st.lists(st.tuples(ROLES, st.integers(0, 300)), max_size=80))
def test_of_a_long_conversation_the_end_is_read_again(messages: list[tuple[str, int]]) -> None:
    events = numbered(
        [e.ModelMessage(turn="t", role=role, body_json=JsonText("x" * size)) for role, size in messages]
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("KEPT_BYTES", 2_000), ("KEPT_MESSAGES", 20), ("_SEGMENT_BYTES", 200), ("_SEGMENT_MESSAGES", 4)
        ):  # fmt: skip
            patch.setattr(session_fold, name, value)
        fold = fold_of(events)
    kept = [event for event in events if event.seq >= fold.conversation_since]
    assert fold.left_out + len(kept) == len(events)
    if fold.left_out:
        size = sum(len(event.body_json) for event in kept if isinstance(event, e.ModelMessage))
        assert size >= 2_000 or len(kept) >= 20
        assert isinstance(kept[0], e.ModelMessage)
        assert kept[0].role != "tool"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xff",
        msgspec.msgpack.encode((session_fold._FORMAT, {"seq": "5"})),
        msgspec.msgpack.encode((session_fold._FORMAT + 1, SessionFold(seq=5))),
        msgspec.msgpack.encode((session_fold._FORMAT, SessionFold(seq=4))),
    ],
)
def test_what_is_no_state_is_no_beginning(body: bytes) -> None:
    assert SessionFold.restored(Checkpoint(5, body)) == SessionFold()
    assert SessionFold.restored(None) == SessionFold()
