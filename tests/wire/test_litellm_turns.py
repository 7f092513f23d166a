"""The agent's loop through the real LiteLLM: `llmock` judges whether we behave as a client."""

from __future__ import annotations

import asyncio

from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply as Scripted
from llmock.scenarios import ToolCall as ScriptedCall

from omni_tui.agents import ToolOutcome, TurnSettings, run_turn
from omni_tui.models.base import ToolCall
from omni_tui.protocol.events import Answer, AnswerDelta, Retrying
from omni_tui.resilience.retry import RetryPolicy
from tests.engine.agent_host import QUICK, FakeHost, assert_one_result_each, until
from tests.wire.litellm_fixtures import MARKS, both, model, warm

__all__ = ["warm"]

pytestmark = MARKS
PATIENT = TurnSettings(retry=RetryPolicy(delays=(0.05, 0.1, 0.2, 0.4)))


async def add(call: ToolCall) -> ToolOutcome:
    return ToolOutcome("42", "succeeded")


@both
async def test_think_act_observe_answer(provider: str, llmock: LLMock) -> None:
    host = FakeHost(add)
    pair = (ScriptedCall("demo__add", {"a": 17, "b": 25}), ScriptedCall("demo__add", {"a": 1, "b": 2}))
    llmock.add(Scripted(text="Adding.", tool_calls=pair)).reply("It is 42.")
    ended = await run_turn(host, model(provider, llmock), turn="t", settings=QUICK)
    assert ended.status == "done"
    assert [event.text for event in host.seen(Answer)] == ["Adding.", "It is 42."]
    assert [call.arguments for _, call in host.calls] == ['{"a": 17, "b": 25}', '{"a": 1, "b": 2}']
    assert_one_result_each(host.messages)
    llmock.assert_resilient(strict=True)


@both
async def test_a_truncated_call_is_not_run_and_asked_for_again(provider: str, llmock: LLMock) -> None:
    host = FakeHost(add)
    llmock.call_tool("demo__add", {"a": 17, "b": 25}).truncate(after_chunks=3)
    llmock.call_tool("demo__add", {"a": 17, "b": 25}).reply("It is 42.")
    ended = await run_turn(host, model(provider, llmock), turn="t", settings=QUICK)
    assert ended.status == "done"
    assert len(host.calls) == 1
    assert len(host.seen(Retrying)) == 1


@both
async def test_a_truncated_answer_is_not_accepted(provider: str, llmock: LLMock) -> None:
    host = FakeHost()
    llmock.tool_mode("off").reply("one two three four five six seven").truncate(after_chunks=5)
    llmock.reply("one two three four five six seven")
    ended = await run_turn(host, model(provider, llmock), turn="t", settings=QUICK)
    assert ended.status == "done"
    assert [event.partial for event in host.seen(Answer)] == [True, False]
    llmock.assert_resilient()


@both
async def test_a_provider_that_is_busy_is_asked_again_when_it_said(provider: str, llmock: LLMock) -> None:
    host = FakeHost()
    llmock.tool_mode("off").rate_limit(retry_after=0.3).fail(529).reply("ok")
    ended = await run_turn(host, model(provider, llmock), turn="t", settings=PATIENT)
    assert ended.status == "done"
    assert [event.attempt for event in host.seen(Retrying)] == [2, 3]
    assert host.seen(Retrying)[0].delay_s >= 0.3
    llmock.assert_resilient()


@both
async def test_a_refused_key_is_asked_once(provider: str, llmock: LLMock) -> None:
    llmock.fail(401, times=None)
    ended = await run_turn(FakeHost(), model(provider, llmock), turn="t", settings=QUICK)
    assert ended.status == "failed"
    assert "API key" in ended.reason
    assert len(llmock.requests) == 1


async def test_stopping_a_stalled_turn_ends_it_at_once(llmock: LLMock) -> None:
    host = FakeHost()
    llmock.tool_mode("off").reply("one two three four five").stall(after_chunks=3, seconds=60)
    task = asyncio.create_task(run_turn(host, model("openai", llmock), turn="t", settings=QUICK))
    await until(lambda: bool(host.seen(AnswerDelta)))
    task.cancel()
    async with asyncio.timeout(60):
        ended = await task
    assert ended.status == "stopped"
    assert [event.partial for event in host.seen(Answer)] == [True]
    record = llmock.last_request  # It is recorded when the client has gone.
    assert not record.completed
    assert record.duration < 40
