"""The real LiteLLM over HTTP against `llmock`: answers, pretended ends, errors, keys, stopping."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading

import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply as Scripted
from llmock.scenarios import ToolCall as ScriptedCall

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models import _worker as worker_module
from omni_tui.models.base import (
    Message,
    ModelEvent,
    ModelRequest,
    Reply,
    TextPart,
)
from omni_tui.models.litellm import LiteLLMModel
from tests.wire.litellm_fixtures import (
    ADD,
    ASK,
    DONE,
    KEY,
    MARKS,
    PROVIDERS,
    STALLED,
    ask,
    both,
    chunk,
    collect,
    fail,
    model,
    serve,
    warm,
)

__all__ = ["warm"]

pytestmark = MARKS

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
    llmock.reply("ok")
    await ask(model("openai", llmock, temperature=0.5, max_tokens=77, top_p=0.9))
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


@both
async def test_a_chunk_that_is_no_json_is_never_taken_for_an_end(provider: str, llmock: LLMock) -> None:
    llmock.reply("one two three four five six").corrupt(after_chunks=4)
    error = await fail(model(provider, llmock))
    assert error.kind == "cut"
    assert "cannot be read in the middle of the answer" in error.what


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
    assert words in error.what
    assert f"({status}): Because of this." in error.what
    assert error.status == status
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
    error = await fail(
        LiteLLMModel(ModelSpec(name, api_base=f"http://127.0.0.1:{port}", key=KEY), environ={})
    )
    assert error.kind == "transient"
    assert f"nothing listens at 127.0.0.1:{port}" in error.what


async def test_a_name_without_a_provider_is_said(llmock: LLMock) -> None:
    error = await fail(LiteLLMModel(ModelSpec("nonsense"), environ={}))
    assert error.kind == "permanent"
    assert "provider/model" in error.todo


async def test_a_missing_key_is_said_before_anything_is_sent() -> None:
    error = await fail(LiteLLMModel(ModelSpec("anthropic/claude-sonnet-4-5"), environ={}))
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
        await ask(LiteLLMModel(ModelSpec("openai/local", api_base=server.v1), environ=environ))
    assert server.header("authorization") == f"Bearer {sent}"


async def test_a_key_never_crosses_the_network_in_the_clear() -> None:
    error = await fail(
        LiteLLMModel(ModelSpec("openai/x", api_base="http://192.0.2.1/v1", key=KEY), environ={})
    )
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
        talker = LiteLLMModel(
            ModelSpec(PROVIDERS[provider], api_base=server.base(provider), key=KEY), environ={}
        )
        seen: list[ModelEvent] = []

        async def read() -> None:
            async for event in talker.stream(ASK):
                seen.append(event)
                told.set()

        told = asyncio.Event()
        task = asyncio.create_task(read())
        async with asyncio.timeout(60):
            await told.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.gone.wait()
    assert seen == [TextPart("hello")]


async def test_closing_the_generator_closes_the_connection() -> None:
    async with serve(STALLED["openai"], hold=True) as server:
        talker = LiteLLMModel(ModelSpec("openai/gpt-4o", api_base=server.v1, key=KEY), environ={})
        stream = talker.stream(ASK)
        async with asyncio.timeout(60):
            assert await anext(stream) == TextPart("hello")
            await stream.aclose()
            await server.gone.wait()


async def test_silence_after_tokens_is_a_cut_and_before_them_transient() -> None:
    for pieces, kind in ((STALLED["openai"], "cut"), ([], "transient")):
        async with serve(pieces, hold=True) as server:
            talker = LiteLLMModel(
                ModelSpec("openai/gpt-4o", api_base=server.v1, key=KEY),
                environ={},
                first_token_s=1,
                idle_s=1,
            )
            error = await fail(talker)
            assert (error.kind, "sent nothing" in error.what) == (kind, True)
            async with asyncio.timeout(60):
                await server.gone.wait()


async def test_stopping_while_litellm_loads_is_immediate(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, release = threading.Event(), threading.Event()

    def slow() -> None:
        loading.set()
        release.wait(60)
        raise ImportError("never")

    monkeypatch.setattr("omni_tui.models.litellm.ensure_litellm", slow)
    task = asyncio.create_task(collect(LiteLLMModel(ModelSpec("openai/gpt-4o", key=KEY), environ={})))
    await asyncio.to_thread(loading.wait, 60)
    started = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    took = asyncio.get_running_loop().time() - started
    release.set()
    assert took < 20


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
    assert LiteLLMModel(ModelSpec("anthropic/claude-sonnet-4-5"), environ={}).context_window() == 200_000
    assert LiteLLMModel(ModelSpec("ollama_chat/some-model-of-mine"), environ={}).context_window() is None
    assert LiteLLMModel(ModelSpec("ollama_chat/x", context=8_000), environ={}).context_window() == 8_000


def test_what_we_rely_on_inside_litellm_is_still_there() -> None:
    import inspect

    import litellm
    from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

    source = inspect.getsource(CustomStreamWrapper.__init__)
    assert "self.received_finish_reason" in source
    assert "self.intermittent_finish_reason" in source
    assert "self.chunks" in source
    assert "_skip_mcp_handler" in inspect.getsource(litellm.main)
