"""Stopping a turn at any point, parking it, and going on: each call has exactly one result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_tui.agents import ToolOutcome, TurnSettings
from omni_tui.models.base import (
    Message,
    ModelError,
    TextPart,
    ThoughtPart,
    ToolCall,
)
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    Retrying,
    TurnEnded,
)
from omni_tui.resilience.retry import RetryPolicy
from tests.engine.agent_host import FakeHost, assert_one_result_each, call, play, until
from tests.lengths import examples
from tests.scripted_model import ScriptedModel, reply

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


async def test_stopping_twice_still_keeps_a_result_that_comes() -> None:
    cancelled, finish = asyncio.Event(), asyncio.Event()

    async def stubborn(_: ToolCall) -> ToolOutcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            await finish.wait()
        return ToolOutcome("it had been sent", "uncertain")

    host = FakeHost(stubborn)
    policy = TurnSettings(stop_grace_s=5)
    task = asyncio.create_task(play(host, ScriptedModel([reply("", call("c1"))]), policy))
    await until(lambda: bool(host.calls))
    task.cancel()
    await cancelled.wait()
    task.cancel()
    await asyncio.sleep(0)
    finish.set()
    assert (await task).status == "stopped"
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
    policy = TurnSettings(retry=RetryPolicy(sleep=forever))
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


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
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
    ended = await play(host, model, TurnSettings(max_steps=2), resume=True)
    assert ended.status == "limit"
    assert host.calls == [(2, call("c2"))]
