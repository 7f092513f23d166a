"""Shapes of answers that `llmock` does not speak: thinking, odd calls, Gemini, missing usage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.base import (
    Message,
    ModelRequest,
    Reply,
    ThoughtPart,
    ToolCall,
)
from omni_tui.models.litellm import LiteLLMModel
from tests.wire.litellm_fixtures import (
    ADD,
    ASK,
    DONE,
    KEY,
    MARKS,
    PROVIDERS,
    START,
    ask,
    chunk,
    collect,
    event,
    model,
    serve,
    typed,
    warm,
)

__all__ = ["warm"]

pytestmark = MARKS


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    return [
        typed("content_block_start", index=index, content_block=start),
        *(typed("content_block_delta", index=index, delta=delta) for delta in deltas),
        typed("content_block_stop", index=index),
    ]


THINKING = [
    START,
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "First I "},
        {"type": "thinking_delta", "thinking": "think."},
        {"type": "signature_delta", "signature": "SIG1=="},
    ),
    *block(1, {"type": "redacted_thinking", "data": "SECRET"}),
    *block(
        2,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "More."},
        {"type": "signature_delta", "signature": "SIG2"},
    ),
    *block(3, {"type": "text", "text": ""}, {"type": "text_delta", "text": "I add."}),
    *block(
        4,
        {"type": "tool_use", "id": "toolu_1", "name": "demo__add", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"a":1,'},
        {"type": "input_json_delta", "partial_json": '"b":2}'},
    ),
    typed(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None},
        usage={"output_tokens": 9},
    ),
    typed("message_stop"),
]
BLOCKS = (
    {"type": "thinking", "thinking": "First I think.", "signature": "SIG1=="},
    {"type": "redacted_thinking", "data": "SECRET"},
    {"type": "thinking", "thinking": "More.", "signature": "SIG2"},
)


async def test_thinking_is_shown_kept_whole_and_sent_back_verbatim() -> None:
    async with serve(THINKING) as server:
        talker = LiteLLMModel(
            ModelSpec(PROVIDERS["anthropic"], api_base=server.base("anthropic"), key=KEY), environ={}
        )
        events = await collect(talker)
        last = events[-1]
        assert isinstance(last, Reply)
        thought = "".join(event.text for event in events if isinstance(event, ThoughtPart))
        assert thought == "First I think.More."
        assert last.message.thinking == BLOCKS
        result = Message(role="tool", text="3", call_id="toolu_1", name="demo__add")
        await collect(talker, ModelRequest((*ASK.messages, last.message, result), (ADD,)))
    sent = server.bodies[-1]["messages"][1]["content"]
    assert sent[:3] == list(BLOCKS)
    assert [part["type"] for part in sent[3:]] == ["text", "tool_use"]


async def test_thinking_is_not_sent_to_another_family() -> None:
    history = (
        *ASK.messages,
        Message(role="assistant", text="hm", thinking=BLOCKS),
        Message(role="user", text="so"),
    )
    async with serve([chunk({"content": "ok"}), chunk({}, "stop"), DONE]) as server:
        await ask(
            LiteLLMModel(ModelSpec("openai/gpt-4o", api_base=server.v1, key=KEY), environ={}),
            ModelRequest(history),
        )
    assert "SECRET" not in json.dumps(server.bodies)


async def test_reasoning_of_openai_shapes_is_a_thought() -> None:
    async with serve(
        [chunk({"reasoning_content": "let me see"}), chunk({"content": "ok"}), chunk({}, "stop"), DONE]
    ) as server:
        events = await collect(
            LiteLLMModel(ModelSpec("openai/local", api_base=server.v1, key=KEY), environ={})
        )
    assert events[0] == ThoughtPart("let me see")


def called(ident: str | None, arguments: str, index: int = 0) -> dict[str, Any]:
    function = {"name": "demo__add", "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": ident, "type": "function", "function": function}]}


async def test_calls_that_are_all_numbered_zero_stay_apart_and_missing_ids_are_made_up() -> None:
    pieces = [
        chunk(called("same", '{"a": 1, "b": 2}')),
        chunk(called("other", '{"a": 3, "b": 4}')),
        chunk(called("same", '{"a": 5, "b": 6}', index=5)),
        chunk(called(None, '{"a": 7, "b": 8}', index=6)),
        chunk({}, "tool_calls"),
        DONE,
    ]
    async with serve(pieces) as server:
        last = await ask(LiteLLMModel(ModelSpec("openai/local", api_base=server.v1, key=KEY), environ={}))
    assert [json.loads(call.arguments)["a"] for call in last.message.calls] == [1, 3, 5, 7]
    assert len({call.id for call in last.message.calls}) == 4
    assert all(call.id for call in last.message.calls)


@pytest.mark.parametrize(
    ("arguments", "complete"),
    [('{"a": 1, "b": 2}', True), ('{"a": 1}', False), ("{}", False), ('{"a": 1, "b', False)],
)
async def test_a_call_that_ends_with_stop_must_hold_together(arguments: str, complete: bool) -> None:
    async with serve([chunk(called("c1", arguments)), chunk({}, "stop"), DONE]) as server:
        last = await ask(LiteLLMModel(ModelSpec("openai/local", api_base=server.v1, key=KEY), environ={}))
    assert last.complete is complete
    assert last.finish == "tool_calls"


async def test_usage_that_the_provider_did_not_give_is_marked_and_an_unknown_price_is_none() -> None:
    async with serve([chunk({"content": "hello there"}), chunk({}, "stop"), DONE]) as server:
        usage = (
            await ask(LiteLLMModel(ModelSpec("openai/local", api_base=server.v1, key=KEY), environ={}))
        ).usage
    assert usage.estimated
    assert usage.input > 0
    assert usage.cost is None


GEMINI = [
    event(
        {
            "candidates": [
                {"content": {"parts": [{"text": "hmm", "thought": True}], "role": "model"}, "index": 0}
            ]
        }
    ),
    event(
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {
                                "functionCall": {"name": "demo__add", "args": {"a": 1, "b": 2}},
                                "thoughtSignature": "R0VNU0lH",
                            },
                            {"functionCall": {"name": "demo__add", "args": {"a": 3, "b": 4}}},
                        ],
                        "role": "model",
                    },
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7},
        }
    ),
]


async def test_gemini_calls_come_whole_and_its_signature_goes_back() -> None:
    async with serve(GEMINI) as server:
        base = server.base("gemini")
        talker = LiteLLMModel(ModelSpec("gemini/gemini-3-pro-preview", api_base=base, key=KEY), environ={})
        last = await ask(talker)
        assert (last.finish, last.complete, len(last.message.calls)) == ("tool_calls", True, 2)
        results = [Message(role="tool", text="3", call_id=c.id, name=c.name) for c in last.message.calls]
        await collect(talker, ModelRequest((*ASK.messages, last.message, *results), (ADD,)))
    assert "R0VNU0lH" in json.dumps(server.bodies[-1])


async def test_ids_of_another_provider_are_replaced_alike_in_call_and_result() -> None:
    odd = "call_1__thought__" + "R0/+" * 20
    history = (
        *ASK.messages,
        Message(role="assistant", calls=(ToolCall(odd, "demo__add", "{}"),)),
        Message(role="tool", text="3", call_id=odd, name="demo__add"),
    )
    async with serve([chunk({"content": "ok"}), chunk({}, "stop"), DONE]) as server:
        await ask(
            LiteLLMModel(ModelSpec("openai/gpt-4o", api_base=server.v1, key=KEY), environ={}),
            ModelRequest(history, (ADD,)),
        )
    sent = server.bodies[-1]["messages"]
    assert sent[2]["tool_calls"][0]["id"] == sent[3]["tool_call_id"]
    assert len(sent[3]["tool_call_id"]) <= 40


async def test_tools_are_stubbed_when_none_are_left_but_some_were_used(llmock: LLMock) -> None:
    history = (
        *ASK.messages,
        Message(role="assistant", calls=(ToolCall("toolu_1", "demo__add", "{}"),)),
        Message(role="tool", text="3", call_id="toolu_1", name="demo__add"),
    )
    llmock.reply("ok")
    await ask(model("anthropic", llmock), ModelRequest(history))
    assert [tool["name"] for tool in llmock.last_request.body["tools"]] == ["demo__add"]
