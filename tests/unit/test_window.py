"""The window: what is sent is always valid, whatever the history; what is known is not counted again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_tui.agents.request_builder import RequestBuilder
from omni_tui.agents.turn_writer import TurnWriter
from omni_tui.models.base import Message, ModelRequest, ToolCall, ToolSpec
from omni_tui.models.message_history import (
    FROM_SERVER,
    ClosedHistory,
    arguments_of,
    estimate,
    missing_result,
    read_result,
    shrunk,
    tool_message,
)
from omni_tui.models.summary import LONGEST, digest, summary_message, summary_request
from omni_tui.models.window import ContextWindowExceeded, FittedRequest, Window
from tests.engine.agent_host import QUICK, FakeHost, spec
from tests.lengths import examples
from tests.scripted_model import ScriptedModel, close_history, reply

SYSTEM = Message(role="system", text="You work in Omni TUI. " * 10)


class Counting(ScriptedModel):
    """A model that never answers, and notes what it was asked to count."""

    def __init__(self, window: int | None = None, name: str = "counting") -> None:
        super().__init__(name=name, window=window)
        self.counted = 0

    def count(self, request: ModelRequest) -> int:
        self.counted += len(request.messages) + len(request.tools)
        return estimate(request.messages) + 20 * len(request.tools)


# --- random conversations -----------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "",
        "hi",
        "übermäßig 漢字 🙂",
        "a\u202eb",
        "x" * 300,
        "[image, image/png, 90000 bytes, shown]",
        "\ud800",
    ]
)
ATTACHED = (
    '\n\n<attached_resource id="0123456789ab" about={}>\nfile\n</attached_resource id="0123456789ab">'
)
IDS = st.sampled_from(["c1", "c2", "c3", "call_" + "9" * 60])
RESULTS = st.builds(
    lambda ident, text, times, status, ref: tool_message(
        ToolCall(ident, "demo__read", "{}"), (text or "r") * times, status, limit=16_000, ref=ref
    ),
    IDS,
    WORDS,
    st.sampled_from([1, 3, 200, 3_000]),
    st.sampled_from([*sorted(FROM_SERVER), "rejected", "cancelled", "invalid"]),
    st.sampled_from(["", "c-0123456789ab"]),
)
PERSON = st.builds(
    lambda text, attached: Message(role="user", text=(text or "go on") + (ATTACHED if attached else "")),
    WORDS,
    st.booleans(),
)
ASSISTANT = st.builds(
    lambda text, ids, arguments: Message(
        role="assistant",
        text=text,
        calls=tuple(ToolCall(ident, "demo__read", arguments) for ident in ids),
    ),
    WORDS,
    st.lists(IDS, max_size=4),
    st.sampled_from(["{}", '{"a": 1}', "", "{broken", "[1]", '{"path": "' + "p" * 400 + '"}']),
)
HISTORIES = st.lists(st.one_of(PERSON, ASSISTANT, RESULTS, RESULTS), min_size=1, max_size=40)


def reference(messages: Sequence[Message]) -> list[Message]:
    """Close a history the plain way: for each call, look for its result."""
    out: list[Message] = []
    taken: set[int] = set()

    def result_of(call: ToolCall, at: int) -> Message:
        for index in range(at + 1, len(messages)):
            message = messages[index]
            if any(other.id == call.id for other in message.calls):
                break
            if message.role == "tool" and message.call_id == call.id and index not in taken:
                taken.add(index)
                return message
        return missing_result(call, "uncertain")

    for at, message in enumerate(messages):
        if message.role == "tool" or (
            message.role == "assistant" and not message.calls and not message.text
        ):
            continue
        calls = tuple(
            call if arguments_of(call) is not None else ToolCall(call.id, call.name, "{}")
            for call in message.calls
        )
        out += [
            msgspec.structs.replace(message, calls=calls),
            *(result_of(call, at) for call in message.calls),
        ]
    return out


def is_part_of(sent: Message, original: Message) -> bool:
    """Whether a message is the original, or an excerpt of it."""
    if sent == original:
        return True
    same = (sent.role, sent.call_id, sent.name, sent.ref) == (
        "tool",
        original.call_id,
        original.name,
        original.ref,
    )
    status, text = read_result(sent.text)
    before, whole = read_result(original.text)
    head = text.partition("\n[")[0]
    return (
        same
        and status in (before, "unknown")
        and whole.startswith(head)
        and len(sent.text) < len(original.text)
    )


def assert_valid(request: ModelRequest, history: Sequence[Message]) -> None:
    """Each call has its result right after it, order is kept, nothing is invented."""
    closed = close_history(history)
    body = [m for m in request.messages[1:] if not m.text.startswith("[Omni TUI: the first ")]
    assert len(request.messages) - 1 - len(body) <= 1
    at = 0
    while at < len(body):
        assert body[at].role != "tool", "a result without its call"
        for number, call in enumerate(body[at].calls, at + 1):
            assert (body[number].role, body[number].call_id) == ("tool", call.id)
            assert arguments_of(call) is not None
        at += 1 + len(body[at].calls)
    # What is sent is a subsequence of what there is, each itself or its excerpt.
    left = iter(closed)
    for message in body:
        assert any(is_part_of(message, original) for original in left), "invented, or out of order"
    people = [message for message in closed if message.role == "user"]
    if people:
        assert any(message == people[-1] for message in body), "the person's last message is gone"


def fit(
    window: Window, model: Counting, history: Sequence[Message], tools: Sequence[ToolSpec] = ()
) -> FittedRequest:
    window.update(model, history)
    return window.fit(model, SYSTEM, tools)


def prepare(
    window: Window, model: Counting, history: Sequence[Message], by_model: bool = True
) -> FittedRequest:
    fitted = fit(window, model, history, ())
    if fitted.missing:
        window.summarised(model, digest(fitted.missing), by_model=by_model)
        fitted = fit(window, model, history, ())
        assert not fitted.missing
    return fitted


@given(HISTORIES)
def test_closing_is_what_looking_for_each_result_gives(history: list[Message]) -> None:
    assert close_history(history) == reference(history)


@given(HISTORIES, st.lists(st.integers(0, 40), max_size=5))
def test_closing_as_it_grows_gives_the_same_as_closing_once(
    history: list[Message], cuts: list[int]
) -> None:
    closing = ClosedHistory()
    for cut in sorted(cuts):
        before = list(closing.messages)
        changed = closing.update(history[:cut])
        for place in set(range(len(before))) - set(changed):
            assert closing.messages[place] is before[place]
    closing.update(history)
    assert closing.messages == close_history(history)
    assert closing.rebuilt == 0


@given(HISTORIES, HISTORIES)
def test_closing_another_branch_begins_again(one: list[Message], other: list[Message]) -> None:
    closing = ClosedHistory()
    closing.update(one)
    closing.update(other)
    assert closing.messages == close_history(other)


@settings(max_examples=examples(300))
@given(HISTORIES, st.integers(150, 6_000), st.lists(st.integers(1, 40), max_size=4), st.booleans())
def test_every_request_is_valid_and_within_the_limit(
    history: list[Message], size: int, cuts: list[int], asked_before: bool
) -> None:
    model, window = Counting(size), Window()
    steps = [*sorted(cuts), len(history)] if asked_before else [len(history)]
    for cut in steps:
        part = history[:cut]
        try:
            fitted = prepare(window, model, part)
        except ContextWindowExceeded:
            assert least(part) + estimate([SYSTEM]) > size * 0.6, "it would have fitted"
            return
        request = window.request(SYSTEM, ())
        assert_valid(request, part)
        assert request.messages[0] == SYSTEM
        assert estimate(request.messages) == fitted.total, "the running sums are wrong"
        assert fitted.total <= size
        if estimate([SYSTEM, *close_history(part)]) <= fitted.limit and cut == steps[0]:  # type: ignore[operator]
            assert list(request.messages) == [SYSTEM, *close_history(part)]


def least(history: Sequence[Message]) -> int:
    """Return about what must stay: the person's last message and the last answer with its results."""
    closed = close_history(history)
    last = max((at for at, message in enumerate(closed) if message.role != "tool"), default=0)
    people = [message for message in closed[:last] if message.role == "user"]
    kept = [shrunk(message, 800) for message in closed[last:]]
    return estimate([*people[-1:], *kept]) + 200


class Host(FakeHost):
    """A host over a given history."""

    def __init__(self, history: list[Message]) -> None:
        super().__init__()
        self.messages = history
        self.kept = Window()

    def window(self, agent: str) -> Window:
        return self.kept

    async def stored(self, call: str) -> None:
        return None


@settings(max_examples=examples(60))
@given(HISTORIES, st.integers(800, 8_000), st.integers(0, 60), st.booleans())
def test_every_request_that_an_agent_sends_is_valid(
    history: list[Message], size: int, tools: int, fails: bool
) -> None:
    """Through tools, summaries by the model and by rules, and an overflow in between."""
    answers = [reply("short"), reply("")] if fails else [reply("a summary " * 40)] * 2
    model = ScriptedModel(*([each] for each in answers * 4), window=size)
    host = Host([*history, Message(role="user", text="the last word")])
    host.specs = tuple(spec(f"s__tool_{n}", "a") for n in range(tools))
    preparer = RequestBuilder(TurnWriter(host, "t1"), QUICK)
    for _ in range(2):
        try:
            request = asyncio.run(preparer.request(model, host.tools()))
        except ContextWindowExceeded:
            return
        assert_valid(request, host.messages)
        assert model.count(request) <= size
        names = [tool.name for tool in request.tools]
        assert len(names) == len(set(names)) <= 42
        assert request.messages[0].role == "system"
        preparer.window.overflowed(model)


# --- what is dropped, and how ---------------------------------------------------------------------


def talk(turns: int, result: int = 400) -> list[Message]:
    messages = [Message(role="user", text="first request")]
    for n in range(turns):
        call = ToolCall(f"c{n}", "demo__read", "{}")
        messages += [
            Message(role="assistant", calls=(call,)),
            tool_message(call, f"{n} " * (result // 2), "succeeded", ref=f"c-{n:012x}"),
            Message(role="assistant", text=f"answer {n}"),
            Message(role="user", text=f"more {n}"),
        ]
    return messages


def test_old_results_are_shrunk_first_and_point_to_the_whole() -> None:
    model, window, history = Counting(8_000), Window(), talk(4, result=8_000)
    fitted = prepare(window, model, history)
    assert (fitted.dropped, len(fitted.shrunk)) == (0, 3)
    text = window.request(SYSTEM, ()).messages[3].text
    assert "result of call c-000000000000, 8000 characters, read it with read_result" in text
    assert read_result(text)[0] == "succeeded"
    assert len(text) < 1_300


def test_then_whole_exchanges_go_and_a_summary_stands_for_them() -> None:
    model, window, history = Counting(2_000), Window(), talk(60)
    fitted = fit(window, model, history, ())
    assert fitted.missing[0].text == "first request"
    assert fitted.missing[-1].text.startswith("answer")
    summary = window.summarised(model, "They read many files.", by_model=True)
    fitted = fit(window, model, history, ())
    request = window.request(SYSTEM, ())
    assert fitted.missing == []
    assert fitted.tokens["summary"] == summary.tokens == estimate([summary_message(summary)])
    assert [message.text for message in request.messages[:2]] == [SYSTEM.text, "first request"]
    assert "They read many files." in request.messages[2].text
    assert request.messages[3].role == "user"
    assert request.messages[-1].text == "more 59"


def test_what_was_dropped_stays_dropped_so_that_the_beginning_can_be_cached() -> None:
    model, window, history = Counting(4_000), Window(), talk(60)
    prepare(window, model, history)
    before = window.request(SYSTEM, ()).messages
    for n in range(3):
        history = [*history, Message(role="assistant", text="ok"), Message(role="user", text=f"and {n}")]
        fitted = prepare(window, model, history)
        assert window.request(SYSTEM, ()).messages[: len(before)] == before
        assert (fitted.misses, fitted.hits) == (2, len(close_history(history)) - 2 + 1)


def test_within_one_turn_the_oldest_answers_go_with_their_results_and_the_request_stays() -> None:
    model, window = Counting(1_500), Window()
    history = [Message(role="user", text="do it all")]
    for n in range(40):
        call = ToolCall(f"c{n}", "demo__read", '{"path": "' + "p" * 200 + '"}')
        history += [Message(role="assistant", calls=(call,)), tool_message(call, "done", "succeeded")]
        prepare(window, model, history)
        request = window.request(SYSTEM, ())
        assert_valid(request, history)
        assert request.messages[1].text == "do it all"
        assert request.messages[-1].call_id == f"c{n}"


def test_a_large_last_result_is_shrunk_rather_than_refused() -> None:
    model, window = Counting(2_000), Window()
    call = ToolCall("c1", "demo__read", "{}")
    history = [
        Message(role="user", text="read"),
        Message(role="assistant", calls=(call,)),
        tool_message(call, "x" * 16_000, "succeeded"),
    ]
    prepare(window, model, history)
    assert len(window.request(SYSTEM, ()).messages[-1].text) < 1_400


def test_what_can_never_fit_is_refused_with_what_to_do() -> None:
    with pytest.raises(ContextWindowExceeded) as caught:
        fit(Window(), Counting(1_000), [Message(role="user", text="x" * 20_000)])
    assert caught.value.kind == "overflow"
    assert "takes 1000" in caught.value.what
    assert "larger window" in caught.value.todo


def test_a_huge_first_message_does_not_stay_for_ever() -> None:
    model, window = Counting(2_000), Window()
    history = [Message(role="user", text="x" * 5_000), Message(role="assistant", text="y" * 3_000)]
    history += [Message(role="user", text="go on")]
    prepare(window, model, history)
    assert_valid(window.request(SYSTEM, ()), history)
    assert "x" * 5_000 not in [message.text for message in window.request(SYSTEM, ()).messages]


def test_an_overflow_halves_what_is_sent_and_is_remembered_for_that_model() -> None:
    model, window, history = Counting(None), Window(), talk(40)
    whole = prepare(window, model, history).total
    assert window.limit(model) is None
    window.overflowed(model)
    assert prepare(window, model, history).total <= whole // 2
    assert window.limit(model) == whole // 2
    assert window.limit(Counting(None, "other")) is None


def test_another_model_is_counted_anew_and_gets_all_that_fits() -> None:
    window, history = Window(), talk(60)
    prepare(window, Counting(2_000, "small"), history)
    large = Counting(100_000, "large")
    fitted = prepare(window, large, history)
    assert (fitted.dropped, fitted.hits) == (0, 0)
    assert list(window.request(SYSTEM, ()).messages) == [SYSTEM, *close_history(history)]
    again = prepare(window, Counting(2_000, "small"), history)
    assert again.missing == [], "the summary was made before"


def test_a_summary_is_used_again_after_a_restart_but_never_for_another_conversation() -> None:
    model, window, history = Counting(2_000), Window(), talk(60)
    prepare(window, model, history)
    kept = window.summary()
    assert kept is not None
    again = Window([kept])
    assert fit(again, model, history).missing == []
    assert again.request(SYSTEM, ()) == window.request(SYSTEM, ())
    other = [Message(role="user", text="something else"), *history[1:]]
    stranger = Window([kept])
    assert fit(stranger, model, other).missing
    assert stranger.summary() is None


def test_a_longer_summary_is_made_from_the_one_before() -> None:
    model, window, history = Counting(2_000), Window(), talk(60)
    prepare(window, model, history)
    first = window.summary()
    assert first is not None
    longer = history + talk(60)[1:]
    missing = fit(window, model, longer, ()).missing
    assert missing[0] == close_history(longer)[first.upto]


def test_a_summary_has_a_bounded_size_whatever_was_written() -> None:
    model, window, history = Counting(2_000), Window(), talk(60)
    fit(window, model, history, ())
    summary = window.summarised(model, "漢字 and more " * 5_000, by_model=True)
    assert summary.tokens <= 200
    assert fit(window, model, history, ()).total <= 1_600


# --- counting -------------------------------------------------------------------------------------


def test_what_is_known_is_not_counted_again() -> None:
    model, window, history = Counting(1_000_000), Window(), talk(250)
    tools = tuple(ToolSpec(f"t{n}", "", {}) for n in range(20))
    first = fit(window, model, history, tools)
    assert (first.misses, first.hits) == (1_001 + 20 + 1, 0)
    model.counted = 0
    history.append(Message(role="assistant", text="well"))
    second = fit(window, model, history, tools)
    assert (second.misses, second.hits) == (1, 1_001 + 20 + 1)
    assert model.counted == 1


# --- summaries ------------------------------------------------------------------------------------


@given(HISTORIES, WORDS, st.integers(1_000, 20_000))
def test_a_request_for_a_summary_is_bounded(history: list[Message], before: str, limit: int) -> None:
    request = summary_request(close_history(history), before, limit)
    assert [message.role for message in request.messages] == ["system", "user"]
    assert sum(len(message.text) for message in request.messages) <= max(limit, 2_500) + 400
    assert request.tools == ()


def test_a_request_for_a_summary_keeps_the_beginning_and_the_end() -> None:
    text = summary_request(talk(500), "what came before", 8_000).messages[1].text
    assert "what came before" in text
    assert "first request" in text
    assert "more 499" in text
    assert "messages between are not shown" in text


@given(HISTORIES, WORDS)
def test_a_digest_needs_no_model_and_is_bounded(history: list[Message], before: str) -> None:
    text = digest(close_history(history), before)
    assert text
    assert len(text) <= LONGEST
    assert "\u202e" not in text


def test_a_digest_says_what_was_asked_and_called() -> None:
    text = digest(talk(3))
    assert "“first request”" in text
    assert "demo__read succeeded ×3" in text
    assert "answer 2" in text
