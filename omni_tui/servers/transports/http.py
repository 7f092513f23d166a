"""A server behind a URL: the SDK's streamable HTTP transport over a client of our own.

Redirects are followed by the SDK inside the origin only.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from omni_tui.servers.health import ConnectionFailure
from omni_tui.servers.transports.http_client import open_client
from omni_tui.servers.transports.web_transport import WebTransport, checked_url

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

ABSENT = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


class HttpTransport(WebTransport):
    """Async context manager that yields the two streams for the SDK's `Client`.

    Entering raises `TroubleError` for a URL that may not be asked.
    """

    _stack: AsyncExitStack

    async def __aenter__(self) -> TransportStreams:
        url = checked_url(self._spec)
        async with AsyncExitStack() as stack:
            client = open_client(self._spec, url, self, auth=self._auth)
            await stack.enter_async_context(client)
            streams = await stack.enter_async_context(
                streamable_http_client(str(url), http_client=client, max_sse_event_size=None)
            )
            self._stack = stack.pop_all()
        return streams

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def absent(self) -> bool:
        """Whether the last answer to a POST was one of those after which the older SSE is tried.

        400, 404 and 405: the specification's section on backwards compatibility of its transports.
        """
        return self._error is None and self._status in ABSENT

    def in_session(self, request: httpx2.Request) -> bool:
        """Return whether a request names a session of the server."""
        return "mcp-session-id" in request.headers

    def trouble(self) -> ConnectionFailure | None:
        """Return why the connection could not be made or was lost, as far as HTTP tells."""
        return self.why_failed()
