"""Answers that were cut short: nothing of them is run or asked for in vain, and their tokens count."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from omni_tui.agents import run_turn
from omni_tui.config.sections import SamplingSection
from omni_tui.engine.sampler import Sampler
from omni_tui.engine.turn_modes import SessionSettings
from omni_tui.models.base import FinishReason, ModelError, TextPart, ThoughtPart, ToolCall
from omni_tui.models.message_history import arguments_of
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.events import Answer, Retrying, Usage, UsageChanged
from omni_tui.protocol.models import Spending
from omni_tui.resilience.retry import RetryPolicy
from tests.engine.agent_host import QUICK, FakeHost, assert_one_result_each, call, no_sleep
from tests.engine.rig import rig
from tests.scripted_model import Item, ScriptedModel, reply

USED = Usage(input=700, output=20)


# --- a limit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "status", "words", "todo"),
    [
        ("length", "limit", "the model's output limit was reached in a call", "max_tokens"),
        ("window", "limit", "the model's window was full in a call", "larger window"),
        ("filtered", "failed", "content filter stopped the model in a call", "other words"),
    ],
)
@pytest.mark.parametrize("arguments", ['{"a": 1, "b"', '{"a": 1, "b": 2}'])
async def test_a_call_at_a_limit_is_not_run_and_not_asked_for_again(
    finish: FinishReason, status: str, words: str, todo: str, arguments: str
) -> None:
    answer = reply(
        "I add.", call("1"), call("2", arguments=arguments), finish=finish, complete=False, usage=USED
    )
    model = ScriptedModel([TextPart("I add."), answer], [reply("on")])
    host = FakeHost()
    ended = await run_turn(host, model, turn="t", settings=QUICK)
    assert (ended.status, words in ended.reason, todo in ended.todo) == (status, True, True)
    assert "nothing of it was run" in ended.reason
    assert (len(model.requests), host.calls, host.seen(Retrying)) == (1, [], [])
    assert [event.usage for event in host.seen(UsageChanged)] == [USED]
    assert [(answer.text, answer.partial) for answer in host.seen(Answer)] == [("I add.", True)]
    host.messages.append(host.messages[0])
    assert (await run_turn(host, model, turn="t2", settings=QUICK)).status == "done"
    assert not any(message.calls for message in model.requests[1].messages)
    assert_one_result_each(list(model.requests[1].messages))


@pytest.mark.parametrize("finish", ["length", "window"])
async def test_a_limit_before_the_first_word_is_said_to_be_one(finish: FinishReason) -> None:
    host = FakeHost()
    model = ScriptedModel([ThoughtPart("hm"), reply("", finish=finish, usage=USED)])
    ended = await run_turn(host, model, turn="t", settings=QUICK)
    assert (ended.status, "before it began to answer" in ended.reason) == ("limit", True)
    assert [event.usage for event in host.seen(UsageChanged)] == [USED]


async def test_a_full_window_in_a_text_is_said_to_be_one() -> None:
    host = FakeHost()
    ended = await run_turn(host, ScriptedModel([reply("half", finish="window")]), turn="t", settings=QUICK)
    assert (ended.status, "window was full" in ended.reason) == ("limit", True)


# --- what was used ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        [TextPart("I "), ModelError("cut", "it broke off", usage=USED)],
        [ModelError("cut", "it broke off in a call", usage=USED)],
        [ModelError("transient", "overloaded", usage=USED)],
        [reply("I add", complete=False, usage=USED)],
        [reply("", call("1", arguments='{"a'), complete=False, usage=USED)],
    ],
)
async def test_what_a_broken_request_used_is_written_down_each_time_and_once(broken: list[Item]) -> None:
    model = ScriptedModel(broken, [TextPart("ok"), reply("ok")])
    host = FakeHost()
    ended = await run_turn(host, model, turn="t", settings=QUICK)
    assert ended.status == "done"
    assert [event.usage for event in host.seen(UsageChanged)] == [USED, Usage(input=10, output=5)]


async def test_where_nothing_is_known_of_it_nothing_is_made_up() -> None:
    host = FakeHost()
    model = ScriptedModel([ModelError("transient", "overloaded")], [reply("ok")])
    await run_turn(host, model, turn="t", settings=QUICK)
    assert len(host.seen(UsageChanged)) == 1


async def test_a_servers_sampling_counts_what_broke_off() -> None:
    model = ScriptedModel(
        [reply("ha", complete=False, usage=USED)],
        [reply("hello", usage=Usage(input=10, output=5))],
        [ModelError("cut", "it broke off", usage=USED)],
        [ModelError("auth", "refused")],
    )
    sampler = Sampler(
        SamplingSection(),
        SessionSettings("chat", "x"),
        lambda name, **_: model,
        retry=RetryPolicy(sleep=no_sleep),
    )
    body = {"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}], "maxTokens": 100}
    sampled = await sampler.sample(body)
    assert (sampled.usage.input, sampled.usage.output) == (710, 25)
    assert sampler.spent == 735
    with pytest.raises(ModelError) as caught:
        await sampler.sample(body)
    assert caught.value.usage == USED
    assert sampler.spent == 735 + 720


async def test_what_was_spent_is_told_before_the_turn_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedModel([reply("hello", usage=USED)])
    async with rig(tmp_path, config='[model]\nname = "x/y"\n', model=model) as running:
        slow = threading.Event()
        monkeypatch.setattr(running.engine.context.models.days, "flush", lambda: slow.wait(20))
        await running.ask(c.SendMessage(text="hi"))
        await running.until(e.TurnEnded)
        slow.set()
        kinds = [event for event in running.seen if isinstance(event, Spending | e.TurnEnded)]
        before = kinds[: [isinstance(event, e.TurnEnded) for event in kinds].index(True)]
        told = [event.session_tokens for event in before if isinstance(event, Spending)]
    assert told[-1] == 720


# --- arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("null", {}),
        ('"null"', {}),
        ('""', {}),
        ("[]", {}),
        ("{}{}", {}),
        ('{}{"a": 1, "b": 2}', {"a": 1, "b": 2}),
        (' {}\n {"a": 1, "b": 2} ', {"a": 1, "b": 2}),
        ('null{"a": 1, "b": 2}', {"a": 1, "b": 2}),
        (r'"{\"a\": 1, \"b\": 2}"', {"a": 1, "b": 2}),
    ],
)
async def test_arguments_that_are_dressed_up_are_what_they_mean(
    written: str, meant: dict[str, object]
) -> None:
    name = "demo__add" if meant else "demo__wait"
    model = ScriptedModel([reply("", call("1", name, written))], [reply("done")])
    host = FakeHost()
    await run_turn(host, model, turn="t", settings=QUICK)
    ((_, ran),) = host.calls
    assert arguments_of(ran) == meant
    assert arguments_of(ToolCall("", "", ran.arguments)) == meant
    sent = model.requests[1].messages[-2].calls[0].arguments
    assert sent.strip().startswith("{")
    assert arguments_of(ToolCall("", "", sent)) == meant


@pytest.mark.parametrize(
    "written", ['{"a": 1}{"b": 2}', '{"a": 1', "17", '"17"', "[17]", '{}{"a": 1', "true"]
)
async def test_arguments_that_are_none_are_told_to_the_model(written: str) -> None:
    model = ScriptedModel([reply("", call("1", arguments=written))], [reply("done")])
    host = FakeHost()
    await run_turn(host, model, turn="t", settings=QUICK)
    assert host.calls == []
    assert "not a JSON object" in host.results()["1"][1]
