"""The window of a model is asked of the server that runs it, in that server's own way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from omni_tui.agents.request_builder import RequestBuilder
from omni_tui.agents.turn_writer import TurnWriter
from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.base import Message
from omni_tui.models.litellm import ASSUMED, ASSUMED_OLLAMA, ASSUMED_OWN, LiteLLMModel
from omni_tui.models.model_facts import FoundWindow, look_up
from omni_tui.models.tool_calling_mode import ToolModeModel
from omni_tui.models.window import Window
from omni_tui.protocol.context import ContextChanged
from omni_tui.resilience.model_errors import window_in
from tests.connections import closing
from tests.engine.agent_host import QUICK, FakeHost

Pages = dict[str, Any]


class Server:
    def __init__(self, pages: Pages, *, chunked: bool = False) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.port = 0
        self.answered = asyncio.Event()
        self._chunked = chunked

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(" ".join(head.split(" ", 2)[:2]))
        page = self.pages.get(head.split(" ")[1])
        if isinstance(page, asyncio.Event):
            await page.wait()
            page = None
        body = page if isinstance(page, bytes) else json.dumps(page).encode()
        status = "200 OK" if page is not None else "404 Not Found"
        if self._chunked:
            more, body = "transfer-encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            more = f"content-length: {len(body)}"
        writer.write(f"HTTP/1.1 {status}\r\n{more}\r\n\r\n".encode() + body)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.answered.set()


@asynccontextmanager
async def serve(pages: Pages, *, chunked: bool = False) -> AsyncIterator[Server]:
    server = Server(pages, chunked=chunked)
    listening = await asyncio.start_server(closing(server.handle), "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


OLLAMA = {"/api/ps": {"models": [{"name": "qwen3:latest", "context_length": 16_384}]}, "/api/show": {}}
MODELFILE = {"/api/ps": {"models": []}, "/api/show": {"parameters": 'stop "x"\nnum_ctx      12288'}}
LM_STUDIO = {"/api/v0/models/m": {"loaded_context_length": 8_192, "max_context_length": 131_072}}
UNLOADED = {"/api/v0/models/m": {"max_context_length": 131_072}}
NEW_STUDIO = {
    "/api/v1/models": {
        "models": [
            {"key": "other", "loaded_instances": [{"config": {"context_length": 1_111}}]},
            {"key": "m", "loaded_instances": [{"config": {"context_length": 9_000}}]},
        ]
    }
}
LLAMA = {"/props": {"default_generation_settings": {"n_ctx": 6_144}}}
VLLM = {
    "/v1/models": {"data": [{"id": "other", "max_model_len": 1_024}, {"id": "m", "max_model_len": 40_960}]}
}


def owned(by: str, model: str, pages: Pages) -> Pages:
    return {"/v1/models": {"data": [{"id": model, "owned_by": by}]}, **pages}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("provider", "model", "pages", "found"),
    [
        ("ollama_chat", "qwen3", OLLAMA, FoundWindow(16_384, settled=True)),
        ("ollama_chat", "qwen3", MODELFILE, FoundWindow(12_288, settled=False)),
        ("lm_studio", "m", LM_STUDIO, FoundWindow(8_192, settled=True)),
        ("lm_studio", "m", UNLOADED, FoundWindow(131_072, settled=False)),
        ("lm_studio", "m", NEW_STUDIO, FoundWindow(9_000, settled=True)),
        ("llamafile", "m", LLAMA, FoundWindow(6_144, settled=True)),
        ("hosted_vllm", "m", VLLM, FoundWindow(40_960, settled=True)),
        ("openai", "m", VLLM, FoundWindow(40_960, settled=True)),
        ("openai", "m", owned("llamacpp", "m", LLAMA), FoundWindow(6_144, settled=True)),
        ("openai", "m", owned("organization_owner", "m", LM_STUDIO), FoundWindow(8_192, settled=True)),
        ("openai", "qwen3", owned("library", "qwen3", OLLAMA), FoundWindow(16_384, settled=True)),
        ("openai", "m", {"/v1/models": {"data": [{"id": "m"}]}}, None),
        ("anthropic", "m", VLLM, None),
    ],
)  # fmt: skip
async def test_each_server_is_asked_in_its_own_way(
    provider: str, model: str, pages: Pages, found: FoundWindow | None, chunked: bool
) -> None:
    async with serve(pages, chunked=chunked) as server:
        address = f"http://127.0.0.1:{server.port}/v1"
        assert await look_up(provider, address, model) == found


@pytest.mark.parametrize(
    "page",
    [
        b"<html>",
        b"[1]",
        b'{"models": 5}',
        b'{"data": [5, {"id": 5}]}',
        b"[" * 9_000,
        b'{"data":[{"id":"m","max_model_len":true}]}',
        None,
    ],
)
@pytest.mark.parametrize("provider", ["ollama", "lm_studio", "llamafile", "hosted_vllm", "openai"])
async def test_a_server_that_answers_otherwise_tells_nothing(provider: str, page: object) -> None:
    paths = ("/api/ps", "/api/show", "/api/v0/models/m", "/api/v1/models", "/props", "/v1/models")
    async with serve(dict.fromkeys(paths, page)) as server:
        assert await look_up(provider, f"http://127.0.0.1:{server.port}", "m") is None


async def test_nothing_that_could_be_a_request_is_posted_to_who_is_not_ollama() -> None:
    async with serve({"/api/ps": {"object": "list", "data": []}}) as server:
        assert await look_up("ollama_chat", f"127.0.0.1:{server.port}", "m") is None
        assert server.asked == ["GET /api/ps"]


async def test_a_silent_server_costs_its_time_once_for_each_of_a_few_requests() -> None:
    silence = asyncio.Event()
    async with serve({"/v1/models": silence}) as server:
        assert await look_up("openai", f"http://127.0.0.1:{server.port}", "m", timeout_s=0.01) is None
        silence.set()
        await server.answered.wait()
    model = LiteLLMModel(ModelSpec("openai/m", api_base="http://127.0.0.1:9"), environ={})
    for _ in range(9):
        await model.look_up_window()
    assert model.context_window() is None


def test_what_is_assumed_depends_on_whose_machine_it_is() -> None:
    def made(name: str, base: str = "") -> int:
        return LiteLLMModel(ModelSpec(name, api_base=base), environ={}).assumed_window()

    assert made("openrouter/new/model") == ASSUMED
    assert made("openai/x", "http://127.0.0.1:1/v1") == made("hosted_vllm/x") == ASSUMED_OWN
    assert made("ollama_chat/x") == ASSUMED_OLLAMA


def long_history() -> list[Message]:
    return [Message(role=role, text="word " * 800) for _ in range(40) for role in ("user", "assistant")]


async def test_an_assumed_window_prunes_says_so_and_forbids_nothing() -> None:
    model = ToolModeModel(
        LiteLLMModel(ModelSpec("ollama_chat/x", api_base="http://127.0.0.1:9"), environ={})
    )
    window = Window()
    window.update(model, [*long_history(), Message("user", "go on")])
    fitted = window.fit(model, Message("system", "s"), ())
    assert fitted.assumed
    assert fitted.dropped
    assert fitted.total <= (fitted.limit or 0)
    window.update(model, [Message("user", "word " * 60_000)])
    assert window.fit(model, Message("system", "s"), ()).total > ASSUMED_OLLAMA, "it may be true or not"


async def test_the_agent_asks_before_it_decides_what_to_leave_out() -> None:
    async with serve(VLLM) as server:
        base = f"http://127.0.0.1:{server.port}/v1"
        model = ToolModeModel(LiteLLMModel(ModelSpec("hosted_vllm/m", api_base=base), environ={}))
        host = FakeHost()
        await RequestBuilder(TurnWriter(host, "t"), QUICK).request(model, ())
        (told,) = host.seen(ContextChanged)
        assert (told.window, told.assumed) == (40_960, False)
        await RequestBuilder(TurnWriter(host, "t"), QUICK).request(model, ())
        assert len(server.asked) == 1, "what is settled is not asked again"
    set_by_hand = LiteLLMModel(ModelSpec("hosted_vllm/m", api_base=base, context=5_000), environ={})
    await set_by_hand.look_up_window()
    assert set_by_hand.context_window() == 5_000


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ("This model's maximum context length is 8192 tokens. However, you requested 9,000 tokens.", 8_192),
        ("the request exceeds the available context size (4096 tokens), try increasing it", 4_096),
        ('{"error":{"code":400,"type":"exceed_context_size_error","n_ctx":2048}}', 2_048),
        ("prompt is too long: 210000 tokens > 200000 maximum", 200_000),
        ("The input token count (1200000) exceeds the maximum number of tokens (1048576)", 1_048_576),
        ("the model is loaded with context length of only 4096 tokens", 4_096),
        ("tokens per minute (TPM): Limit 6000, Requested 9000", 6_000),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", 200_000),
        ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", 32_768),
        ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens", 4_096),
        ("Your request exceeded model token limit: 8192 (requested: 9000)", 8_192),
        ("Error code: 400 - context_length_exceeded", None),
        ("Input is too long for requested model.", None),
    ],
)  # fmt: skip
def test_the_window_is_read_from_an_overflow(words: str, window: int | None) -> None:
    assert window_in(words) == window
