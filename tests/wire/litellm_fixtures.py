"""What the tests of the real LiteLLM share: models, requests, and a server that streams what it is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models import ModelError
from omni_tui.models._worker import ensure_litellm, the_worker
from omni_tui.models.base import (
    Message,
    ModelEvent,
    ModelRequest,
    Reply,
    ToolSpec,
)
from omni_tui.models.litellm import LiteLLMModel
from tests.connections import closing

MARKS = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("warm"),
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


@pytest.fixture(scope="session")
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
    base = llmock.base_url(provider)
    return LiteLLMModel(ModelSpec(PROVIDERS[provider], api_base=base, key=KEY, **settings), environ={})


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

    listening = await asyncio.start_server(closing(handle), "127.0.0.1", 0)
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
