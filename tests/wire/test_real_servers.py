"""Real MCP servers of both protocol eras, over both transports, through our own connections."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.protocol.events import ServerChanged
from omni_tui.servers import CallError
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from tests.engine.faults.harness import Harness, connected
from tests.wire.conftest import WebServer

pytestmark = pytest.mark.wire
Find = Callable[[str], str]


async def _idle(servers: Harness, name: str) -> ServerChanged:
    told = await servers.reach(name, "idle", "failed", "degraded")
    assert told.state == "idle", f"{told.reason}: {servers.registry.get(name).log.lines()}"
    return told


def _text(result: Any) -> str:
    return "".join(block.get("text", "") for block in result.content)


async def test_everything_over_stdio(tmp_path: Path, npm_bin: Find) -> None:
    spec = ServerSpec(name="all", command=npm_bin("mcp-server-everything"), args=("stdio",))
    async with connected(tmp_path, spec) as servers:
        told = await _idle(servers, "all")
        assert told.protocol == "2025-11-25"
        assert told.tools >= 10
        assert told.prompts > 0
        assert told.resources > 0
        await _exercise_everything(servers)


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_everything_asks_the_person_and_the_model(
    tmp_path: Path, npm_bin: Find, everything: WebServer, transport: str
) -> None:
    asks: list[ServerRequest] = []

    async def answer(ask: ServerRequest) -> ServerRequestAnswer:
        asks.append(ask)
        if ask.kind == "sampling":
            return ServerRequestAnswer("accept", text="forty-two", model="a person")
        return ServerRequestAnswer("accept", content={"name": "Ada"})

    spec = ServerSpec(name="all", command=npm_bin("mcp-server-everything"), args=("stdio",))
    if transport == "http":
        spec = ServerSpec(name="all", url=everything.url)
    async with connected(tmp_path, spec, asker=answer) as servers:
        await _idle(servers, "all")
        # It offers these tools a moment after it has heard what we can be asked.
        wanted = {"trigger-elicitation-request", "trigger-sampling-request"}
        await servers.until(lambda: wanted <= {tool.name for tool in servers.tools.get("all", [])})
        told = _text(await servers.call("all", "trigger-elicitation-request"))
        assert "Ada" in told
        sampled = _text(await servers.call("all", "trigger-sampling-request", {"prompt": "The answer?"}))
        assert "forty-two" in sampled
    assert [ask.kind for ask in asks] == ["form", "sampling"]
    assert "properties" in asks[0].body
    assert "The answer?" in json.dumps(asks[1].body)


async def test_everything_over_http(tmp_path: Path, everything: WebServer) -> None:
    async with connected(tmp_path, ServerSpec(name="all", url=everything.url)) as servers:
        told = await _idle(servers, "all")
        assert told.protocol == "2025-11-25"
        assert told.tools >= 10
        assert told.prompts > 0
        await _exercise_everything(servers)
        begun = time.monotonic()
        await servers.registry.stop()
        assert time.monotonic() - begun < 30


async def _exercise_everything(servers: Harness) -> None:
    assert "hello \u2028 there" in _text(
        await servers.call("all", "echo", {"message": "hello \u2028 there"})
    )
    structured = await servers.call("all", "get-structured-content", {"location": "New York"})
    assert structured.has_structured
    assert "temperature" in structured.structured
    reports: list[tuple[float, float | None, str]] = []
    await servers.call(
        "all",
        "trigger-long-running-operation",
        {"duration": 1, "steps": 4},
        on_progress=lambda *report: reports.append(report),
    )
    assert reports[-1][:2] == (4, 4)
    long = asyncio.create_task(
        servers.call("all", "trigger-long-running-operation", {"duration": 60, "steps": 60}, timeout=60)
    )
    await servers.until(lambda: servers.last("all").calls == 1)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    image = await servers.call("all", "get-tiny-image")
    assert any(block["type"] == "image" and block["mimeType"] == "image/png" for block in image.content)
    failed = await servers.call("all", "echo", {"message": None})
    assert failed.is_error


async def test_everything_reconnected_and_killed_over_http(tmp_path: Path, everything: WebServer) -> None:
    async with connected(tmp_path, ServerSpec(name="all", url=everything.url)) as servers:
        await _idle(servers, "all")
        await servers.registry.get("all").reconnect()
        await servers.until(lambda: servers.listings.count("all") == 2)
        assert "again" in _text(await servers.call("all", "echo", {"message": "again"}))
        everything.process.kill()
        assert (await servers.reach("all", "failed")).reason == f"nothing listens at {everything.url}"


async def test_modern_protocol_over_http(tmp_path: Path, modern: WebServer) -> None:
    async with connected(tmp_path, ServerSpec(name="modern", url=modern.url)) as servers:
        told = await _idle(servers, "modern")
        assert told.protocol == "2026-07-28"
        assert told.tools == 3
        value = {"a": None, "b": [1.0, 10**20]}
        assert json.loads(_text(await servers.call("modern", "echo", {"value": value}))) == value
        reports: list[tuple[float, float | None, str]] = []
        slow = await servers.call(
            "modern", "slow", {"steps": 30}, timeout=1, on_progress=lambda *report: reports.append(report)
        )
        # Progress extends the time-out of one second.
        assert _text(slow) == "done"
        assert reports[-1] == (30.0, 30.0, "step")
        endless = asyncio.create_task(servers.call("modern", "slow", {"steps": 10_000}))
        await servers.until(lambda: servers.last("modern").calls == 1)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert _text(await servers.call("modern", "grow")) == "grown"
        await servers.until(lambda: servers.listings.count("modern") == 2)
        assert servers.tools["modern"][-1].name == "more"


async def test_filesystem(tmp_path: Path, npm_bin: Find) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("first\nsecond\n")
    spec = ServerSpec(name="files", command=npm_bin("mcp-server-filesystem"), args=(str(folder),))
    async with connected(tmp_path, spec) as servers:
        told = await _idle(servers, "files")
        assert told.tools == 14
        read = await servers.call("files", "read_text_file", {"path": str(folder / "a.txt")})
        assert _text(read) == "first\nsecond\n"
        await servers.call(
            "files", "write_file", {"path": str(folder / "b.txt"), "content": "é \U0001f600\n"}
        )
        assert (folder / "b.txt").read_text() == "é \U0001f600\n"
        outside = await servers.call("files", "read_text_file", {"path": "/etc/hostname"})
        assert outside.is_error
        lines = servers.registry.get("files").log.lines()
        assert any("running" in line.lower() for line in lines)


async def test_memory(tmp_path: Path, npm_bin: Find) -> None:
    env = {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}
    spec = ServerSpec(name="memory", command=npm_bin("mcp-server-memory"), env=env)
    async with connected(tmp_path, spec) as servers:
        assert (await _idle(servers, "memory")).tools == 9
        entity = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
        await servers.call("memory", "create_entities", {"entities": [entity]})
        graph = await servers.call("memory", "read_graph")
        assert graph.structured["entities"][0]["name"] == "Ada"


async def test_time(tmp_path: Path, python_bin: Find) -> None:
    async with connected(
        tmp_path, ServerSpec(name="time", command=python_bin("mcp-server-time"))
    ) as servers:
        told = await _idle(servers, "time")
        assert told.protocol == "2026-07-28"
        assert told.tools == 2
        now = await servers.call("time", "get_current_time", {"timezone": "Europe/Vienna"})
        assert "Europe/Vienna" in _text(now)
        wrong = await _outcome(servers, "time", "get_current_time", {"timezone": "Nowhere/Land"})
        assert "Nowhere" in wrong or "timezone" in wrong.lower()


async def test_time_in_the_handshake_protocol(tmp_path: Path, python_bin: Find) -> None:
    spec = ServerSpec(name="time", command=python_bin("mcp-server-time"), mode="legacy")
    async with connected(tmp_path, spec) as servers:
        assert (await _idle(servers, "time")).protocol == "2025-11-25"
        assert "UTC" in _text(await servers.call("time", "get_current_time", {"timezone": "UTC"}))


def _repository(folder: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "new.txt").write_text("x")
    return folder


@pytest.mark.needs("git")
async def test_git(tmp_path: Path, python_bin: Find) -> None:
    repository = _repository(tmp_path / "repository")
    async with connected(tmp_path, ServerSpec(name="git", command=python_bin("mcp-server-git"))) as servers:
        told = await _idle(servers, "git")
        assert told.protocol == "2026-07-28"
        assert told.tools == 12
        assert "new.txt" in _text(await servers.call("git", "git_status", {"repo_path": str(repository)}))


async def _outcome(servers: Harness, server: str, tool: str, arguments: dict[str, Any]) -> str:
    """Return what a failing call says, however the server chooses to say it."""
    try:
        result = await servers.call(server, tool, arguments)
    except CallError as error:
        return error.what if error.answered else "it did not answer"
    return _text(result) if result.is_error else "it did not fail"
