"""A server behind a URL over streamable HTTP, and what it shares with the older SSE transport.

The transport is the SDK's, over a client of ours. It follows redirects inside the origin only.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from omni_tui.config.spec import SOURCE_WORDS, ServerSpec
from omni_tui.security.urls import is_loopback, shown_url
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.tap import current_call
from omni_tui.servers.transports.base import TransportContext
from omni_tui.servers.transports.http_client import NOT_SENT, ClientListener, open_client
from omni_tui.servers.transports.http_failures import credentials_of, explain_failure, explain_status

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_MOST_NOTED = 50


def _correct(spec: ServerSpec) -> str:
    return f"Correct it in {SOURCE_WORDS[spec.source]}."


def checked_url(spec: ServerSpec) -> httpx2.URL:
    """Return the URL of a spec. Raises `ConnectionFailed` if it must not or cannot be used.

    Credentials go over plain HTTP to this machine only: others could read them on the way.
    """
    try:
        url = httpx2.URL(spec.url)
    except httpx2.InvalidURL as error:
        raise ConnectionFailed(
            ConnectionFailure("the URL is not valid", _correct(spec), lasting=True)
        ) from error
    if url.scheme not in ("http", "https") or not url.host:
        what = f"{shown_url(spec.url)} is not an http or https URL"
        raise ConnectionFailed(ConnectionFailure(what, _correct(spec), lasting=True))
    if (
        (credentials_of(spec) or spec.secret_headers or url.userinfo)
        and url.scheme == "http"
        and not is_loopback(url.host)
    ):
        what = f"credentials would be sent unencrypted to {shown_url(spec.url)}; nothing was sent"
        raise ConnectionFailed(
            ConnectionFailure(what, "Use https, or remove the credentials.", lasting=True)
        )
    return url


class WebTransport(ClientListener):
    """What the transports behind a URL share: they listen to their HTTP client.

    The context's `on_lost` is called when the host cannot be reached any more; a request that breaks
    fails alone. Its log gets a line for each invalid message.
    """

    web = True
    pid = None

    def __init__(self, spec: ServerSpec, context: TransportContext) -> None:
        self._spec = spec
        self._context = context
        self._error: Exception | None = None
        self._status = 0
        self._words = ""
        self._stack = AsyncExitStack()
        self.invalid_messages = 0

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    def failed(self, error: httpx2.TransportError) -> None:
        """Note a request that broke."""
        self._error = error
        if isinstance(error, NOT_SENT):
            self._context.on_lost()

    def answered(self, response: httpx2.Response) -> None:
        """Note the head of an answer to a POST."""
        self._error = None
        self._status, self._words = response.status_code, ""
        self.met = True
        if (call := current_call()) is not None:
            call.status, call.words = response.status_code, ""

    def refused(self, words: str) -> None:
        """Note the words of an error response."""
        words = self._words = self._context.hide(words)
        if (call := current_call()) is not None:
            call.words = words

    def odd(self, what: str) -> None:
        """Count an invalid message, and write it into the server's log."""
        self.invalid_messages += 1
        if self.invalid_messages <= _MOST_NOTED:
            self._context.log.note(what)
        if self.invalid_messages == _MOST_NOTED:
            self._context.log.note("more of this kind is counted, and not written here")

    def why_failed(self) -> ConnectionFailure | None:
        """Return why the last request failed or was refused, None if it was not."""
        if self._error is not None:
            return explain_failure(self._error, self._spec.url)
        if self._status >= HTTPStatus.BAD_REQUEST:
            return explain_status(self._status, self._spec, self._words)
        return None


ABSENT = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


class HttpTransport(WebTransport):
    """Async context manager that yields the two streams for the SDK's `Client`.

    Entering raises `ConnectionFailed` for a URL that must not be used.
    """

    async def __aenter__(self) -> TransportStreams:
        url = checked_url(self._spec)
        async with AsyncExitStack() as stack:
            client = open_client(self._spec, url, self, auth=self._context.auth)
            await stack.enter_async_context(client)
            streams = await stack.enter_async_context(
                streamable_http_client(str(url), http_client=client, max_sse_event_size=None)
            )
            self._stack = stack.pop_all()
        return streams

    @property
    def absent(self) -> bool:
        """Whether the last answer to a POST means that the older SSE should be tried.

        400, 404 and 405: MCP, basic/transports, backwards compatibility.
        """
        return self._error is None and self._status in ABSENT

    def in_session(self, request: httpx2.Request) -> bool:
        """Return whether a request names a session of the server."""
        return "mcp-session-id" in request.headers

    def failure(self) -> ConnectionFailure | None:
        """Return why connecting failed or the connection was lost, as far as HTTP says."""
        return self.why_failed()
