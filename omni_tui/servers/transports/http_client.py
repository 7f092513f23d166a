"""The HTTP client of a connection: the SDK's requests over shared sockets, and its answers made legible.

It adds what the SDK lacks: real reasons for failures, which call a failed request belonged to, pauses
between event streams, and a connection that survives a failed request instead of cancelling its owner.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, cast

import httpx2

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.connection_pools import PoolError, lease, shown_proxy
from omni_tui.servers.tap import current_call
from omni_tui.servers.transports.error_responses import (
    NORMAL,
    STATUSES,
    means_session_lost,
    read_refusal,
    response_words,
    with_id,
)
from omni_tui.servers.transports.http_failures import TlsExpected, speaks_tls
from omni_tui.servers.transports.response_bodies import checked_response, is_event_stream

LONGEST = 300.0
"""Longest pause between two streams, in seconds."""
STEADY = 60.0
"""A stream that lasted so many seconds counts as useful."""

_TOLD = b"data:"


class StreamBackoff:
    """Growing pauses between the streams for a server's own messages.

    The SDK (2.3.0) opens an orderly ended stream again every second, and at once if the server says
    `retry: 0`. A stream that brought a message, or lasted a minute, resets the pause. The first `free`
    streams without a message need no pause; no pause is longer than `longest` seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        free: int = 0,
        longest: float = LONGEST,
    ) -> None:
        self._clock = clock
        self._free = free
        self._longest = longest
        self._fruitless = 0

    @property
    def seconds(self) -> float:
        """Seconds to wait before the next stream, besides the SDK's own."""
        counted = self._fruitless - self._free
        return min(self._longest, 2.0 ** min(counted - 1, 20)) if counted > 0 else 0.0

    def watched(self, stream: httpx2.AsyncByteStream) -> httpx2.AsyncByteStream:
        """Return the body of a new stream; it notes whether the stream is useful."""
        self._fruitless += 1
        return _Watched(stream, self)

    def told(self) -> None:
        """Note that the stream is useful."""
        self._fruitless = 0

    def now(self) -> float:
        """Return the time of the clock."""
        return self._clock()


class _Watched(httpx2.AsyncByteStream):
    """A stream that notices the first `data:` with content."""

    def __init__(self, inner: httpx2.AsyncByteStream, pauses: StreamBackoff) -> None:
        self._inner = inner
        self._pauses = pauses
        self._begun = pauses.now()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        line = b""
        told = False
        async for chunk in self._inner:
            if not told:
                *whole, line = (line + chunk).replace(b"\r", b"\n").split(b"\n")
                told = any(each.startswith(_TOLD) and each[len(_TOLD) :].strip() for each in [*whole, line])
                line = line[:64]
                if told:
                    self._pauses.told()
            yield chunk

    async def aclose(self) -> None:
        if self._pauses.now() - self._begun >= STEADY:
            self._pauses.told()
        await self._inner.aclose()


TIMEOUT = httpx2.Timeout(30.0, connect=10.0, read=None, pool=None)
"""Without a limit for reading: calls, listings and connecting have their own, which progress extends."""

CLOSE_TIMEOUT = httpx2.Timeout(1.5)
"""For ending a session at the server."""

ACCEPTED_ENCODINGS = "gzip, deflate"
"""The encodings that are unpacked piece by piece."""

NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.LocalProtocolError,
)


class ClientListener(ABC):
    """Receives what happens to the requests of an HTTP client.

    `session_lost`: the server said that it does not know our session. `met`: the server has answered once.
    `reads_events`: the transport reads event streams and the bodies of its answers itself.
    """

    session_lost = False
    met = False
    reads_events = False

    @abstractmethod
    def in_session(self, request: httpx2.Request) -> bool:
        """Return whether a request names a session of the server."""

    @abstractmethod
    def failed(self, error: httpx2.TransportError) -> None:
        """Note a request that broke."""

    @abstractmethod
    def answered(self, response: httpx2.Response) -> None:
        """Note the head of an answer to a POST."""

    @abstractmethod
    def refused(self, words: str) -> None:
        """Note the words of an error response."""

    @abstractmethod
    def odd(self, what: str) -> None:
        """Note something that came and was no message."""


class HttpClient(httpx2.AsyncClient):
    """An HTTP client that answers a failed POST with a JSON-RPC error, so that only this request fails."""

    def __init__(self, listener: ClientListener, **options: Any) -> None:
        super().__init__(**options)
        self._listener = listener
        self._pauses = StreamBackoff()
        self._resumptions = StreamBackoff(free=5, longest=2.0)
        self._tls: bool | None = None

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; see `httpx2.AsyncClient.send`."""
        if request.method == "DELETE":  # ends the session; the server may be stuck
            request.extensions["timeout"] = CLOSE_TIMEOUT.as_dict()
        # Within a call, a GET resumes its answer at the time that the server says.
        pauses = self._pauses if current_call() is None else self._resumptions
        if request.method == "GET" and pauses.seconds:
            await asyncio.sleep(pauses.seconds)
        try:
            response = await self._answer(request, **options)
        except httpx2.TransportError as error:
            if await self._met_tls(request, error):
                error = TlsExpected("the port speaks TLS", request=request)
            call = current_call()
            if call is not None and isinstance(error, NOT_SENT):
                call.unsent = True
            self._listener.failed(error)
            if request.method != "POST":
                raise error
            body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "Connection closed"}}
            return httpx2.Response(HTTPStatus.BAD_GATEWAY, json=body, request=request)
        if self._listener.reads_events or response.status_code >= HTTPStatus.BAD_REQUEST:
            return response
        if request.method == "POST":
            return checked_response(request, response, self._listener.odd)
        if request.method == "GET" and is_event_stream(response):
            response = checked_response(request, response, self._listener.odd)
            response.stream = pauses.watched(cast(httpx2.AsyncByteStream, response.stream))
        return response

    async def _answer(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; read the beginning of an error response and report its words."""
        if request.method == "DELETE":  # nobody reads this answer
            response = await super().send(request, **{**options, "stream": True})
            await response.aclose()
            headers = {"content-type": response.headers.get("content-type", "")}
            return httpx2.Response(response.status_code, headers=headers, request=request)
        response = await super().send(request, **options)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        response = await read_refusal(response)
        if request.method == "POST" or self._listener.reads_events:
            self._listener.refused(response_words(response))
        if request.method == "POST" and response.status_code in STATUSES:
            response = self._normalised_loss(request, response)
        return with_id(response)

    async def _met_tls(self, request: httpx2.Request, error: httpx2.TransportError) -> bool:
        """Whether a plain request broke because the port speaks TLS; tested once, before any answer."""
        broke = isinstance(error, httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError)
        url = request.url
        if self._listener.met or not broke or url.scheme != "http" or shown_proxy(str(url)):
            return False
        if self._tls is None:
            self._tls = await speaks_tls(url.host, url.port or 80)
        return self._tls

    def _normalised_loss(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """Return the answer, in one standard form if it says that our session is lost."""
        if not self._listener.in_session(request):
            return response
        if not means_session_lost(response.status_code, response.content):
            return response
        self._listener.session_lost = True
        if (call := current_call()) is not None:
            call.session_lost = True
        return httpx2.Response(HTTPStatus.NOT_FOUND, json=NORMAL, request=request)


def open_client(
    spec: ServerSpec, url: httpx2.URL, listener: ClientListener, *, auth: httpx2.Auth | None
) -> httpx2.AsyncClient:
    """Return the client for a server behind a checked `url`; the caller enters and leaves it.

    Clients of one origin share sockets; cookies, headers and `auth` are their own. Raises
    `ConnectionFailed` for a proxy or certificates that cannot be used.
    """

    async def heard(response: httpx2.Response) -> None:
        if response.request.method == "POST":
            listener.answered(response)

    try:
        sockets = lease(url)
    except PoolError as error:
        raise ConnectionFailed(ConnectionFailure(str(error), error.todo, lasting=True)) from None
    return HttpClient(
        listener,
        headers={"Accept-Encoding": ACCEPTED_ENCODINGS, **spec.headers},
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        transport=sockets,
        event_hooks={"response": [heard]},
        auth=auth,
    )
