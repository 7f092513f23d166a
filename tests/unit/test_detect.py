"""Model servers on this machine: asked shortly, believed only where they answer as expected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from omni_tui.models.model_discovery import (
    LOCAL_SERVERS,
    LocalModelServer,
    ModelSuggestion,
    find_local_models,
    suggest_all,
)
from tests.connections import closing

OLLAMA = json.dumps({"models": [{"name": "qwen3:8b"}, {"name": "nomic-embed-text"}, {"name": "qwen3:8b"}]})


def answer(body: str | bytes, status: str = "200 OK") -> bytes:
    data = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n".encode() + data


@asynccontextmanager
async def listening(raw: bytes, *, hold: bool = False) -> AsyncIterator[tuple[LocalModelServer, list[str]]]:
    asked: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(raw)
        if hold:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(closing(handle), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield LocalModelServer("Test", "ollama_chat", port, "/api/tags"), asked


async def test_models_are_listed_with_where_they_are() -> None:
    async with listening(answer(OLLAMA)) as (server, asked):
        found = await find_local_models([server], timeout_s=5)
    because = f"Test on this machine (port {server.port})"
    assert found == [ModelSuggestion("ollama_chat/qwen3:8b", because, costs_money=False)]
    assert len(asked) == 1
    assert asked[0].startswith("GET /api/tags HTTP/1.0\r\nHost: 127.0.0.1:")
    assert "authorization" not in asked[0].lower()


async def test_the_other_shape_is_read_too() -> None:
    async with listening(answer(json.dumps({"data": [{"id": "org/model-7b"}]}))) as (server, _):
        assert [each.model for each in await find_local_models([server], timeout_s=5)] == [
            "ollama_chat/org/model-7b"
        ]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        answer("<html>hello</html>"),
        answer(OLLAMA, "404 Not Found"),
        answer("[]"),
        answer('{"models": 5}'),
        answer('{"models": [5, {"name": 7}, {}]}'),
        answer("[" * 50_000),
        answer(b"\xff\xfe{}"),
        answer(json.dumps({"models": [{"name": "\x1b[31mred"}, {"name": "a b"}, {"name": "x\u202eevil"}]})),
        answer(json.dumps({"models": [{"name": "n" * 500}]})),
        answer(json.dumps({"models": [{"name": "m"}], "fill": "x" * 300_000})),
    ],
)
async def test_whatever_is_not_a_list_of_safe_names_is_passed_over(raw: bytes) -> None:
    async with listening(raw) as (server, _):
        assert await find_local_models([server], timeout_s=5) == []


async def test_one_that_says_nothing_costs_a_moment_only() -> None:
    async with (
        listening(answer(OLLAMA)) as (good, _),
        listening(b"HTTP/1.0 200 OK\r\n", hold=True) as (dumb, _),
    ):
        async with asyncio.timeout(60):
            found = await find_local_models([dumb, good], timeout_s=0.4)
    assert len(found) == 1


def test_only_this_machine_is_ever_asked_and_under_prefixes_of_its_own() -> None:
    assert {(each.provider, each.port) for each in LOCAL_SERVERS} == {
        ("ollama_chat", 11434), ("lm_studio", 1234), ("llamafile", 8080), ("hosted_vllm", 8000),
    }  # fmt: skip


def test_every_key_in_the_environment_is_a_suggestion_that_costs_money() -> None:
    found = suggest_all({"OPENAI_API_KEY": "sk-secret", "GEMINI_API_KEY": "x", "OLLAMA_HOST": "h"})
    assert [(each.model.partition("/")[0], each.costs_money) for each in found] == [
        ("openai", True), ("gemini", True), ("ollama_chat", False),
    ]  # fmt: skip
    assert "sk-secret" not in str(found)
