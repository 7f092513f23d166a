"""A server inside this process: an `MCPServer` of a plugin or a test. It must not block the loop."""

from __future__ import annotations

from types import TracebackType

from mcp.client._memory import InMemoryTransport
from mcp.client._transport import TransportStreams
from mcp.server import Server
from mcp.server.mcpserver import MCPServer

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.transports.base import Transport, TransportContext


class MemoryTransport(Transport):
    """Runs the server of a spec in a task. Entering raises `ConnectionFailed` if the spec holds none."""

    def __init__(self, spec: ServerSpec, context: TransportContext) -> None:
        self._spec = spec

    async def __aenter__(self) -> TransportStreams:
        server = self._spec.inside
        if not isinstance(server, Server | MCPServer):
            what = f"{self._spec.name} is no server: {type(server).__name__}"
            todo = "The plugin that offers it is at fault."
            raise ConnectionFailed(ConnectionFailure(what, todo, lasting=True))
        self._inner = InMemoryTransport(server)
        return await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)
