"""The recorded streams through the real LiteLLM over HTTP: whole, in pieces, cut off and torn off."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from omni_tui.config.model_settings import ModelSpec
from omni_tui.models.base import Message, ModelError, ModelRequest, Reply, ThoughtPart
from omni_tui.models.litellm import LiteLLMModel
from omni_tui.models.message_history import arguments_of
from tests.connections import closing
from tests.lengths import some
from tests.streams import STREAMS, TOOLS, Object, Stream
from tests.wire.double import NAMES
from tests.wire.litellm_fixtures import KEY, MARKS, warm

__all__ = ["warm"]

pytestmark = MARKS

CUTS = 3
"""Places where each stream is cut off, and torn off."""
REQUEST = ModelRequest((Message(role="user", text="add 1 and 2"),), TOOLS)
every = pytest.mark.parametrize("stream", some(STREAMS, 24), ids=lambda each: f"{each.wire}: {each.name}")


class Wire:
    """A server that sends `pieces`, each by itself, and then ends, or tears the connection."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.pieces: list[bytes] = []
        self.torn = False
        self.port = 0

    async def ask(self, pieces: list[bytes], *, torn: bool = False) -> tuple[str, Any]:
        """Send pieces to the model; return its failure or "", and text, thought and calls."""
        self.pieces, self.torn = pieces, torn
        base = f"http://127.0.0.1:{self.port}" + ("/v1" if self.stream.wire == "openai" else "")
        model = LiteLLMModel(ModelSpec(NAMES[self.stream.wire], api_base=base, key=KEY), environ={})
        thought, reply = "", None
        try:
            async for event in model.stream(REQUEST):
                thought += event.text if isinstance(event, ThoughtPart) else ""
                reply = event if isinstance(event, Reply) else reply
        except ModelError as error:
            return (error.kind if error.what and error.todo else ""), None
        assert reply is not None
        calls = tuple((call.name, arguments_of(call)) for call in reply.message.calls)
        failure = "" if reply.complete else "unfinished"
        return failure, (reply.message.text, thought + reply.thought, calls)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line for line in head.splitlines() if line.lower().startswith("content-length")]
        await reader.readexactly(int(lengths[0].partition(":")[2]) if lengths else 0)
        if "/api/show" in head.splitlines()[0]:  # LiteLLM asks Ollama about the model
            writer.write(b"HTTP/1.1 404 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        else:
            await self._send(writer)
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {self.stream.kind}\r\ntransfer-encoding: chunked\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode())
        for piece in filter(None, self.pieces):
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        if self.torn:
            writer.transport.abort()
        else:
            writer.write(b"0\r\n\r\n")


@asynccontextmanager
async def serving(stream: Stream) -> AsyncIterator[Wire]:
    """Serve one stream."""
    wire = Wire(stream)
    listening = await asyncio.start_server(closing(wire.handle), "127.0.0.1", 0)
    wire.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield wire


def assert_as_meant(stream: Stream, found: tuple[str, Any]) -> None:
    if stream.ends == "whole":
        assert found == ("", (stream.text, stream.thought, stream.calls))
    else:
        assert found[0]


@every
async def test_it_means_what_it_says_however_it_is_cut_up(stream: Stream) -> None:
    data, chance = stream.bytes(), random.Random(stream.name)
    async with serving(stream) as wire:
        assert_as_meant(stream, await wire.ask([data]))
        cuts = sorted(chance.sample(range(len(data) + 1), min(12, len(data))))
        pieces = [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]
        assert_as_meant(stream, await wire.ask(pieces))


@every
async def test_cut_off_it_is_the_same_or_a_failure(stream: Stream) -> None:
    data, chance = stream.bytes(), random.Random(stream.name)
    async with serving(stream) as wire:
        for at, torn in itertools.product(
            chance.sample(range(len(data)), min(CUTS, len(data))), (False, True)
        ):
            failure, found = await wire.ask([data[:at]], torn=torn)
            if failure:
                continue
            assert stream.ends == "whole", at
            assert found[2] == stream.calls, at
            assert found[0] == stream.text or stream.early, at


# --- OpenAI's responses, which LiteLLM asks for with some models ---------------------------------


def _responses() -> list[Object]:
    base = {"id": "r", "object": "response", "created_at": 1, "status": "in_progress", "model": "x"}
    base |= {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None}
    call = {"type": "function_call", "id": "fc", "call_id": "call_1", "name": "demo__add"}
    whole = {**call, "arguments": '{"a": 1, "b": 2}', "status": "completed"}
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    place = {"item_id": "fc", "output_index": 0}
    kind = "response.function_call_arguments"
    events: list[Object] = [
        {"type": "response.created", "response": base},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**call, "arguments": "", "status": "in_progress"},
        },
        {"type": f"{kind}.delta", **place, "delta": '{"a": 1,'},
        {"type": f"{kind}.delta", **place, "delta": ' "b": 2}'},
        {"type": f"{kind}.done", **place, "arguments": whole["arguments"], "name": "demo__add"},
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {
            "type": "response.completed",
            "response": {**base, "status": "completed", "output": [whole], "usage": usage},
        },
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


async def test_responses_are_the_same_or_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMES, "openai", "openai/gpt-5-codex")
    sent = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in _responses()]
    data = b"".join(sent)
    async with serving(Stream("responses", "openai")) as wire:
        meant = ("", ("", "", (("demo__add", {"a": 1, "b": 2}),)))
        assert await wire.ask([data]) == meant
        assert await wire.ask([data[at : at + 50] for at in range(0, len(data), 50)]) == meant
        for torn, count in itertools.product((False, True), range(len(sent))):
            assert (await wire.ask([*sent[:count], sent[count][:30]], torn=torn))[0], count
