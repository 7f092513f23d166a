"""A server inside this process: an `MCPServer` of a test, or one of a plugin in a thread of its own."""

from __future__ import annotations

from types import TracebackType

from mcp.client._memory import InMemoryTransport
from mcp.client._transport import TransportStreams
from mcp.server import Server
from mcp.server.mcpserver import MCPServer

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.transports.base import Transport, TransportContext
from omni_tui.servers.transports.server_thread import ServerThread, ThreadedServer


class MemoryTransport(Transport):
    """Runs the server of a spec in a task, or in a thread if the spec has a `ThreadedServer`.

    What runs in a task must not block the loop. Entering raises `ConnectionFailed` if the spec holds none.
    """

    def __init__(self, spec: ServerSpec, context: TransportContext) -> None:
        self._spec = spec
        self._inner: InMemoryTransport | ServerThread

    async def __aenter__(self) -> TransportStreams:
        server = self._spec.inside
        if isinstance(server, ThreadedServer):
            self._inner = ServerThread(server)
        elif isinstance(server, Server | MCPServer):
            self._inner = InMemoryTransport(server)
        else:
            what = f"{self._spec.name} is no server: {type(server).__name__}"
            todo = "The plugin that provides it is at fault."
            raise ConnectionFailed(ConnectionFailure(what, todo, lasting=True))
        return await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)
