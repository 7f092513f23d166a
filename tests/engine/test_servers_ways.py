"""Which transport and era are tried, what is remembered of it, and what happens when that is wrong."""

from __future__ import annotations

import json
import stat
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import session
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest

from omni_tui.config.spec import ServerSpec, TransportKind
from omni_tui.engine.server_stores import MAX_AGE, KnownTransportsFile
from omni_tui.servers import Processes
from omni_tui.servers.added_transports import AddedTransports
from omni_tui.servers.connect_strategy import ConnectStrategy, KnownTransport, TransportChoice
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.transports import factory
from omni_tui.servers.transports.base import TransportContext
from tests.engine.faults.events import streaming
from tests.engine.faults.harness import connected, fault
from tests.engine.faults.web import serving


def auto(url: str, **more: Any) -> ServerSpec:
    return ServerSpec(name="w", url=url, **more)


@pytest.fixture
def memory(tmp_path: Path) -> KnownTransportsFile:
    return KnownTransportsFile(tmp_path / "state" / "ways.json")


async def once(folder: Path, spec: ServerSpec, memory: KnownTransportsFile) -> Any:
    """Connect a server from nothing, as a start does, and return its last event."""
    async with connected(folder, spec, memory=memory) as servers:
        return await servers.reach(spec.name, "idle")


async def test_falls_back_to_sse_and_goes_there_straight_the_next_time(
    tmp_path: Path, memory: KnownTransportsFile
) -> None:
    with streaming() as web:
        told = await once(tmp_path, auto(web.url), memory)
        assert (told.transport, told.protocol, told.tools) == ("sse", "2025-11-25", 13)
        assert memory.recall(auto(web.url)) == KnownTransport("sse", "legacy")
        refused = len(web.refused)
        assert refused > 0
        told = await once(tmp_path, auto(web.url), memory)
        assert told.transport == "sse"
        assert len(web.refused) == refused, "no POST was tried at the address of the stream"


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_both_absent_is_said_in_the_words_of_the_usual_one(tmp_path: Path, status: int) -> None:
    with serving() as web:
        web.status = status
        async with connected(tmp_path, auto(web.url)) as servers:
            failed = await servers.reach("w", "failed")
            assert f"the server answered {status}" in failed.reason
            assert failed.transport == "http"
            assert any("trying sse" in line for line in servers.registry.get("w").log.lines())


async def test_sse_is_not_tried_where_the_config_says_http_or_after_another_status(tmp_path: Path) -> None:
    with streaming() as web:
        async with connected(tmp_path, auto(web.url, web="http")) as servers:
            assert "405" in (await servers.reach("w", "failed")).reason
        assert web.gets == 0
    with serving() as other:
        other.status = 503
        async with connected(tmp_path, auto(other.url)) as servers:
            assert "503" in (await servers.reach("w", "failed")).reason
            assert not any("trying sse" in line for line in servers.registry.get("w").log.lines())


async def test_the_era_is_remembered_and_the_probe_left_out(
    tmp_path: Path, memory: KnownTransportsFile
) -> None:
    with serving() as web:
        await once(tmp_path, auto(web.url), memory)
        assert web.methods().count("server/discover") == 1
        assert memory.recall(auto(web.url)) == KnownTransport("http", "legacy")
        await once(tmp_path, auto(web.url), memory)
        assert web.methods().count("server/discover") == 1
        assert web.methods().count("initialize") == 2


async def test_a_program_that_ignores_the_probe_costs_its_wait_once(
    tmp_path: Path, memory: KnownTransportsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "DISCOVER_TIMEOUT_SECONDS", 0.3)
    program, heard = tmp_path / "deaf.py", tmp_path / "heard"
    program.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    print(m.get('method'), file=open(sys.argv[1], 'a'))\n"
        "    if m.get('method') == 'initialize':\n"
        "        r = {'protocolVersion': m['params']['protocolVersion'], 'capabilities': {},\n"
        "             'serverInfo': {'name': 'deaf', 'version': '1'}}\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)\n"
    )
    spec = ServerSpec(name="deaf", command=sys.executable, args=("-I", "-S", str(program), str(heard)))
    await once(tmp_path, spec, memory)
    assert heard.read_text().split()[:2] == ["server/discover", "initialize"]
    heard.unlink()
    await once(tmp_path, spec, memory)
    assert heard.read_text().split()[:1] == ["initialize"]


async def test_memory_of_sse_is_dropped_when_the_server_speaks_http_now(
    tmp_path: Path, memory: KnownTransportsFile
) -> None:
    with serving() as web:
        spec = auto(web.url)
        memory.remember(spec, KnownTransport("sse", "legacy"))
        told = await once(tmp_path, spec, memory)
        assert told.transport == "http"
        assert memory.recall(spec) == KnownTransport("http", "legacy")


async def test_memory_of_http_is_replaced_when_the_server_speaks_sse_now(
    tmp_path: Path, memory: KnownTransportsFile
) -> None:
    with streaming() as web:
        spec = auto(web.url)
        memory.remember(spec, KnownTransport("http", "legacy"))
        assert (await once(tmp_path, spec, memory)).transport == "sse"
        assert memory.recall(spec) == KnownTransport("sse", "legacy")
        assert web.gets == 1


async def test_memory_of_the_old_era_is_dropped_when_the_server_refuses_it(
    tmp_path: Path, memory: KnownTransportsFile
) -> None:
    spec = fault("modern")
    memory.remember(spec, KnownTransport("stdio", "legacy"))
    told = await once(tmp_path, spec, memory)
    assert told.protocol == "2026-07-28"
    assert memory.recall(spec) == KnownTransport("stdio", "modern")


async def test_memory_survives_a_server_that_is_merely_down(
    tmp_path: Path, memory: KnownTransportsFile
) -> None:
    with streaming() as web:
        spec = auto(web.url)
    memory.remember(spec, KnownTransport("sse", "legacy"))
    async with connected(tmp_path, spec, memory=memory) as servers:
        assert (await servers.reach("w", "failed")).reason == f"nothing listens at {web.url}"
    assert memory.recall(spec) == KnownTransport("sse", "legacy")


async def test_what_the_config_says_stands_over_what_is_remembered(
    tmp_path: Path, memory: KnownTransportsFile
) -> None:
    with serving() as web:
        spec = auto(web.url, web="http")
        memory.remember(spec, KnownTransport("sse", "legacy"))
        assert (await once(tmp_path, spec, memory)).transport == "http"


def test_the_file_is_private_holds_no_address_and_forgets_in_time(
    memory: KnownTransportsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Authorization": "Bearer t0ken"}
    secret = frozenset({"Authorization"})
    spec = auto("https://host.example/mcp?key=s3cret", headers=headers, secret_headers=secret)
    memory.remember(spec, KnownTransport("sse", "legacy"))
    file = tmp_path / "state" / "ways.json"
    text = file.read_text()
    assert not any(word in text for word in ("t0ken", "s3cret", "host.example"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["ways.json"]
    changed = auto("https://host.example/mcp?key=other")
    assert memory.recall(changed) is None
    now = time.time()
    monkeypatch.setattr("omni_tui.engine.server_stores.time.time", lambda: now + MAX_AGE + 1)
    assert memory.recall(spec) is None
    memory.forget(spec)
    assert json.loads(file.read_text())["servers"] == {}


@pytest.mark.parametrize(
    "junk", ["", "{", "[]", '{"servers": {"a": 1}}', '{"servers": {}}\x00', "9" * 400_000]
)
def test_a_damaged_file_is_begun_anew(memory: KnownTransportsFile, tmp_path: Path, junk: str) -> None:
    file = tmp_path / "state" / "ways.json"
    file.parent.mkdir()
    file.write_text(junk)
    spec = auto("https://host.example/mcp")
    assert memory.recall(spec) is None
    memory.remember(spec, KnownTransport("http", "modern"))
    assert memory.recall(spec) == KnownTransport("http", "modern")


async def test_server_inside_of_this_process(tmp_path: Path) -> None:
    inside = MCPServer("plugin")

    @inside.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async with connected(tmp_path, ServerSpec(name="p", inside=inside)) as servers:
        told = await servers.reach("p", "idle")
        assert (told.transport, told.tools, told.target) == ("memory", 1, "in this process")
        assert (await servers.call("p", "add", {"a": 2, "b": 3})).structured == {"result": 5}
        await servers.registry.get("p").reconnect()
        await servers.until(lambda: servers.listings.count("p") == 2)
        await servers.registry.get("p").disconnect()
        assert servers.last("p").state == "disabled"


async def test_what_is_no_server_is_said(tmp_path: Path) -> None:
    async with connected(tmp_path, ServerSpec(name="p", inside="text")) as servers:
        assert (await servers.reach("p", "failed")).reason == "p is no server: str"


async def test_order_of_the_ways() -> None:
    spec = auto("https://host.example/mcp")
    full, older = TransportChoice("http", legacy=False), TransportChoice("sse", legacy=True)
    approach = ConnectStrategy(None)
    assert await approach.begin(spec) == full
    assert await approach.after(full, "refused") is None
    assert await approach.after(full, "absent") == older
    assert await approach.after(older, "absent") is None
    approach.worked(full, "legacy")
    known = await approach.begin(spec)
    assert known == TransportChoice("http", legacy=True, remembered=True)
    assert await approach.after(known, "other") is None
    assert await approach.begin(spec) == known, "a server that is down proves nothing"
    assert await approach.after(known, "absent") == full, "perhaps only the old era is gone"
    assert await approach.after(full, "absent") == older
    approach.worked(older, "legacy")
    known = await approach.begin(spec)
    assert known == TransportChoice("sse", legacy=True, remembered=True)
    assert await approach.after(known, "absent") == full
    assert await approach.after(full, "absent") is None, "sse was tried already"
    approach.worked(older, "legacy")
    known = await approach.begin(spec)
    assert await approach.after(known, "silent") is None
    assert await approach.begin(spec) == full


class Broken:
    """A memory whose disk is full and unreadable."""

    def recall(self, spec: ServerSpec) -> KnownTransport | None:
        raise OSError("no")

    def remember(self, spec: ServerSpec, known: KnownTransport) -> None:
        raise OSError("no")

    def forget(self, spec: ServerSpec) -> None:
        raise OSError("no")


async def test_memory_that_fails_costs_nothing_but_the_detour(tmp_path: Path) -> None:
    with streaming() as web:
        async with connected(tmp_path, auto(web.url), memory=Broken()) as servers:
            assert (await servers.reach("w", "idle")).transport == "sse"


class _Signs(httpx2.Auth):
    """Signs a request."""

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["x-signed"] = "yes"
        yield request


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_every_request_is_signed(tmp_path: Path, kind: TransportKind) -> None:
    with serving() if kind == "http" else streaming() as web:
        processes = Processes(tmp_path, "test-engine")
        needs = TransportContext(processes, ServerLogBuffer(lambda: None), lambda: None, auth=_Signs())
        async with factory.make(kind, auto(web.url), needs, AddedTransports()) as (read, write):
            ping = JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")
            await write.send(SessionMessage(ping))
            answer = await read.receive()
            assert isinstance(answer, SessionMessage)
        processes.close()
        assert len(web.headers) == (1 if kind == "http" else 2)
        assert all(one["x-signed"] == "yes" for one in web.headers)
