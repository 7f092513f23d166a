"""A server inside this process: an `MCPServer` of a plugin or a test. It must not block the loop."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from mcp.client._memory import InMemoryTransport
from mcp.server import Server
from mcp.server.mcpserver import MCPServer

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.transports.base import TransportContext

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams


class MemoryTransport:
    """Async context manager that runs the server of a spec in a task and yields the two streams.

    Entering raises `ConnectionFailed` if the spec holds no server.
    """

    web = False
    pid = None
    invalid_messages = 0
    absent = False
    session_lost = False

    def __init__(self, spec: ServerSpec, context: TransportContext) -> None:
        self._spec = spec
        self._inner: InMemoryTransport | None = None

    async def __aenter__(self) -> TransportStreams:
        server = self._spec.inside
        if not isinstance(server, Server | MCPServer):
            what = f"{self._spec.name} is no server: {type(server).__name__}"
            raise ConnectionFailed(
                ConnectionFailure(what, "The plugin that offers it is at fault.", lasting=True)
            )
        inner = InMemoryTransport(server)
        streams = await inner.__aenter__()
        self._inner = inner
        return streams

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._inner is not None:
            inner, self._inner = self._inner, None
            await inner.__aexit__(kind, error, trace)

    def failure(self) -> ConnectionFailure | None:
        """Return None: nothing in between can fail."""
        return None
