"""The agent's loop, with a scripted model and a host that keeps everything in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import msgspec
import pytest

from omni_tui.agents import ToolOutcome, TurnSettings
from omni_tui.agents.model_client import Deltas
from omni_tui.models.base import (
    Message,
    ModelError,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ThoughtPart,
    ToolCall,
)
from omni_tui.models.message_history import read_result
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    Event,
    Retrying,
    Thought,
    ThoughtDelta,
    UsageChanged,
)
from tests.engine.agent_host import FakeHost, assert_one_result_each, call, play, until
from tests.scripted_model import Item, ScriptedModel, reply

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


async def test_streams_are_closed_and_not_left_to_the_collector() -> None:
    kept: list[AsyncGenerator[ModelEvent, None]] = []

    class Keeping(ScriptedModel):
        def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            kept.append(super().stream(request))
            return kept[-1]

    model = Keeping([reply("", call("c1"))], [TextPart("half"), ModelError("cut", "lost")], [reply("ok")])
    await play(FakeHost(), model)
    assert (len(kept), model.closed) == (3, 3)


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
    await play(host, model, TurnSettings(result_limit=1_000))
    text = model.requests[1].messages[-1].text
    assert len(text) < 1_400
    assert "characters cut; the whole result is kept, id c1" in text
    assert text.startswith("<tool_result id=")
    assert "\u200bend" in text  # a result is told as it came


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
    ended = await play(FakeHost(), model, TurnSettings(max_steps=3))
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
    model = ScriptedModel([ModelError("overflow", "too long")], [reply("They counted.")], [reply("ok")])
    assert (await play(host, model)).status == "done"
    first, asked, second = (request.messages for request in model.requests)
    assert [message.role for message in asked] == ["system", "user"]
    assert len(second) < len(first)
    assert second[1].text == "first"
    assert "They counted." in second[2].text
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


# --- deltas -----------------------------------------------------------------------------------


async def test_deltas_are_joined_but_never_held_back() -> None:
    seen: list[Event] = []
    deltas = Deltas(seen.append, "t", "m", interval=0.02)
    for letter in "abcdef":
        deltas.add(AnswerDelta, letter)
    assert [event.text for event in seen if isinstance(event, AnswerDelta)] == ["a"]
    await until(lambda: len(seen) == 2)  # Without another part and without a flush.
    deltas.add(ThoughtDelta, "hm")
    deltas.add(AnswerDelta, "g")
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
