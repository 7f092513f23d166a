"""A conversation that is too long, over the real LiteLLM in two wire formats: what is sent is taken."""

from __future__ import annotations

import json

from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply as Scripted
from llmock.scenarios import ToolCall as ScriptedCall

from omni_tui.agents import ToolOutcome, run_turn
from omni_tui.agents.agent_host import EarlierResult
from omni_tui.models.base import Message, ToolCall
from omni_tui.models.message_history import tool_message
from omni_tui.models.window import Window
from omni_tui.protocol.context import ContextSummarised
from tests.engine.agent_host import QUICK, FakeHost, spec
from tests.wire.litellm_fixtures import MARKS, both, model, warm

__all__ = ["warm"]

pytestmark = MARKS


class Host(FakeHost):
    """A host that keeps its window; every result is long."""

    def __init__(self) -> None:
        async def work(call: ToolCall) -> ToolOutcome:
            return ToolOutcome("abcdefgh" * 4_000, "succeeded", call="c-1")

        super().__init__(work)
        self.kept = Window()
        self.messages = [Message(role="user", text="first")]
        for n in range(12):
            call = ToolCall(f"call_{n}", "demo__add", '{"a": 1, "b": 2}')
            self.messages += [
                Message(role="assistant", text="word " * 300, calls=(call,)),
                tool_message(call, "r" * 3_000, "succeeded", ref=f"c-{n}"),
                Message(role="assistant", text=f"answer {n}"),
                Message(role="user", text=f"more {n}"),
            ]

    def window(self, agent: str) -> Window:
        return self.kept

    async def stored(self, call: str) -> EarlierResult | None:
        return EarlierResult("abcdefgh" * 4_000, "succeeded") if call == "c-1" else None


def texts(llmock: LLMock) -> list[str]:
    """Return the bodies of the requests so far."""
    return [json.dumps(record.body) for record in llmock.requests]


@both
async def test_an_overflow_ends_in_a_summary_and_an_answer(provider: str, llmock: LLMock) -> None:
    llmock.context_overflow()
    llmock.reply("They added numbers.")
    llmock.reply("It is done.")
    host = Host()
    ended = await run_turn(host, model(provider, llmock), turn="t", settings=QUICK)
    assert (ended.status, host.messages[-1].text) == ("done", "It is done.")
    whole, asked, sent = texts(llmock)
    assert len(sent) < len(whole) * 0.6
    assert "You write the summary" in asked
    assert "They added numbers." in sent
    assert "more 11" in sent
    assert [event.by_model for event in host.seen(ContextSummarised)] == [True]


@both
async def test_many_tools_are_found_and_a_long_result_read_again(provider: str, llmock: LLMock) -> None:
    llmock.add(Scripted(text="", tool_calls=(ScriptedCall("find_tools", {"query": "zebra"}),)))
    llmock.add(Scripted(text="", tool_calls=(ScriptedCall("zoo__feed_zebra", {}),)))
    llmock.add(
        Scripted(text="", tool_calls=(ScriptedCall("read_result", {"call": "c-1", "offset": 31_990}),))
    )
    llmock.reply("Fed.")
    host = Host()
    host.messages = host.messages[:1]
    host.specs = (*(spec(f"s__tool_{n}") for n in range(60)), spec("zoo__feed_zebra"))
    ended = await run_turn(host, model(provider, llmock), turn="t", settings=QUICK)
    assert (ended.status, host.messages[-1].text) == ("done", "Fed.")
    assert [call.name for _, call in host.calls] == ["zoo__feed_zebra"]
    first, second, third, last = (record.body["tools"] for record in llmock.requests)
    offered = [json.dumps(tools) for tools in (first, second, third, last)]
    assert ["zoo__feed_zebra" in each for each in offered] == [False, True, True, True]
    assert ['"read_result"' in each for each in offered] == [False, False, True, True]
    assert len(first) == 41
    assert "characters 31990 to 32000 of 32000" in texts(llmock)[-1]
