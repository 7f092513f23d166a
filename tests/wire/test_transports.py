"""Real servers over the older SSE, and real servers that are restarted, through our own connections."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.engine.server_stores import KnownTransportsFile
from omni_tui.servers import CallError
from omni_tui.servers.connect_strategy import KnownTransport
from tests.engine.faults.harness import connected
from tests.wire.conftest import MODERN, WebServer, free_port, listening

pytestmark = pytest.mark.wire
Find = Callable[[str], str]

SDK_SSE = """
import sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("old")


@server.tool()
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b


server.run("sse", port=int(sys.argv[1]))
"""


@pytest.fixture
def everything_sse(npm_bin: Find, tmp_path: Path) -> Iterator[WebServer]:
    """Run server-everything over SSE."""
    port = free_port()
    command = [npm_bin("mcp-server-everything"), "sse"]
    with listening(tmp_path, command, port, "/sse", PORT=str(port)) as server:
        yield server


@pytest.fixture
def sdk_sse(tmp_path: Path) -> Iterator[WebServer]:
    """Run a server of the Python SDK over SSE."""
    program = tmp_path / "old.py"
    program.write_text(SDK_SSE)
    port = free_port()
    with listening(tmp_path, [sys.executable, str(program), str(port)], port, "/sse") as server:
        yield server


@pytest.mark.parametrize("web", ["auto", "sse"])
async def test_everything_over_sse(tmp_path: Path, everything_sse: WebServer, web: str) -> None:
    memory = KnownTransportsFile(tmp_path / "state" / "ways.json")
    spec = ServerSpec(name="all", url=everything_sse.url, web=web, heartbeat=0.5)  # type: ignore[arg-type]
    async with connected(tmp_path, spec, memory=memory) as servers:
        told = await servers.reach("all", "idle", "failed")
        assert (told.state, told.transport, told.protocol) == ("idle", "sse", "2025-11-25")
        assert told.tools >= 10
        echoed = await servers.call("all", "echo", {"message": "hello \u2028 there"})
        assert "hello \u2028 there" in echoed.content[0]["text"]
        reports: list[tuple[float, float | None, str]] = []
        await servers.call(
            "all",
            "trigger-long-running-operation",
            {"duration": 1, "steps": 4},
            on_progress=lambda *report: reports.append(report),
        )
        assert reports[-1][:2] == (4, 4)
        beaten = servers.last("all").latency_ms
        await servers.until(lambda: servers.last("all").latency_ms != beaten)
        assert "degraded" not in servers.states("all")
    assert memory.recall(spec) == KnownTransport("sse", "legacy")


async def test_server_of_the_sdk_over_sse(tmp_path: Path, sdk_sse: WebServer) -> None:
    async with connected(tmp_path, ServerSpec(name="old", url=sdk_sse.url)) as servers:
        told = await servers.reach("old", "idle", "failed")
        assert (told.state, told.transport, told.tools) == ("idle", "sse", 1)
        assert (await servers.call("old", "add", {"a": 40, "b": 2})).structured == {"result": 42}
        sdk_sse.process.kill()
        assert (await servers.reach("old", "failed")).reason


@pytest.mark.parametrize("mode", ["streamableHttp", "sse"])
async def test_everything_restarted_is_renewed_by_itself(tmp_path: Path, npm_bin: Find, mode: str) -> None:
    port = free_port()
    command = [npm_bin("mcp-server-everything"), mode]
    path = "/sse" if mode == "sse" else "/mcp"
    with listening(tmp_path, command, port, path, PORT=str(port)) as server:
        async with connected(tmp_path, ServerSpec(name="all", url=server.url, heartbeat=0.5)) as servers:
            await servers.reach("all", "idle")
            server.process.kill()
            server.process.wait()
            await servers.reach("all", "failed")
            with listening(tmp_path, command, port, path, PORT=str(port)):
                await servers.until(lambda: servers.listings.count("all") == 2)
                assert not (await servers.call("all", "echo", {"message": "again"})).is_error


async def test_session_that_everything_has_forgotten_is_renewed(
    tmp_path: Path, everything: WebServer
) -> None:
    async with connected(tmp_path, ServerSpec(name="all", url=everything.url, heartbeat=0)) as servers:
        await servers.reach("all", "idle")
        log = (tmp_path / "server.log").read_text()
        [session] = re.findall(r"Session initialized with ID: (\S+)", log)
        async with httpx2.AsyncClient() as client:
            await client.delete(everything.url, headers={"mcp-session-id": session})
        with pytest.raises(CallError) as caught:
            await servers.call("all", "echo", {"message": "lost"})
        assert "forgotten this session" in caught.value.what
        await servers.until(lambda: servers.listings.count("all") == 2)
        assert not (await servers.call("all", "echo", {"message": "again"})).is_error


async def test_modern_server_restarted_is_connected_again(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, str(MODERN), str(port)]
    with listening(tmp_path, command, port) as server:
        async with connected(tmp_path, ServerSpec(name="m", url=server.url, heartbeat=0.5)) as servers:
            told = await servers.reach("m", "idle")
            assert told.protocol == "2026-07-28"
            server.process.kill()
            server.process.wait()
            await servers.reach("m", "failed")
            with listening(tmp_path, command, port):
                await servers.until(lambda: servers.listings.count("m") == 2)
                assert servers.last("m").protocol == "2026-07-28"
                assert not (await servers.call("m", "echo", {"value": {"a": 1}})).is_error
