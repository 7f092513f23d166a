"""Real servers that die, come back and run side by side: what becomes of calls, and of the others."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import CallError
from tests.engine.faults.harness import Harness, connected, fault
from tests.wire.conftest import MODERN, _await_port, free_port

pytestmark = pytest.mark.wire
Find = Callable[[str], str]


class Restartable:
    """A server program that listens at one address, whichever process is behind it."""

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"
        self._command, self._folder, self._port = command, folder, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it listens."""
        self.process = subprocess.Popen(
            self._command,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "PORT": str(self._port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _await_port(self.process, self._port)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def old_web(npm_bin: Find, tmp_path: Path) -> Iterator[Restartable]:
    """Run server-everything over HTTP: sessions, which a restart forgets."""
    port = free_port()
    server = Restartable(tmp_path, [npm_bin("mcp-server-everything"), "streamableHttp"], port)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def new_web(tmp_path: Path) -> Iterator[Restartable]:
    """Run a server of the Python SDK over HTTP: without sessions in the modern protocol."""
    port = free_port()
    server = Restartable(tmp_path, [sys.executable, str(MODERN), str(port)], port)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _text(result: Any) -> str:
    return "".join(block.get("text", "") for block in result.content)


async def _outcome(servers: Harness, server: str, tool: str, arguments: dict[str, Any]) -> str:
    try:
        result = await servers.call(server, tool, arguments)
    except CallError as error:
        return "refused" if error.answered or not error.sent else "uncertain"
    return "refused" if result.is_error else "ran"


async def _idle(servers: Harness, name: str) -> str:
    told = await servers.reach(name, "idle", "failed", "degraded")
    assert told.state == "idle", f"{told.reason}: {servers.registry.get(name).log.lines()}"
    return told.protocol


async def test_forgotten_session_is_opened_again(tmp_path: Path, old_web: Restartable) -> None:
    async with connected(tmp_path, ServerSpec(name="all", url=old_web.url)) as servers:
        await _idle(servers, "all")
        await asyncio.to_thread(old_web.kill)
        await asyncio.to_thread(old_web.start)
        # It ran if the end of the event stream was noticed first; else that it did not run is known.
        assert await _outcome(servers, "all", "echo", {"message": "hello"}) in ("ran", "refused")
        await servers.until(lambda: servers.listings.count("all") >= 2)
        assert "again" in _text(await servers.call("all", "echo", {"message": "again"}))


async def test_modern_server_may_be_restarted_between_calls(tmp_path: Path, new_web: Restartable) -> None:
    async with connected(tmp_path, ServerSpec(name="new", url=new_web.url)) as servers:
        assert await _idle(servers, "new") == "2026-07-28"
        assert _text(await servers.call("new", "slow", {"steps": 1})) == "done"
        await asyncio.to_thread(new_web.kill)
        await asyncio.to_thread(new_web.start)
        await servers.reach("new", "idle", "active")
        assert _text(await servers.call("new", "slow", {"steps": 1})) == "done"


async def test_python_sdk_in_the_handshake_protocol_over_http(tmp_path: Path, new_web: Restartable) -> None:
    async with connected(tmp_path, ServerSpec(name="old", url=new_web.url, mode="legacy")) as servers:
        assert await _idle(servers, "old") == "2025-11-25"
        reports: list[float] = []
        slow = await servers.call(
            "old", "slow", {"steps": 3}, on_progress=lambda now, *_: reports.append(now)
        )
        assert _text(slow) == "done"
        assert reports[-1] == 3


async def test_modern_protocol_over_stdio(tmp_path: Path) -> None:
    spec = ServerSpec(name="new", command=sys.executable, args=(str(MODERN), "stdio"))
    async with connected(tmp_path, spec) as servers:
        assert await _idle(servers, "new") == "2026-07-28"
        reports: list[tuple[float, float | None, str]] = []
        slow = await servers.call(
            "new", "slow", {"steps": 5}, on_progress=lambda *report: reports.append(report)
        )
        assert _text(slow) == "done"
        assert reports[-1] == (5.0, 5.0, "step")
        endless = asyncio.create_task(servers.call("new", "slow", {"steps": 10_000}))
        await servers.until(lambda: servers.last("new").calls == 1)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert _text(await servers.call("new", "grow")) == "grown"
        await servers.until(lambda: servers.listings.count("new") == 2)
        assert servers.tools["new"][-1].name == "more"


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_answers_to_calls_at_once_are_not_mixed_up(
    tmp_path: Path, transport: str, npm_bin: Find, request: pytest.FixtureRequest
) -> None:
    spec = ServerSpec(name="all", command=npm_bin("mcp-server-everything"), args=("stdio",))
    if transport == "http":
        spec = ServerSpec(name="all", url=request.getfixturevalue("old_web").url)
    async with connected(tmp_path, spec) as servers:
        await _idle(servers, "all")
        words = [f"<{number}>" * (1 + number * 50) for number in range(40)]
        results = await asyncio.gather(
            *(servers.call("all", "echo", {"message": word}, timeout=30) for word in words)
        )
        assert all(word in _text(result) for word, result in zip(words, results, strict=True))


async def test_notes_outlive_the_process_that_took_them(tmp_path: Path, npm_bin: Find) -> None:
    env = {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}
    spec = ServerSpec(name="memory", command=npm_bin("mcp-server-memory"), env=env)
    async with connected(tmp_path, spec) as servers:
        await _idle(servers, "memory")
        entity = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
        await servers.call("memory", "create_entities", {"entities": [entity]})
        pid = servers.registry.get("memory").pid
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
        await servers.until(lambda: servers.listings.count("memory") == 2)
        assert servers.registry.get("memory").pid != pid
        graph = await servers.call("memory", "read_graph")
        assert graph.structured["entities"][0]["name"] == "Ada"


def _new_repository(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.com")):
        subprocess.run(["git", "-C", str(folder), "config", key, value], check=True)
    (folder / "new.txt").write_text("x")


@pytest.mark.needs("git")
async def test_git_commits_and_refuses_what_is_no_repository(tmp_path: Path, python_bin: Find) -> None:
    repository, plain = tmp_path / "repository", tmp_path / "plain"
    plain.mkdir()
    _new_repository(repository)
    async with connected(tmp_path, ServerSpec(name="git", command=python_bin("mcp-server-git"))) as servers:
        await _idle(servers, "git")
        where = {"repo_path": str(repository)}
        await servers.call("git", "git_add", {**where, "files": ["new.txt"]})
        await servers.call("git", "git_commit", {**where, "message": "the first\nwith a second line é"})
        assert "the first" in _text(await servers.call("git", "git_log", where))
        assert await _outcome(servers, "git", "git_status", {"repo_path": str(plain)}) == "refused"


async def test_all_of_them_side_by_side(
    tmp_path: Path, npm_bin: Find, python_bin: Find, old_web: Restartable, new_web: Restartable
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("first")
    specs = [
        ServerSpec(name="all", command=npm_bin("mcp-server-everything"), args=("stdio",)),
        ServerSpec(name="web", url=old_web.url),
        ServerSpec(name="new", url=new_web.url),
        ServerSpec(name="files", command=npm_bin("mcp-server-filesystem"), args=(str(notes),)),
        ServerSpec(
            name="memory",
            command=npm_bin("mcp-server-memory"),
            env={"MEMORY_FILE_PATH": str(tmp_path / "m")},
        ),
        ServerSpec(name="time", command=python_bin("mcp-server-time")),
        ServerSpec(name="git", command=python_bin("mcp-server-git")),
    ]
    async with connected(tmp_path, *specs, fault("exits"), fault("stubborn")) as servers:
        eras = {spec.name: await _idle(servers, spec.name) for spec in specs}
        assert set(eras.values()) == {"2025-11-25", "2026-07-28"}
        pid = servers.registry.get("files").pid
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
        await asyncio.to_thread(old_web.kill)
        zone = {"timezone": "UTC"}
        said = await asyncio.gather(
            servers.call("all", "echo", {"message": "one"}),
            servers.call("new", "slow", {"steps": 2}),
            servers.call("memory", "read_graph"),
            servers.call("time", "get_current_time", zone),
        )
        assert not any(result.is_error for result in said)
        assert (await servers.reach("web", "failed")).reason == f"nothing listens at {old_web.url}"
        await servers.until(lambda: servers.listings.count("files") == 2)
        read = await servers.call("files", "read_text_file", {"path": str(notes / "a.txt")})
        assert _text(read) == "first"
