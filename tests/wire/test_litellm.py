"""The real LiteLLM over HTTP, against `llmock` and small servers of our own that say what it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply as Scripted
from llmock.scenarios import ToolCall as ScriptedCall

from omni_tui.models import ModelError
from omni_tui.models import _worker as worker_module
from omni_tui.models._worker import ensure_litellm, the_worker
from omni_tui.models.base import (
    Message,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolSpec,
)
from omni_tui.models.litellm import LiteLLMModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    # LiteLLM's own: pydantic complains about its models at use.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

KEY = "sk-test-0123456789abcdef"
ADD = ToolSpec(
    "demo__add",
    "Add two numbers",
    {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
    },
)
ASK = ModelRequest(
    (Message(role="system", text="Be brief."), Message(role="user", text="add 17 and 25")), (ADD,)
)
PROVIDERS = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-sonnet-4-5"}
both = pytest.mark.parametrize("provider", list(PROVIDERS))


@pytest.fixture(scope="session", autouse=True)
def warm() -> Iterator[None]:
    """Import LiteLLM once, in its thread, and end that thread after the last test."""
    loaded = threading.Event()
    failed: list[BaseException] = []

    async def work() -> None:
        try:
            ensure_litellm()
        except BaseException as error:
            failed.append(error)
        loaded.set()

    worker = the_worker()
    worker.submit(work())
    assert loaded.wait(120)
    assert not failed
    yield
    worker.stop()


def model(provider: str, llmock: LLMock, **settings: Any) -> LiteLLMModel:
    return LiteLLMModel(
        PROVIDERS[provider], api_base=llmock.base_url(provider), api_key=KEY, environ={}, **settings
    )


async def collect(model: LiteLLMModel, request: ModelRequest = ASK) -> list[ModelEvent]:
    return [event async for event in model.stream(request)]


async def ask(model: LiteLLMModel, request: ModelRequest = ASK) -> Reply:
    last = (await collect(model, request))[-1]
    assert isinstance(last, Reply)
    return last


async def fail(model: LiteLLMModel, request: ModelRequest = ASK) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await collect(model, request)
    assert KEY not in caught.value.what + caught.value.todo
    assert "http" not in caught.value.what
    assert "litellm." not in caught.value.what
    return caught.value


# --- answers ----------------------------------------------------------------------------------


@both
async def test_text_is_streamed_and_priced(provider: str, llmock: LLMock) -> None:
    llmock.reply("It is forty two, surely.")
    events = await collect(model(provider, llmock))
    text = "".join(event.text for event in events if isinstance(event, TextPart))
    last = events[-1]
    assert isinstance(last, Reply)
    assert text == last.message.text == "It is forty two, surely."
    assert (last.finish, last.complete) == ("stop", True)
    assert last.usage.output > 0
    assert not last.usage.estimated
    assert last.usage.cost is not None


@both
async def test_parallel_calls_keep_their_fragments_apart(provider: str, llmock: LLMock) -> None:
    calls = (ScriptedCall("demo__add", {"a": 17, "b": 25}), ScriptedCall("demo__add", {"a": 1, "b": 2}))
    llmock.add(Scripted(text="Both.", tool_calls=calls))
    last = await ask(model(provider, llmock))
    assert (last.finish, last.complete, last.message.text) == ("tool_calls", True, "Both.")
    assert [json.loads(call.arguments) for call in last.message.calls] == [
        {"a": 17, "b": 25},
        {"a": 1, "b": 2},
    ]
    assert len({call.id for call in last.message.calls}) == 2


@both
async def test_two_steps_with_a_result_in_between(provider: str, llmock: LLMock) -> None:
    llmock.call_tool("demo__add", {"a": 17, "b": 25})
    talker = model(provider, llmock)
    first = await ask(talker)
    call = first.message.calls[0]
    result = Message(role="tool", text="42", call_id=call.id, name=call.name)
    llmock.reply("It is 42.")
    second = await ask(talker, ModelRequest((*ASK.messages, first.message, result), (ADD,)))
    assert second.message.text == "It is 42."
    sent = json.dumps(llmock.last_request.body)
    assert call.id in sent
    assert '"42"' in sent


@both
async def test_one_request_is_one_request(provider: str, llmock: LLMock) -> None:
    llmock.fail(500, times=None)
    await fail(model(provider, llmock))
    assert len(llmock.requests) == 1


async def test_settings_are_sent(llmock: LLMock) -> None:
    from omni_tui.models.litellm import Sampling

    llmock.reply("ok")
    await ask(model("openai", llmock, sampling=Sampling(temperature=0.5, max_tokens=77, top_p=0.9)))
    body = llmock.last_request.body
    assert (body["temperature"], body["max_tokens"], body["top_p"]) == (0.5, 77, 0.9)


async def test_an_answer_cut_at_the_output_limit_says_so(llmock: LLMock) -> None:
    llmock.add(Scripted(text="half", finish_reason="length"))
    last = await ask(model("openai", llmock))
    assert (last.finish, last.complete) == ("length", True)


# --- what only pretends to be whole -----------------------------------------------------------


@both
async def test_a_truncated_text_is_not_complete(provider: str, llmock: LLMock) -> None:
    llmock.reply("one two three four five six seven eight").truncate(after_chunks=5)
    last = await ask(model(provider, llmock))
    assert last.message.text
    assert last.message.text != "one two three four five six seven eight"
    assert not last.complete


@both
@pytest.mark.parametrize("after", [2, 3, 4])
async def test_a_truncated_call_is_not_complete(provider: str, after: int, llmock: LLMock) -> None:
    llmock.call_tool("demo__add", {"a": 17, "b": 25}).truncate(after_chunks=after)
    assert not (await ask(model(provider, llmock))).complete


async def test_a_chunk_that_is_no_json_is_never_taken_for_an_end(llmock: LLMock) -> None:
    llmock.reply("one two three four five six").corrupt(after_chunks=4)
    error = await fail(model("openai", llmock))
    assert error.kind == "cut"
    llmock.reply("one two three four five six").corrupt(after_chunks=4)
    # LiteLLM takes it for the end of Anthropic's stream.
    assert not (await ask(model("anthropic", llmock))).complete


@both
async def test_a_hard_cut_after_tokens_is_a_cut(provider: str, llmock: LLMock) -> None:
    llmock.reply("one two three four five six").disconnect(after_chunks=5)
    error = await fail(model(provider, llmock))
    assert error.kind == "cut"
    assert "lost" in error.what


@both
async def test_a_hard_cut_before_tokens_is_transient(provider: str, llmock: LLMock) -> None:
    llmock.reply("one two").disconnect(after_chunks=0)
    assert (await fail(model(provider, llmock))).kind == "transient"


async def test_malformed_arguments_of_a_finished_answer_are_the_models_mistake(llmock: LLMock) -> None:
    llmock.break_tool_call("malformed_arguments")
    last = await ask(model("openai", llmock))
    assert last.complete
    with pytest.raises(ValueError, match=r"."):
        json.loads(last.message.calls[0].arguments)


# --- errors -----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, "request", "refused the request"),
        (401, "auth", "API key"),
        (402, "quota", "credit"),
        (403, "auth", "not allow"),
        (404, "request", "does not know"),
        (408, "transient", "in time"),
        (422, "request", "refused the request"),
        (429, "transient", "how often"),
        (500, "transient", "error of its own"),
        (502, "transient", "error of its own"),
        (503, "transient", "over"),
        (529, "transient", "over"),
    ],
)
async def test_a_status_becomes_a_kind_and_words(
    provider: str, status: int, kind: str, words: str, llmock: LLMock
) -> None:
    llmock.fail(status, message="Because of this. sk-live-abcdefghijkl")
    error = await fail(model(provider, llmock))
    assert error.kind == kind
    # LiteLLM turns Anthropic's 503 and 529 into 500.
    assert words in error.what or (
        provider == "anthropic" and status in (503, 529) and "error of its own" in error.what
    )
    assert error.todo
    assert "sk-live" not in error.what


@both
async def test_retry_after_is_found(provider: str, llmock: LLMock) -> None:
    llmock.rate_limit(retry_after=7)
    assert (await fail(model(provider, llmock))).retry_after_s == 7


@both
async def test_no_quota_is_not_retried(provider: str, llmock: LLMock) -> None:
    llmock.fail(429, code="insufficient_quota", message="You exceeded your current quota")
    assert (await fail(model(provider, llmock))).kind == "quota"


@both
async def test_a_conversation_that_is_too_long_is_an_overflow(provider: str, llmock: LLMock) -> None:
    llmock.context_overflow()
    assert (await fail(model(provider, llmock))).kind == "overflow"


@pytest.mark.parametrize("name", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "ollama_chat/llama3"])
async def test_nothing_listens(name: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await fail(LiteLLMModel(name, api_base=f"http://127.0.0.1:{port}", api_key=KEY, environ={}))
    assert error.kind == "transient"
    assert f"nothing listens at 127.0.0.1:{port}" in error.what


async def test_a_name_without_a_provider_is_said(llmock: LLMock) -> None:
    error = await fail(LiteLLMModel("nonsense", environ={}))
    assert error.kind == "permanent"
    assert "provider/model" in error.todo


async def test_a_missing_key_is_said_before_anything_is_sent() -> None:
    error = await fail(LiteLLMModel("anthropic/claude-sonnet-4-5", environ={}))
    assert error.kind == "auth"
    assert "ANTHROPIC_API_KEY or LLM_API_KEY" in error.todo


@pytest.mark.parametrize(
    ("environ", "sent"),
    [
        ({"LLM_API_KEY": "spare"}, "spare"),
        ({"LLM_API_KEY": "spare", "OPENAI_API_KEY": "own"}, "own"),
        ({}, "not-needed"),
    ],
)
async def test_which_key_is_sent(environ: dict[str, str], sent: str) -> None:
    async with serve([chunk({"content": "ok"}), chunk({}, "stop"), DONE]) as server:
        await ask(LiteLLMModel("openai/local", api_base=server.v1, environ=environ))
    assert server.header("authorization") == f"Bearer {sent}"


async def test_a_key_never_crosses_the_network_in_the_clear() -> None:
    error = await fail(LiteLLMModel("openai/x", api_base="http://192.0.2.1/v1", api_key=KEY, environ={}))
    assert error.kind == "permanent"
    assert "unencrypted" in error.what


async def test_a_missing_module_inside_litellm_is_permanent(
    llmock: LLMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm
    from litellm.exceptions import APIConnectionError

    async def broken(**_: object) -> None:
        try:
            raise ModuleNotFoundError("No module named 'boto3'", name="boto3")
        except ModuleNotFoundError as error:
            raise APIConnectionError(
                message=f"litellm.APIConnectionError: {error}", llm_provider="x", model="x"
            ) from error

    monkeypatch.setattr(litellm, "acompletion", broken)
    error = await fail(model("openai", llmock))
    assert error.kind == "permanent"
    assert "boto3" in error.what


# --- stopping ---------------------------------------------------------------------------------


@both
async def test_stopping_a_stalled_stream_closes_the_connection(provider: str) -> None:
    async with serve(STALLED[provider], hold=True) as server:
        talker = LiteLLMModel(PROVIDERS[provider], api_base=server.base(provider), api_key=KEY, environ={})
        seen: list[ModelEvent] = []

        async def read() -> None:
            async for event in talker.stream(ASK):
                seen.append(event)
                told.set()

        told = asyncio.Event()
        task = asyncio.create_task(read())
        async with asyncio.timeout(30):
            await told.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.gone.wait()
    assert seen == [TextPart("hello")]


async def test_closing_the_generator_closes_the_connection() -> None:
    async with serve(STALLED["openai"], hold=True) as server:
        talker = LiteLLMModel("openai/gpt-4o", api_base=server.v1, api_key=KEY, environ={})
        stream = talker.stream(ASK)
        async with asyncio.timeout(30):
            assert await anext(stream) == TextPart("hello")
            await stream.aclose()
            await server.gone.wait()


async def test_silence_after_tokens_is_a_cut_and_before_them_transient() -> None:
    for pieces, kind in ((STALLED["openai"], "cut"), ([], "transient")):
        async with serve(pieces, hold=True) as server:
            talker = LiteLLMModel(
                "openai/gpt-4o", api_base=server.v1, api_key=KEY, environ={}, first_token_s=1, idle_s=1
            )
            error = await fail(talker)
            assert (error.kind, "sent nothing" in error.what) == (kind, True)
            async with asyncio.timeout(10):
                await server.gone.wait()


async def test_stopping_while_litellm_loads_is_immediate(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, release = threading.Event(), threading.Event()

    def slow() -> None:
        loading.set()
        release.wait(20)
        raise ImportError("never")

    monkeypatch.setattr("omni_tui.models.litellm.ensure_litellm", slow)
    task = asyncio.create_task(collect(LiteLLMModel("openai/gpt-4o", api_key=KEY, environ={})))
    await asyncio.to_thread(loading.wait, 20)
    started = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    took = asyncio.get_running_loop().time() - started
    release.set()
    assert took < 1.5


# --- shapes that llmock does not speak --------------------------------------------------------


class Server:
    """Answers every request with the same pieces of a stream."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.gone = asyncio.Event()

    @property
    def v1(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def base(self, provider: str) -> str:
        return self.v1 if provider == "openai" else self.v1.removesuffix("/v1")

    def header(self, name: str) -> str:
        lines = (line.partition(":") for line in self.heads[-1].splitlines())
        return next(value.strip() for key, _, value in lines if key.lower() == name)


@asynccontextmanager
async def serve(pieces: list[bytes], *, hold: bool = False) -> AsyncIterator[Server]:
    """Serve `pieces` as an event stream; with `hold`, keep the connection open until the client goes."""
    server = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.lower().startswith("content-le")
        )
        server.heads.append(head)
        server.bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        if hold:
            await reader.read()
            server.gone.set()
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def event(data: object, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return ((f"event: {name}\n" if name else "") + f"data: {text}\n\n").encode()


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    )


def typed(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


DONE = event("[DONE]")
START = typed(
    "message_start",
    message={
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "x",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
)
STALLED = {
    "openai": [chunk({"role": "assistant", "content": "hello"})],
    "anthropic": [
        START,
        typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "hello"}),
    ],
}


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
            PROVIDERS["anthropic"], api_base=server.base("anthropic"), api_key=KEY, environ={}
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
            LiteLLMModel("openai/gpt-4o", api_base=server.v1, api_key=KEY, environ={}),
            ModelRequest(history),
        )
    assert "SECRET" not in json.dumps(server.bodies)


async def test_reasoning_of_openai_shapes_is_a_thought() -> None:
    async with serve(
        [chunk({"reasoning_content": "let me see"}), chunk({"content": "ok"}), chunk({}, "stop"), DONE]
    ) as server:
        events = await collect(LiteLLMModel("openai/local", api_base=server.v1, api_key=KEY, environ={}))
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
        last = await ask(LiteLLMModel("openai/local", api_base=server.v1, api_key=KEY, environ={}))
    assert [json.loads(call.arguments)["a"] for call in last.message.calls] == [1, 3, 5, 7]
    assert len({call.id for call in last.message.calls}) == 4
    assert all(call.id for call in last.message.calls)


@pytest.mark.parametrize(
    ("arguments", "complete"),
    [('{"a": 1, "b": 2}', True), ('{"a": 1}', False), ("{}", False), ('{"a": 1, "b', False)],
)
async def test_a_call_that_ends_with_stop_must_hold_together(arguments: str, complete: bool) -> None:
    async with serve([chunk(called("c1", arguments)), chunk({}, "stop"), DONE]) as server:
        last = await ask(LiteLLMModel("openai/local", api_base=server.v1, api_key=KEY, environ={}))
    assert last.complete is complete
    assert last.finish == "tool_calls"


async def test_usage_that_the_provider_did_not_give_is_marked_and_an_unknown_price_is_none() -> None:
    async with serve([chunk({"content": "hello there"}), chunk({}, "stop"), DONE]) as server:
        usage = (await ask(LiteLLMModel("openai/local", api_base=server.v1, api_key=KEY, environ={}))).usage
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
        talker = LiteLLMModel("gemini/gemini-3-pro-preview", api_base=base, api_key=KEY, environ={})
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
            LiteLLMModel("openai/gpt-4o", api_base=server.v1, api_key=KEY, environ={}),
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


# --- quietness --------------------------------------------------------------------------------


async def test_litellm_prints_nothing_and_has_no_handlers(
    llmock: LLMock, capfd: pytest.CaptureFixture[str]
) -> None:
    llmock.fail(500)
    await fail(model("openai", llmock))
    llmock.reply("ok")
    await ask(model("openai", llmock))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not any(logging.getLogger(name).handlers for name in worker_module._LOGGERS)


async def test_the_window_is_known_without_asking_anybody() -> None:
    assert LiteLLMModel("anthropic/claude-sonnet-4-5", environ={}).context_window() == 200_000
    assert LiteLLMModel("ollama_chat/some-model-of-mine", environ={}).context_window() is None
    assert LiteLLMModel("ollama_chat/x", environ={}, context=8_000).context_window() == 8_000


def test_what_we_rely_on_inside_litellm_is_still_there() -> None:
    import inspect

    import litellm
    from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

    source = inspect.getsource(CustomStreamWrapper.__init__)
    assert "self.received_finish_reason" in source
    assert "self.intermittent_finish_reason" in source
    assert "self.chunks" in source
    assert "_skip_mcp_handler" in inspect.getsource(litellm.main)
