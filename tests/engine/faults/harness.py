"""A registry with listeners that remember, for tests that connect real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import Event
from omni_tui.protocol.events import ServerChanged, ServerRemoved
from omni_tui.servers import (
    Dispatch,
    Processes,
    PromptsAndResources,
    RawResult,
    ServerRegistry,
    ToolDefinition,
)
from omni_tui.servers.auth import SignInStore
from omni_tui.servers.connect_strategy import KnownTransportStore
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer

SERVER = str(Path(__file__).with_name("server.py"))
PATIENCE = 60.0


def canonical(arguments: Any) -> bytes:
    """Return arguments as the gate approves them (written again here: the tap's own is under test)."""
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def fault(mode: str = "good", file: str = "", *, name: str = "", **more: Any) -> ServerSpec:
    """Return the spec of a server with the given fault, or of one behind `url`."""
    if "url" in more:
        return ServerSpec(name=name or mode, **more)
    args = ("-I", "-S", SERVER, mode, file)
    return ServerSpec(name=name or mode, command=sys.executable, args=args, **more)


class Harness:
    """A registry and what it told: `events`, `tools` and `gone`, in order."""

    def __init__(
        self,
        folder: Path,
        authority: Callable[[Dispatch], bool] = lambda dispatch: True,
        max_starts: int = 4,
        memory: KnownTransportStore | None = None,
        store: SignInStore | None = None,
        asker: Callable[[ServerRequest], Awaitable[ServerRequestAnswer]] | None = None,
    ) -> None:
        self.processes = Processes(folder, f"test-{uuid.uuid4().hex}")
        self.events: list[Event] = []
        self.tools: dict[str, list[ToolDefinition]] = {}
        self.offers: dict[str, PromptsAndResources] = {}
        self.listings: list[str] = []
        self.gone: list[str] = []
        self._asker = asker
        self.rounds: list[tuple[str, int]] = []
        self.updated: list[tuple[str, str]] = []
        self._news = asyncio.Event()
        self._calls = 0
        self.registry = ServerRegistry(
            authority=authority,
            processes=self.processes,
            listener=self,
            max_starts=max_starts,
            memory=memory,
            store=store,
        )

    @property
    def answers_requests(self) -> bool:
        return self._asker is not None

    async def server_request(self, request: ServerRequest) -> ServerRequestAnswer:
        assert self._asker is not None
        return await self._asker(request)

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        self.rounds.append((dispatch.call, number))

    def prompts_and_resources_listed(self, server: str, lists: PromptsAndResources) -> None:
        self.offers[server] = lists

    def tools_gone(self, server: str) -> None:
        self.gone.append(server)

    def resource_updated(self, server: str, uri: str) -> None:
        self.updated.append((server, uri))

    def log_written(self, server: str, lines: list[bytes | None]) -> None:
        pass

    def server_changed(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def tools_listed(self, server: str, tools: list[ToolDefinition]) -> None:
        self.tools[server] = tools
        self.listings.append(server)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; it is looked at again after each event."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._news.clear()
                if not holds():
                    await self._news.wait()

    def last(self, name: str) -> ServerChanged:
        """Return the last event about a server."""
        about = [event for event in self.events if isinstance(event, ServerChanged) and event.name == name]
        return about[-1]

    def states(self, name: str) -> list[str]:
        """Return the states a server went through, without repetitions in a row."""
        seen: list[str] = []
        for event in self.events:
            if isinstance(event, ServerChanged) and event.name == name and seen[-1:] != [event.state]:
                seen.append(event.state)
        return seen

    async def reach(self, name: str, *states: str) -> ServerChanged:
        """Wait for one of the states, counting what was told already; return the server's last event."""
        await self.until(lambda: bool(self.states(name)) and self.last(name).state in states)
        return self.last(name)

    def removed(self) -> list[str]:
        """Return the names of servers that were removed."""
        return [event.name for event in self.events if isinstance(event, ServerRemoved)]

    async def call(
        self,
        name: str,
        tool: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout: float = 10.0,
        on_progress: Callable[[float, float | None, str], None] | None = None,
    ) -> RawResult:
        """Call a tool as the executor does."""
        self._calls += 1
        dispatch = Dispatch(f"call-{self._calls}", 1, name, tool, canonical(arguments or {}))
        connection = self.registry.get(name)
        return await connection.call_tool(dispatch, timeout=timeout, on_progress=on_progress)


@contextlib.asynccontextmanager
async def connected(folder: Path, *specs: ServerSpec, **options: Any) -> AsyncIterator[Harness]:
    """Start servers and end them; yields at once, before they are connected."""
    harness = Harness(folder, **options)
    for spec in specs:
        harness.registry.add(spec)
    await harness.registry.start()
    try:
        yield harness
    finally:
        await harness.registry.stop()
        harness.processes.close()
