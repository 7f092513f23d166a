"""The request by which a connected server shows that it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mcp_types as types
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from mcp.client.client import Client


class Ping:
    """Asks with what the server's protocol version has for it: `server/discover` or `ping`.

    Some programs never answer a `ping`, although they must. A `program` that has not answered the first
    one is asked for its tools from then on, which it is known to answer.
    """

    def __init__(self, client: Client, protocol: str, *, modern: bool, program: bool) -> None:
        self._client = client
        self._protocol = protocol
        self._modern = modern
        self._lists = program and client.server_capabilities.tools is not None
        self._pings = True
        self._proven = False

    async def ask(self) -> None:
        """Return once it has answered. Raises what the SDK raises; may be cancelled."""
        session = self._client.session
        if self._modern:
            await session.send_discover(self._protocol)
        elif self._pings:
            self._pings = self._proven or not self._lists
            try:
                await session.send_request(types.PingRequest(), types.EmptyResult)
            except MCPError:
                self._pings = self._proven = True  # a refusal is an answer, too
                raise
            self._pings = self._proven = True
        else:
            await session.send_request(types.ListToolsRequest(), types.ListToolsResult)
