"""The HTTP client of a connection: the SDK's requests over shared sockets, and its answers made legible.

It adds what the SDK keeps to itself or lacks: real reasons for failures, which call a failed request
belonged to, and a connection that survives a failed request instead of cancelling its owner.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import httpx2

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.health import Trouble, TroubleError
from omni_tui.servers.pools import ProxyUnusable, lease
from omni_tui.servers.tap import current
from omni_tui.servers.transports.errors import beginning, with_id, with_ids
from omni_tui.servers.transports.lost import NORMAL, STATUSES, means_lost

TIMEOUT = httpx2.Timeout(30.0, connect=10.0, read=None, pool=None)
"""Reading has no limit here: calls, listings and connecting have their own, which progress extends."""

FAREWELL = httpx2.Timeout(1.5)
"""For ending a session on the server."""

NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.LocalProtocolError,
)

_EVENTS = "text/event-stream"


class Ears:
    """What a transport hears from its client. `forgotten`: the server said it does not know our session."""

    forgotten = False

    def in_session(self, request: httpx2.Request) -> bool:
        """Return whether a request names a session of the server."""
        raise NotImplementedError

    def failed(self, error: httpx2.TransportError) -> None:
        """Take note of a request that broke."""
        raise NotImplementedError

    def answered(self, response: httpx2.Response) -> None:
        """Take note of the head of an answer to a POST."""
        raise NotImplementedError


class _Body(httpx2.AsyncByteStream):
    """A response body whose breaking the SDK takes for a bad answer, not for the end of the connection."""

    def __init__(self, inner: httpx2.AsyncByteStream, *, events: bool) -> None:
        self._inner = inner
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in with_ids(self._inner) if self._events else self._inner:
                yield chunk
        except httpx2.TransportError as error:
            raise httpx2.StreamError(str(error)) from error

    async def aclose(self) -> None:
        await self._inner.aclose()


class Client(httpx2.AsyncClient):
    """An HTTP client that answers a failed POST with a JSON-RPC error, so that only this request fails."""

    def __init__(self, ears: Ears, **options: Any) -> None:
        super().__init__(**options)
        self._ears = ears

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; see `httpx2.AsyncClient.send`."""
        if request.method == "DELETE":  # a farewell: the server may be the reason for leaving
            request.extensions["timeout"] = FAREWELL.as_dict()
        try:
            response = await super().send(request, **options)
            if request.method == "POST" and response.status_code in STATUSES:
                response = await self._unless_lost(request, response)
            response = await with_id(response)
        except httpx2.TransportError as error:
            opening = current()
            if opening is not None and isinstance(error, NOT_SENT):
                opening.unsent = True
            self._ears.failed(error)
            if request.method != "POST":
                raise
            body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "Connection closed"}}
            return httpx2.Response(HTTPStatus.BAD_GATEWAY, json=body, request=request)
        if request.method == "POST" and isinstance(response.stream, httpx2.AsyncByteStream):
            plain = not response.headers.get("content-encoding")
            events = plain and response.headers.get("content-type", "").lower().startswith(_EVENTS)
            response.stream = _Body(response.stream, events=events)
        return response

    async def _unless_lost(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """Return the answer, or the one form of it that says that our session is unknown."""
        if not self._ears.in_session(request):
            return response
        response = await beginning(response)
        if not means_lost(response.status_code, response.content):
            return response
        self._ears.forgotten = True
        if (opening := current()) is not None:
            opening.forgotten = True
        return httpx2.Response(HTTPStatus.NOT_FOUND, json=NORMAL, request=request)


def open_client(
    spec: ServerSpec, url: httpx2.URL, ears: Ears, *, auth: httpx2.Auth | None
) -> httpx2.AsyncClient:
    """Return the client for a server behind a checked `url`; to be entered and left by the caller.

    Its sockets are those of the URL's origin; cookies, headers and `auth` are its own. Raises
    `TroubleError` for a proxy that cannot be used.
    """

    async def heard(response: httpx2.Response) -> None:
        if response.request.method == "POST":
            ears.answered(response)

    try:
        sockets = lease(url)
    except ProxyUnusable as error:
        todo = "Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or exclude the host in NO_PROXY."
        raise TroubleError(Trouble(str(error), todo, lasting=True)) from None
    return Client(
        ears,
        headers=spec.headers,
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        transport=sockets,
        event_hooks={"response": [heard]},
        auth=auth,
    )
