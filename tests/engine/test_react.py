"""The agent's loop, with a scripted model and a host that keeps everything in memory."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_tui.agents import ChatPolicy, ToolOutcome, run_turn
from omni_tui.agents.deltas import Deltas
from omni_tui.models.base import (
    Message,
    ModelError,
    Reply,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolSpec,
)
from omni_tui.models.context import read_result
from omni_tui.models.scripted import Item, ScriptedModel, reply
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    AnyEvent,
    Event,
    ModelMessage,
    Retrying,
    Thought,
    ThoughtDelta,
    TurnEnded,
    UsageChanged,
)
from omni_tui.resilience import RetryPolicy

E = TypeVar("E", bound=Event)
Work = Callable[[ToolCall], Awaitable[ToolOutcome]]


def spec(name: str, *keys: str) -> ToolSpec:
    properties = {key: {"type": "number"} for key in keys}
    return ToolSpec(
        name, f"{name} it", {"type": "object", "properties": properties, "required": list(keys)}
    )


ADD = spec("demo__add", "a", "b")
WAIT = spec("demo__wait")


def call(ident: str, name: str = "demo__add", arguments: str = '{"a": 1, "b": 2}') -> ToolCall:
    return ToolCall(ident, name, arguments)


class FakeHost:
    """A journal in memory. `parked` refuses everything, as the engine does when the app is left."""

    def __init__(self, work: Work | None = None, *, slow: bool = False) -> None:
        self.events: list[Event] = []
        self.messages: list[Message] = [Message(role="user", text="do it")]
        self.calls: list[tuple[int, ToolCall]] = []
        self.cancelled: list[str] = []
        self.specs: tuple[ToolSpec, ...] = (ADD, WAIT)
        self.parked = False
        self.broken: Exception | None = None
        self._work = work
        self._slow = slow

    def tools(self) -> tuple[ToolSpec, ...]:
        return self.specs

    async def call(self, turn: str, step: int, call: ToolCall, agent: str = "root") -> ToolOutcome:
        self.calls.append((step, call))
        try:
            if self._work is not None:
                return await self._work(call)
            return ToolOutcome(f"result of {call.id}", "succeeded")
        except asyncio.CancelledError:
            self.cancelled.append(call.id)
            raise

    async def commit(self, *events: AnyEvent) -> None:
        if self.parked:
            raise asyncio.CancelledError
        if self.broken:
            raise self.broken
        if self._slow:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.post(*events)

    def post(self, *events: AnyEvent) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, ModelMessage):
                self.messages.append(msgspec.json.decode(event.body_json, type=Message))

    def live(self, event: Event) -> None:
        self.events.append(event)

    def history(self) -> tuple[Message, ...]:
        return tuple(self.messages)

    def seen(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def results(self) -> dict[str, tuple[str, str]]:
        return {m.call_id: read_result(m.text) for m in self.messages if m.role == "tool"}


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


QUICK = ChatPolicy(retry=RetryPolicy(sleep=no_sleep, random=lambda: 0.5), stop_grace_s=0.2)


async def play(
    host: FakeHost, model: ScriptedModel, policy: ChatPolicy = QUICK, *, resume: bool = False
) -> TurnEnded:
    return await run_turn(host, model, turn="t1", policy=policy, resume=resume)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def assert_one_result_each(messages: list[Message]) -> None:
    asked = Counter(call.id for message in messages for call in message.calls)
    answered = Counter(message.call_id for message in messages if message.role == "tool")
    assert asked == answered


# --- the loop ---------------------------------------------------------------------------------


async def test_two_steps_think_act_observe_answer() -> None:
    host = FakeHost()
    model = ScriptedModel(
        [ThoughtPart("I need "), ThoughtPart("a sum."), TextPart("Adding."), reply("Adding.", call("c1"))],
        [TextPart("It is "), TextPart("3."), reply("It is 3.")],
    )
    ended = await play(host, model)
    assert (ended.status, ended.steps) == ("done", 2)
    assert [event.text for event in host.seen(Thought)] == ["I need a sum."]
    assert [event.text for event in host.seen(Answer)] == ["Adding.", "It is 3."]
    assert "".join(event.text for event in host.seen(AnswerDelta)) == "Adding.It is 3."
    assert [event.usage.input for event in host.seen(UsageChanged)] == [10, 10]
    assert host.calls == [(1, call("c1"))]
    second = model.requests[1].messages
    assert [message.role for message in second] == ["system", "user", "assistant", "tool"]
    assert read_result(second[3].text) == ("succeeded", "result of c1")
    assert model.closed == 2


async def test_everything_of_a_step_is_committed_before_the_next_request() -> None:
    host = FakeHost(slow=True)

    class Checking(ScriptedModel):
        def count(self, request: object) -> int:
            assert_one_result_each(host.messages)
            return 0

    model = Checking([reply("", call("c1"), call("c2"))], [reply("ok")], window=1000)
    assert (await play(host, model)).status == "done"


async def test_deltas_carry_the_id_of_the_message_that_replaces_them() -> None:
    host = FakeHost()
    await play(host, ScriptedModel([ThoughtPart("hm"), TextPart("hi"), reply("hi")]))
    assert host.seen(ThoughtDelta)[0].message == host.seen(Thought)[0].message
    assert host.seen(AnswerDelta)[0].message == host.seen(Answer)[0].message


async def test_parallel_calls_run_together_and_results_follow_the_order_of_the_calls() -> None:
    gates = {"c1": asyncio.Event(), "c2": asyncio.Event()}

    async def work(call: ToolCall) -> ToolOutcome:
        await gates[call.id].wait()
        return ToolOutcome(call.id, "succeeded")

    host = FakeHost(work)
    model = ScriptedModel([reply("", call("c1"), call("c2"))], [reply("ok")])
    task = asyncio.create_task(play(host, model))
    await until(lambda: len(host.calls) == 2)
    gates["c2"].set()
    await until(lambda: "c2" in host.results())
    gates["c1"].set()
    assert (await task).status == "done"
    assert [m.call_id for m in model.requests[1].messages if m.role == "tool"] == ["c1", "c2"]


async def test_the_label_of_the_model_is_on_its_answers() -> None:
    host = FakeHost()
    await play(host, ScriptedModel([reply("hi")], label="offline rules"))
    assert host.seen(Answer)[0].label == "offline rules"


async def test_results_are_bounded_and_framed_as_data() -> None:
    async def work(_: ToolCall) -> ToolOutcome:
        return ToolOutcome("x" * 50_000 + "\u200bend", "succeeded")

    host = FakeHost(work)
    model = ScriptedModel([reply("", call("c1"))], [reply("ok")])
    await play(host, model, ChatPolicy(result_limit=1_000))
    text = model.requests[1].messages[-1].text
    assert len(text) < 1_400
    assert "characters cut; the whole result is kept, id c1" in text
    assert text.startswith("<tool_result id=")
    assert "\u200b" not in text


# --- what models get wrong --------------------------------------------------------------------


async def test_unknown_tool_gets_the_nearest_names_and_is_never_called() -> None:
    host = FakeHost()
    model = ScriptedModel([reply("", call("c1", "demo__ad"))], [reply("sorry")])
    assert (await play(host, model)).status == "done"
    status, text = host.results()["c1"]
    assert status == "invalid"
    assert "demo__add" in text
    assert host.calls == []


@pytest.mark.parametrize("arguments", ['{"a": 1, "b"', "[1, 2]", "17", '{"a": 1}'])
async def test_malformed_arguments_get_the_schema_and_are_never_repaired(arguments: str) -> None:
    host = FakeHost()
    model = ScriptedModel([reply("", call("c1", arguments=arguments))], [reply("sorry")])
    assert (await play(host, model)).status == "done"
    assert host.results()["c1"][0] == "invalid"
    assert '"required"' in host.results()["c1"][1]
    assert host.calls == []


async def test_malformed_arguments_are_sent_back_as_an_empty_object() -> None:
    model = ScriptedModel([reply("", call("c1", arguments="{broken"))], [reply("sorry")])
    await play(FakeHost(), model)
    assert model.requests[1].messages[2].calls[0].arguments == "{}"


async def test_a_third_malformed_call_in_a_row_ends_the_turn() -> None:
    bad = [[reply("", call(f"c{n}", arguments="nope"))] for n in range(3)]
    host = FakeHost()
    ended = await play(host, ScriptedModel(*bad))
    assert ended.status == "failed"
    assert "3 times in a row" in ended.reason
    assert_one_result_each(host.messages)


async def test_the_third_identical_call_is_told_and_the_fourth_ends_the_turn() -> None:
    async def same(_: ToolCall) -> ToolOutcome:
        return ToolOutcome("nothing new", "succeeded")

    host = FakeHost(same)
    spellings = ['{"a":1,"b":2}', '{"b": 2, "a": 1}', '{"a": 1, "b": 2}', '{"a":1, "b":2}']
    model = ScriptedModel(*[[reply("", call(f"c{n}", arguments=s))] for n, s in enumerate(spellings)])
    ended = await play(host, model)
    assert ended.status == "limit"
    assert "4 times" in ended.reason
    texts = [message.text for message in host.messages if message.role == "tool"]
    assert ["call number 3" in text for text in texts] == [False, False, True, False]


async def test_a_call_with_another_result_is_no_loop() -> None:
    host = FakeHost()  # The result names the call's id, so it differs each time.
    model = ScriptedModel(*[[reply("", call(f"c{n}"))] for n in range(6)], [reply("ok")])
    assert (await play(host, model)).status == "done"


async def test_the_step_limit_says_what_to_do() -> None:
    model = ScriptedModel(*[[reply("", call(f"c{n}"))] for n in range(3)])
    ended = await play(FakeHost(), model, ChatPolicy(max_steps=3))
    assert (ended.status, ended.steps) == ("limit", 3)
    assert "continue" in ended.todo


async def test_many_rejections_end_the_turn() -> None:
    async def reject(call: ToolCall) -> ToolOutcome:
        return ToolOutcome(f"no, {call.id}", "rejected")

    model = ScriptedModel(*[[reply("", call(f"c{n}"))] for n in range(5)])
    ended = await play(FakeHost(reject), model)
    assert ended.status == "limit"
    assert "rejected" in ended.reason


async def test_reject_and_stop_asks_the_model_nothing_more() -> None:
    async def stop(_: ToolCall) -> ToolOutcome:
        return ToolOutcome("no", "rejected", stop=True)

    host = FakeHost(stop)
    model = ScriptedModel([reply("", call("c1"))])
    assert (await play(host, model)).status == "stopped"
    assert model.left == 0
    assert_one_result_each(host.messages)


async def test_an_empty_answer_is_a_failure_in_words() -> None:
    ended = await play(FakeHost(), ScriptedModel([reply("  ")]))
    assert ended.status == "failed"
    assert "empty" in ended.reason


@pytest.mark.parametrize(("finish", "status"), [("length", "limit"), ("filtered", "failed")])
async def test_an_answer_that_was_cut_by_the_provider_is_not_done(finish: str, status: str) -> None:
    assert finish in ("length", "filtered")
    end = reply("half", finish="length" if finish == "length" else "filtered")
    assert (await play(FakeHost(), ScriptedModel([end]))).status == status


# --- failures ---------------------------------------------------------------------------------


async def test_transient_errors_are_retried_visibly() -> None:
    host = FakeHost()
    model = ScriptedModel(
        [ModelError("transient", "overloaded")],
        [ModelError("transient", "busy", retry_after_s=7)],
        [reply("ok")],
    )
    assert (await play(host, model)).status == "done"
    told = [(event.attempt, event.of, event.delay_s, event.reason) for event in host.seen(Retrying)]
    assert told == [(2, 5, 1.0, "overloaded"), (3, 5, 7, "busy")]


async def test_permanent_errors_are_not_retried() -> None:
    host = FakeHost()
    ended = await play(host, ScriptedModel([ModelError("auth", "the key was refused", todo="set it")]))
    assert (ended.status, ended.reason, ended.todo) == ("failed", "the key was refused", "set it")
    assert not host.seen(Retrying)


async def test_an_unfinished_call_is_never_run_and_the_request_is_repeated_once() -> None:
    host = FakeHost()
    broken = reply("", call("c1", arguments='{"a": 17, "b'), finish="stop", complete=False)
    ended = await play(host, ScriptedModel([broken], [broken]))
    assert ended.status == "failed"
    assert "nothing of it was run" in ended.reason
    assert host.calls == []
    assert [event.attempt for event in host.seen(Retrying)] == [2]
    assert_one_result_each(host.messages)


async def test_a_cut_stream_keeps_what_was_said_and_is_repeated_once() -> None:
    host = FakeHost()
    model = ScriptedModel(
        [TextPart("It is pro"), ModelError("cut", "the connection was lost")],
        [TextPart("It is 3."), reply("It is 3.")],
    )
    assert (await play(host, model)).status == "done"
    answers = [(event.text, event.partial) for event in host.seen(Answer)]
    assert answers == [("It is pro", True), ("It is 3.", False)]
    assert len({event.message for event in host.seen(Answer)}) == 2
    assert [message.text for message in host.messages if message.role == "assistant"] == ["It is 3."]


async def test_a_stream_that_is_cut_twice_fails_and_the_model_knows_what_it_said() -> None:
    host = FakeHost()
    cut: list[Item] = [TextPart("half an ans"), ModelError("cut", "lost")]
    ended = await play(host, ScriptedModel(cut, cut))
    assert ended.status == "failed"
    assert host.messages[-1].role == "assistant"
    assert host.messages[-1].text.startswith("half an ans")


async def test_a_stream_without_an_end_is_cut() -> None:
    ended = await play(FakeHost(), ScriptedModel([TextPart("so")], [TextPart("so")]))
    assert ended.status == "failed"
    assert "before it was finished" in ended.reason


async def test_a_model_that_breaks_fails_in_words_and_the_log_has_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = FakeHost()
    ended = await play(host, ScriptedModel([TextPart("a"), ZeroDivisionError("secret detail")]))
    assert ended.status == "failed"
    assert "ZeroDivisionError" in ended.reason
    assert "secret detail" not in ended.reason
    assert "secret detail" in caplog.text


async def test_overflow_drops_old_messages_and_tries_once_more() -> None:
    host = FakeHost()
    host.messages = [Message(role="user", text="first")]
    for n in range(10):
        host.messages += [
            Message(role="assistant", text=f"{n} " * 200),
            Message(role="user", text=f"more {n}"),
        ]
    model = ScriptedModel([ModelError("overflow", "too long")], [reply("ok")])
    assert (await play(host, model)).status == "done"
    first, second = (request.messages for request in model.requests)
    assert len(second) < len(first)
    assert second[1].text.startswith("first")
    assert second[-1].text == "more 9"


async def test_a_host_that_breaks_ends_the_turn_in_words() -> None:
    host = FakeHost()
    host.broken = OSError("disk full")
    ended = await play(host, ScriptedModel([reply("ok")]))
    assert ended.status == "failed"
    assert "OSError" in ended.reason


async def test_a_call_that_breaks_inside_is_uncertain_for_the_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_: ToolCall) -> ToolOutcome:
        raise RuntimeError("boom")

    host = FakeHost(broken)
    assert (await play(host, ScriptedModel([reply("", call("c1"))], [reply("ok")]))).status == "done"
    assert host.results()["c1"][0] == "uncertain"
    assert "boom" in caplog.text


# --- stopping ---------------------------------------------------------------------------------


async def stop_when(host: FakeHost, model: ScriptedModel, ready: Callable[[], bool]) -> TurnEnded:
    task = asyncio.create_task(play(host, model))
    await until(ready)
    task.cancel()
    ended = await task
    assert task.cancelling() == 0
    return ended


async def test_stopping_a_stream_closes_it_and_keeps_the_partial_answer() -> None:
    host = FakeHost()
    model = ScriptedModel([TextPart("half an "), TextPart("answer"), asyncio.Event().wait()])
    ended = await stop_when(host, model, lambda: bool(host.seen(AnswerDelta)))
    assert ended.status == "stopped"
    assert model.closed == 1
    assert [(event.text, event.partial) for event in host.seen(Answer)] == [("half an answer", True)]
    assert host.messages[-1].text.startswith("half an answer")


async def test_stopping_calls_cancels_them_and_each_gets_one_result() -> None:
    never = asyncio.Event()

    async def work(call: ToolCall) -> ToolOutcome:
        if call.id == "quick":
            return ToolOutcome("3", "succeeded")
        await never.wait()
        raise AssertionError

    host = FakeHost(work)
    model = ScriptedModel([reply("", call("slow"), call("quick"), call("slow2"))])
    ended = await stop_when(host, model, lambda: "quick" in host.results())
    assert ended.status == "stopped"
    assert sorted(host.cancelled) == ["slow", "slow2"]
    assert {ident: status for ident, (status, _) in host.results().items()} == {
        "slow": "cancelled",
        "quick": "succeeded",
        "slow2": "cancelled",
    }
    assert_one_result_each(host.messages)


async def test_a_result_that_comes_while_stopping_is_kept() -> None:
    async def stubborn(_: ToolCall) -> ToolOutcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return ToolOutcome("it had been sent", "uncertain")
        raise AssertionError

    host = FakeHost(stubborn)
    await stop_when(host, ScriptedModel([reply("", call("c1"))]), lambda: bool(host.calls))
    assert host.results()["c1"] == ("uncertain", "it had been sent")


async def test_a_call_that_ignores_the_stop_delays_it_by_the_grace_only() -> None:
    release = asyncio.Event()

    async def deaf(_: ToolCall) -> ToolOutcome:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return ToolOutcome("late", "succeeded")

    host = FakeHost(deaf)
    ended = await stop_when(host, ScriptedModel([reply("", call("c1"))]), lambda: bool(host.calls))
    assert ended.status == "stopped"
    assert host.results()["c1"][0] == "cancelled"
    release.set()


async def test_stopping_while_waiting_for_a_retry() -> None:
    async def forever(_: float) -> None:
        await asyncio.Event().wait()

    host = FakeHost()
    policy = ChatPolicy(retry=RetryPolicy(sleep=forever))
    task = asyncio.create_task(play(host, ScriptedModel([ModelError("transient", "busy")]), policy))
    await until(lambda: bool(host.seen(Retrying)))
    task.cancel()
    assert (await task).status == "stopped"


async def test_parking_writes_nothing_and_raises() -> None:
    host = FakeHost(lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    task = asyncio.create_task(play(host, ScriptedModel([reply("", call("c1"))])))
    await until(lambda: bool(host.calls))
    before = len(host.events)
    host.parked = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(host.events) == before


def scenario() -> tuple[FakeHost, ScriptedModel]:
    async def work(call: ToolCall) -> ToolOutcome:
        for _ in range(len(call.id)):
            await asyncio.sleep(0)
        return ToolOutcome(call.id, "succeeded")

    host = FakeHost(work, slow=True)
    model = ScriptedModel(
        [ThoughtPart("hm"), TextPart("a"), reply("a", call("c1"), call("c22"), call("x", "nope"))],
        [TextPart("b"), ModelError("cut", "lost")],
        [TextPart("b"), reply("b", call("c333"))],
        [ModelError("transient", "busy")],
        [TextPart("done"), reply("done")],
    )
    return host, model


async def stopped_after(ticks: list[int]) -> FakeHost:
    """Run the scenario; cancel it after so many turns of the loop, again after more, and so on."""
    host, model = scenario()
    task = asyncio.create_task(play(host, model))
    for wait in ticks:
        for _ in range(wait):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        # A task that is cancelled before it first runs never begins; else it always ends in words.
        assert task.result().status in ("stopped", "done")
    await until(lambda: model.closed == len(model.requests))
    return host


async def test_stopping_at_every_await_point_leaves_one_result_for_each_call() -> None:
    for tick in range(120):
        host = await stopped_after([tick])
        assert_one_result_each(host.messages)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ticks=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_stopping_again_and_again_leaves_one_result_for_each_call(ticks: list[int]) -> None:
    host = asyncio.run(stopped_after(ticks))
    assert_one_result_each(host.messages)


# --- going on ---------------------------------------------------------------------------------


async def test_resume_carries_out_the_calls_that_have_no_result() -> None:
    host = FakeHost()
    host.messages += [
        Message(role="assistant", calls=(call("c1"), call("c2"))),
        Message(role="tool", text="3", call_id="c1", name="demo__add"),
    ]
    host.specs = ()  # The server is not there yet: the host knows the call all the same.
    model = ScriptedModel([reply("ok")])
    assert (await play(host, model, resume=True)).status == "done"
    assert host.calls == [(1, call("c2"))]
    assert_one_result_each(host.messages)


async def test_resume_after_the_last_answer_asks_nothing() -> None:
    host = FakeHost()
    host.messages.append(Message(role="assistant", text="It is 3."))
    assert (await play(host, ScriptedModel(), resume=True)).status == "done"


async def test_resume_counts_the_steps_of_before() -> None:
    host = FakeHost()
    host.messages += [
        Message(role="assistant", calls=(call("c1"),)),
        Message(role="tool", text="3", call_id="c1"),
    ]
    model = ScriptedModel([reply("", call("c2"))])
    ended = await play(host, model, ChatPolicy(max_steps=2), resume=True)
    assert ended.status == "limit"
    assert host.calls == [(2, call("c2"))]


# --- deltas -----------------------------------------------------------------------------------


async def test_deltas_are_joined_but_never_held_back() -> None:
    seen: list[Event] = []
    deltas = Deltas(seen.append, "t", "m", interval=0.02)
    for letter in "abcdef":
        deltas.answer(letter)
    assert [event.text for event in seen if isinstance(event, AnswerDelta)] == ["a"]
    await until(lambda: len(seen) == 2)  # Without another part and without a flush.
    deltas.thought("hm")
    deltas.answer("g")
    deltas.flush()
    assert [type(event).__name__ for event in seen[2:]] == ["ThoughtDelta", "AnswerDelta"]
    text = "".join(event.text for event in seen if isinstance(event, AnswerDelta))
    assert text == "abcdefg"


async def test_a_fast_stream_makes_few_events() -> None:
    host = FakeHost()
    parts = [TextPart("word ") for _ in range(2_000)]
    await play(host, ScriptedModel([*parts, reply("word " * 2_000)]))
    assert len(host.seen(AnswerDelta)) < 100


def test_a_scripted_reply_is_a_reply() -> None:
    assert isinstance(reply("x"), Reply)
    assert json.loads(msgspec.json.encode(reply("x", call("c")).message))["calls"][0]["id"] == "c"
