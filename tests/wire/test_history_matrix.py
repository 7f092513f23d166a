"""However a turn ended, every provider at its strictest takes the next message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from omni_tui.agents import ToolOutcome, TurnSettings, run_turn
from omni_tui.models.base import Message, ModelError, TextPart, ThoughtPart, ToolCall
from omni_tui.protocol.events import AnswerDelta, ThoughtDelta
from tests.engine.agent_host import QUICK, FakeHost, call, no_sleep, play, until
from tests.lengths import some
from tests.scripted_model import ScriptedModel, reply
from tests.wire.double import Say, double
from tests.wire.judges import WIRES
from tests.wire.litellm_fixtures import MARKS, warm

__all__ = ["warm"]

pytestmark = MARKS

History = list[Message]


async def stopped(host: FakeHost, model: ScriptedModel, ready: Callable[[], bool]) -> History:
    task = asyncio.create_task(play(host, model))
    await until(ready)
    task.cancel()
    assert (await task).status == "stopped"
    return host.messages


async def never(_: ToolCall) -> ToolOutcome:
    await asyncio.Event().wait()
    raise AssertionError


async def answered() -> History:
    host = FakeHost()
    await play(host, ScriptedModel([reply("I add.", call("1"), call("2"))], [reply("It is 3.")]))
    return host.messages


async def stopped_before_a_word() -> History:
    host = FakeHost()
    model = ScriptedModel([asyncio.Event().wait()])
    return await stopped(host, model, lambda: bool(model.requests))


async def stopped_while_thinking() -> History:
    host = FakeHost()
    model = ScriptedModel([ThoughtPart("hm"), asyncio.Event().wait()])
    return await stopped(host, model, lambda: bool(host.seen(ThoughtDelta)))


async def stopped_in_an_answer() -> History:
    host = FakeHost()
    model = ScriptedModel([TextPart("half an "), TextPart("answer"), asyncio.Event().wait()])
    return await stopped(host, model, lambda: bool(host.seen(AnswerDelta)))


async def stopped_in_a_call() -> History:
    host = FakeHost(never)
    return await stopped(
        host, ScriptedModel([reply("", call("1"), call("2"))]), lambda: len(host.calls) == 2
    )


async def stopped_after_a_result() -> History:
    host = FakeHost()
    model = ScriptedModel([reply("", call("1"))], [asyncio.Event().wait()])
    return await stopped(host, model, lambda: len(model.requests) == 2)


async def failed_before_a_word() -> History:
    host = FakeHost()
    ended = await play(host, ScriptedModel([ModelError("request", "no")]))
    assert ended.status == "failed"
    return host.messages


async def failed_after_a_result() -> History:
    host = FakeHost()
    await play(host, ScriptedModel([reply("", call("1"))], [ModelError("auth", "no")]))
    return host.messages


async def broke_off() -> History:
    host = FakeHost()
    policy = TurnSettings(retry=QUICK.retry.__class__(delays=(), sleep=no_sleep))
    await play(host, ScriptedModel([TextPart("half"), ModelError("cut", "gone")]), policy)
    return host.messages


async def out_of_steps() -> History:
    host = FakeHost()
    ended = await play(host, ScriptedModel([reply("", call("1"))]), TurnSettings(max_steps=1))
    assert ended.status == "limit"
    return host.messages


async def repeated_itself() -> History:
    host = FakeHost()

    async def same(_: ToolCall) -> ToolOutcome:
        return ToolOutcome("3", "succeeded")

    host = FakeHost(same)
    await play(host, ScriptedModel([reply("", *(call(str(n)) for n in range(9)))]))
    return host.messages


async def rejected_and_stopped() -> History:
    async def no(_: ToolCall) -> ToolOutcome:
        return ToolOutcome("no", "rejected", stop=True)

    host = FakeHost(no)
    await play(host, ScriptedModel([reply("", call("1"))]))
    return host.messages


async def nonsense() -> History:
    host = FakeHost()
    bad = [[reply("", call(str(n), "", "{broken"), call(f"x{n}", "read a file", "7"))] for n in range(3)]
    await play(host, ScriptedModel(*bad))
    return host.messages


async def said_nothing() -> History:
    host = FakeHost()
    await play(host, ScriptedModel([reply("")]))
    return host.messages


async def too_long() -> History:
    host = FakeHost()
    await play(host, ScriptedModel([reply("as much as there was room", finish="length")]))
    return host.messages


async def killed_in_a_call() -> History:
    host = FakeHost()
    return [*host.messages, Message("assistant", "I add.", calls=(call("1"), call("2")))]


async def of_other_models() -> History:
    """Everything that other providers leave in a history."""
    signed = ({"type": "thinking", "thinking": "hm", "signature": "FOREIGN"},)
    ids = ("call_0", "call_0", "functions.add:0", "call_9__thought__Rk9SRUlHTg==", "")
    history: History = []
    for n, ident in enumerate(ids):
        one = ToolCall(ident, "demo__add", '{"a": 1, "b": 2}')
        history += [
            Message("user", f"question {n}"),
            Message(
                "assistant", " ", calls=(one,), thinking=signed, reasoning="foreign", origin="else - where"
            ),
            Message("tool", "", call_id=ident, name="demo__add"),
            Message("assistant", "half \ud83d", reasoning="foreign", origin="else - where"),
            Message("assistant", "\n"),
        ]
    return history


ENDINGS: list[Callable[[], Awaitable[History]]] = [
    answered, stopped_before_a_word, stopped_while_thinking, stopped_in_an_answer, stopped_in_a_call,
    stopped_after_a_result, failed_before_a_word, failed_after_a_result, broke_off, out_of_steps,
    repeated_itself, rejected_and_stopped, nonsense, said_nothing, too_long, killed_in_a_call,
    of_other_models,
]  # fmt: skip
NEXT = {
    "a message": ("are you there",),
    "two messages": ("are you there", "and now"),
    "nothing": (),
}


@pytest.mark.parametrize("wire", list(WIRES))
@pytest.mark.parametrize("ending", some(ENDINGS, 3), ids=lambda ending: str(ending.__name__))
async def test_the_next_message_is_taken(ending: Callable[[], Awaitable[History]], wire: str) -> None:
    form, name, judge = WIRES[wire]
    for said in NEXT.values():
        host = FakeHost()
        host.messages = [*(await ending()), *(Message("user", text) for text in said)]
        before = len(host.messages)
        # The answer to it makes a call, so that a turn goes on behind the ending as well.
        add = ("demo__add", '{"a": 1, "b": 2}')
        script = [Say("I add.", (add,), thought="I think."), Say("fine")]
        async with double(form, script, judge) as served:
            ended = await run_turn(host, served.model(name), turn="t2", settings=QUICK)
            requests = len(served.bodies)
        assert (ended.status, ended.reason) == ("done", ""), f"{said}"
        assert host.messages[-1].text == "fine"
        assert len(host.messages) == before + 3
        # What every model of a kind refuses is known; what only this one refuses is learned, once.
        assert requests <= (3 if wire in ("gemma", "deepseek", "openai") else 2)
