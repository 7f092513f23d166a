"""A server behind a URL: the SDK's streamable HTTP transport over a client of our own.

The client adds what the SDK keeps to itself or lacks: real reasons for failures (status, refused
connection), which call a failed request belonged to, and a connection that survives a failed
request instead of cancelling its owner. Redirects are followed by the SDK inside the origin only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.addresses import is_loopback, shown_url
from omni_tui.servers.calls import words_of_a_lost_session
from omni_tui.servers.health import Trouble, TroubleError
from omni_tui.servers.tap import current
from omni_tui.servers.transports.errors import with_id

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

MAX_EVENT = 64 * 1024 * 1024
"""Longest event of a response stream, in bytes (the SDK's own limit of 1 MiB loses images)."""

TIMEOUT = httpx2.Timeout(30.0, connect=10.0, read=None, pool=None)
"""Reading has no limit here: calls, listings and connecting have their own, which progress extends."""

FAREWELL = httpx2.Timeout(1.5)
"""For ending a session on the server."""

ABSENT = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)

NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.LocalProtocolError,
)
_LONGEST_REFUSAL = 64 * 1024
_CREDENTIALS = ("authorization", "cookie", "proxy-authorization", "x-api-key")


def check(spec: ServerSpec) -> httpx2.URL:
    """Return the URL of a spec, or raise `TroubleError` if it may or can not be asked.

    Credentials go over plain HTTP to this machine only: anybody on the way could read them.
    """
    try:
        url = httpx2.URL(spec.url)
    except httpx2.InvalidURL as error:
        raise TroubleError(Trouble("the URL is not valid", "Correct it in the config.", True)) from error
    if url.scheme not in ("http", "https") or not url.host:
        what = f"{shown_url(spec.url)} is not an http or https URL"
        raise TroubleError(Trouble(what, "Correct it in the config.", lasting=True))
    secret = {name.lower() for name in spec.secret_headers}
    secret |= {name.lower() for name in spec.headers if name.lower() in _CREDENTIALS}
    if (secret or url.userinfo) and url.scheme == "http" and not is_loopback(url.host):
        what = (
            f"credentials would cross the network in the clear to {shown_url(spec.url)}; nothing was sent"
        )
        raise TroubleError(Trouble(what, "Use https, or remove the credentials.", lasting=True))
    return url


class _Body(httpx2.AsyncByteStream):
    """A response body whose breaking the SDK takes for a bad answer, not for the end of the connection."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except httpx2.TransportError as error:
            raise httpx2.StreamError(str(error)) from error

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _forgets_session(request: httpx2.Request, response: httpx2.Response) -> bool:
    """Return whether an answer says, in whatever form, that the session of the request is unknown.

    Servers made after a widespread example say so with status 400 and an error object without an id,
    which the SDK takes for nothing.
    """
    length = response.headers.get("content-length", "")
    if (
        response.status_code not in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)
        or "mcp-session-id" not in request.headers
        or not (length.isdecimal() and int(length) <= _LONGEST_REFUSAL)
    ):
        return False
    try:
        body = await response.aread()
    except httpx2.HTTPError:
        return False
    return words_of_a_lost_session(body.decode("utf-8", "replace"))


class _Client(httpx2.AsyncClient):
    """An HTTP client that answers a failed POST with a JSON-RPC error, so that only this request fails."""

    def __init__(self, on_failure: Callable[[Exception], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_failure = on_failure

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; see `httpx2.AsyncClient.send`."""
        if request.method == "DELETE":  # a farewell: the server may be the reason for leaving
            request.extensions["timeout"] = FAREWELL.as_dict()
        try:
            response = await with_id(await super().send(request, **options))
        except httpx2.TransportError as error:
            opening = current()
            if opening is not None and isinstance(error, NOT_SENT):
                opening.unsent = True
            self._on_failure(error)
            if request.method != "POST":
                raise
            body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "Connection closed"}}
            return httpx2.Response(HTTPStatus.BAD_GATEWAY, json=body, request=request)
        if await _forgets_session(request, response):
            await response.aclose()
            unknown = {"code": -32600, "message": "Session not found"}
            body = {"jsonrpc": "2.0", "id": None, "error": unknown}
            return httpx2.Response(HTTPStatus.NOT_FOUND, json=body, request=request)
        if request.method == "POST" and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Body(response.stream)
        return response


def open_client(
    spec: ServerSpec,
    url: httpx2.URL,
    *,
    on_failure: Callable[[Exception], None],
    on_response: Callable[[httpx2.Response], Awaitable[None]],
    auth: httpx2.Auth | None,
) -> httpx2.AsyncClient:
    """Return the client for a server behind a checked `url`; to be entered and left by the caller."""
    return _Client(
        on_failure,
        headers=spec.headers,
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=not is_loopback(url.host),
        event_hooks={"response": [on_response]},
        auth=auth,
    )


class HttpTransport:
    """Async context manager that yields the two streams for the SDK's `Client`.

    Entering raises `TroubleError` for a URL that may not be asked. `on_lost` is called when no connection
    to the host can be made any more; a request that breaks in the middle fails alone. `auth` signs
    every request.
    """

    web = True
    junk = 0
    pid = None

    def __init__(
        self, spec: ServerSpec, on_lost: Callable[[], None], *, auth: httpx2.Auth | None = None
    ) -> None:
        self._spec = spec
        self._on_lost = on_lost
        self._auth = auth
        self._error: Exception | None = None
        self._status = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> TransportStreams:
        url = check(self._spec)
        client = open_client(
            self._spec,
            url,
            on_failure=self._on_failure,
            on_response=self._on_response,
            auth=self._auth,
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            streams = await stack.enter_async_context(
                streamable_http_client(str(url), http_client=client, max_sse_event_size=MAX_EVENT)
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

    def trouble(self) -> Trouble | None:
        """Return why the connection could not be made or was lost, as far as HTTP tells."""
        if self._error is not None:
            return explain(self._error, self._spec.url)
        return explain_status(self._status, self._spec) if self._status >= HTTPStatus.BAD_REQUEST else None

    def _on_failure(self, error: Exception) -> None:
        self._error = error
        if isinstance(error, NOT_SENT):
            self._on_lost()

    async def _on_response(self, response: httpx2.Response) -> None:
        if response.request.method == "POST":
            self._error = None
            self._status = response.status_code
            if (opening := current()) is not None:
                opening.status = response.status_code


def explain_status(status: int, spec: ServerSpec) -> Trouble:
    """Say what an HTTP status means for a connection."""
    try:
        answer = f"the server answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        answer = f"the server answered {status}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        todo = f'Give it headers.Authorization or auth = "oauth" in [servers.{spec.name}], then reconnect.'
        return Trouble(f"needs authorisation: {answer}", todo, lasting=True)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE):
        return Trouble(f"no MCP server at {shown_url(spec.url)}: {answer}", "Check the path of the URL.")
    return Trouble(answer, "It is tried again." if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")


def explain(error: Exception, url: str) -> Trouble:
    """Say in words why an HTTP request failed."""
    shown = shown_url(url)
    text = str(error).lower()
    if isinstance(error, httpx2.LocalProtocolError):
        return Trouble(
            "a header of the config is not valid HTTP", "Correct it in the config.", lasting=True
        )
    if isinstance(error, httpx2.ConnectTimeout):
        return Trouble(f"nothing answers at {shown}", "Check the address and the network.")
    if "certificate" in text:
        return Trouble(f"the certificate of {shown} cannot be verified: {error}", "Check it.", lasting=True)
    if "name or service" in text or "name resolution" in text or "nodename" in text:
        return Trouble(f"there is no host of that name: {shown}", "Check the address and the network.")
    if isinstance(error, httpx2.ConnectError):
        return Trouble(f"nothing listens at {shown}", "Start the server, or check the address.")
    return Trouble(
        f"the connection to {shown} broke: {error or type(error).__name__}", "It is tried again."
    )
