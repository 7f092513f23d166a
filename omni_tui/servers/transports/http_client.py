"""The HTTP client of a connection, and what the transports over HTTP share.

It sends the SDK's requests over shared sockets, makes the answers legible, and adds what the SDK lacks:
real reasons for failures, which call a failed request belonged to, pauses between event streams, and a
connection that survives a failed request instead of cancelling its owner.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import Any, cast

import httpx2

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.connection_pools import PoolError, lease, shown_proxy
from omni_tui.servers.tap import current_call
from omni_tui.servers.transports.base import Transport, TransportContext
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

_DATA = b"data:"
_MOST_NOTED = 50
"""So many invalid messages are written into the log, the rest is counted."""


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
        self.clock = clock
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
        return _WatchedStream(stream, self)

    def useful(self) -> None:
        """Note that the stream is useful."""
        self._fruitless = 0


class _WatchedStream(httpx2.AsyncByteStream):
    """A stream that notices the first `data:` with content."""

    def __init__(self, inner: httpx2.AsyncByteStream, pauses: StreamBackoff) -> None:
        self._inner = inner
        self._pauses = pauses
        self._begun = pauses.clock()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        line = b""
        useful = False
        async for chunk in self._inner:
            if not useful:
                lines = (line + chunk).replace(b"\r", b"\n").split(b"\n")
                line = lines[-1][:64]
                useful = any(each.startswith(_DATA) and each[len(_DATA) :].strip() for each in lines)
                if useful:
                    self._pauses.useful()
            yield chunk

    async def aclose(self) -> None:
        if self._pauses.clock() - self._begun >= STEADY:
            self._pauses.useful()
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


class HttpClient(httpx2.AsyncClient):
    """An HTTP client that answers a failed POST with a JSON-RPC error, so that only this request fails."""

    def __init__(self, listener: WebTransport, **options: Any) -> None:
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
            in_session = self._listener.in_session(request)
            if in_session and means_session_lost(response.status_code, response.content):
                self._listener.session_lost = True
                if (call := current_call()) is not None:
                    call.session_lost = True
                return httpx2.Response(HTTPStatus.NOT_FOUND, json=NORMAL, request=request)
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


class WebTransport(Transport):
    """What the transports behind a URL share: they listen to their HTTP client.

    The context's `on_lost` is called when the host cannot be reached any more; a request that breaks
    fails alone. Its log gets a line for each invalid message. `met`: the server has answered once.
    `reads_events`: the transport reads event streams and the bodies of its answers itself.
    """

    web = True
    met = False
    reads_events = False

    def __init__(self, spec: ServerSpec, context: TransportContext) -> None:
        self._spec = spec
        self._context = context
        self._error: Exception | None = None
        self._status = 0
        self._words = ""
        self._stack = AsyncExitStack()

    def open_client(self, url: httpx2.URL) -> httpx2.AsyncClient:
        """Return the client for a checked `url`; the caller enters and leaves it.

        Clients of one origin share sockets; cookies, headers and the sign-in are their own. Raises
        `ConnectionFailed` for a proxy or certificates that cannot be used.
        """
        try:
            sockets = lease(url)
        except PoolError as error:
            raise ConnectionFailed(ConnectionFailure(str(error), error.todo, lasting=True)) from None
        return HttpClient(
            self,
            headers={"Accept-Encoding": ACCEPTED_ENCODINGS, **self._spec.headers},
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            transport=sockets,
            event_hooks={"response": [self._on_response]},
            auth=self._context.auth,
        )

    async def _on_response(self, response: httpx2.Response) -> None:
        if response.request.method == "POST":
            self.answered(response)

    @abstractmethod
    def in_session(self, request: httpx2.Request) -> bool:
        """Return whether a request names a session of the server."""

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
