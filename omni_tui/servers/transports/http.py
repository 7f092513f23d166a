"""A server behind a URL over streamable HTTP.

The transport is the SDK's, over a client of ours. It follows redirects inside the origin only.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from http import HTTPStatus

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from omni_tui.config.spec import SOURCE_WORDS, ServerSpec
from omni_tui.security.urls import is_loopback, shown_url
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.transports.http_client import WebTransport
from omni_tui.servers.transports.http_failures import credentials_of, explain_failure, explain_status


def checked_url(spec: ServerSpec) -> httpx2.URL:
    """Return the URL of a spec. Raises `ConnectionFailed` if it must not or cannot be used.

    Credentials go over plain HTTP to this machine only: others could read them on the way.
    """
    what, todo = "", f"Correct it in {SOURCE_WORDS[spec.source]}."
    try:
        url = httpx2.URL(spec.url)
    except httpx2.InvalidURL as error:
        raise ConnectionFailed(ConnectionFailure("the URL is not valid", todo, lasting=True)) from error
    has_credentials = credentials_of(spec) or spec.secret_headers or url.userinfo
    if url.scheme not in ("http", "https") or not url.host:
        what = f"{shown_url(spec.url)} is not an http or https URL"
    elif has_credentials and url.scheme == "http" and not is_loopback(url.host):
        what = f"credentials would be sent unencrypted to {shown_url(spec.url)}; nothing was sent"
        todo = "Use https, or remove the credentials."
    if what:
        raise ConnectionFailed(ConnectionFailure(what, todo, lasting=True))
    return url


_ABSENT = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
"""MCP, basic/transports, backwards compatibility."""


class HttpTransport(WebTransport):
    """Streamable HTTP. Entering raises `ConnectionFailed` for a URL that must not be used."""

    async def __aenter__(self) -> TransportStreams:
        url = checked_url(self._spec)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self.open_client(url))
            streams = await stack.enter_async_context(
                streamable_http_client(str(url), http_client=client, max_sse_event_size=None)
            )
            self._stack = stack.pop_all()
        return streams

    def absent(self) -> bool:
        """Return whether the last answer to a POST means that the older SSE should be tried."""
        return self._error is None and self._status in _ABSENT

    def in_session(self, request: httpx2.Request) -> bool:
        """Return whether a request names a session of the server."""
        return "mcp-session-id" in request.headers

    def failure(self) -> ConnectionFailure | None:
        """Return why connecting failed or the connection was lost, as far as HTTP says."""
        if self._error is not None:
            return explain_failure(self._error, self._spec.url)
        if self._status >= HTTPStatus.BAD_REQUEST:
            return explain_status(self._status, self._spec, self._words)
        return None
