"""A server behind a URL that speaks HTTP with server-sent events, the transport of 2024-11-05.

One GET opens an event stream, whose first event `endpoint` says where messages are posted; all messages
of the server come as `message` events of that stream. Ours and not the SDK's `sse_client`, which loses
every event above 1 MiB, waits for ever when `endpoint` names a foreign address, and gives the whole
connection up after one failed POST.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urljoin

import anyio
import httpx2
import mcp_types as types
from anyio.streams.memory import MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.shared._httpx_utils import redirect_location, sse_within_origin, stream_within_origin
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, RequestId

from omni_tui.config.spec import ServerSpec
from omni_tui.security.urls import shown_url
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.transports.base import ClosableStream, TransportContext
from omni_tui.servers.transports.frames import MAX_LINE, encode, parse, read
from omni_tui.servers.transports.http import checked_url
from omni_tui.servers.transports.http_client import WebTransport
from omni_tui.servers.transports.http_failures import explain_failure, explain_status
from omni_tui.servers.transports.json_rpc import InvalidMessage, OpenRequests, move_ambiguous_code

_log = logging.getLogger(__name__)

_GRACE = 2.0
"""Seconds for the acknowledgement of a request that is answered already."""

NOTICE_TIMEOUT = 10.0
"""Seconds for posting a message that gets no answer."""

_LONGEST_REFUSAL = 64 * 1024
_HEADERS = {"content-type": "application/json"}


class PostWriter(ClosableStream):
    """The stream of our messages to `endpoint`, each one a POST; the answer comes as an event.

    A request is posted in a task of its own, since some servers hold the response until the tool is
    done. If it fails, that request alone gets an error, through `inward`.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        endpoint: httpx2.URL,
        inward: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._inward = inward
        self._posts: dict[RequestId, asyncio.Task[None]] = {}
        self.requests = OpenRequests()
        self._closed = False

    async def send(self, item: SessionMessage, /) -> None:
        """Post one message. Raises `anyio.ClosedResourceError` when the event stream is over."""
        if self._closed:
            raise anyio.ClosedResourceError
        message = item.message
        body = encode(message)
        if isinstance(message, JSONRPCRequest):
            name = f"post {message.method}"
            self.requests.asked(message)
            # The task inherits the context, by which the tap knows the call.
            task = asyncio.create_task(self._request(message.id, body), name=name)
            self._posts[message.id] = task
            task.add_done_callback(lambda done: self._done(message.id, done))
            return
        if isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self.answered(cancelled_request_id_from_params(message.params))
        # Not in a task: `initialized` must arrive before the requests that follow it.
        with contextlib.suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(NOTICE_TIMEOUT):
                await self._post(body)

    def answered(self, request: RequestId | None) -> None:
        """Note that a request is answered or given up, so that its POST may end."""
        if request is None:
            return
        self.requests.answered(request)
        task = self._posts.get(request)
        if task is not None:
            asyncio.get_running_loop().call_later(_GRACE, task.cancel)

    def close(self) -> None:
        """Take no more messages. Posts under way continue: they may have arrived."""
        self._closed = True
        self._inward.close()

    async def aclose(self) -> None:
        """Take no more messages and cancel the posts under way."""
        self.close()
        posts = list(self._posts.values())
        for task in posts:
            task.cancel()
        if posts:
            await asyncio.wait(posts)

    def _done(self, request: RequestId, task: asyncio.Task[None]) -> None:
        if self._posts.get(request) is task:
            del self._posts[request]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("posting a request failed: %r", error)

    async def _request(self, request: RequestId, body: bytes) -> None:
        try:
            refusal = await self._post(body)
        except httpx2.HTTPError as error:
            refusal = types.ErrorData(code=types.CONNECTION_CLOSED, message=str(error) or "cut")
        if refusal is not None:
            self.requests.answered(request)
            answer = types.JSONRPCError(jsonrpc="2.0", id=request, error=refusal)
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._inward.send(SessionMessage(answer))

    async def _post(self, body: bytes) -> types.ErrorData | None:
        """Post bytes; return the server's refusal, None if it accepted."""
        async with stream_within_origin(
            self._client, "POST", self._endpoint, content=body, headers=_HEADERS
        ) as response:
            if (location := redirect_location(response)) is not None:
                what = f"its endpoint redirects to {shown_url(str(location))}, which was not followed"
                return types.ErrorData(code=types.INVALID_REQUEST, message=what)
            text = bytearray()
            async for chunk in response.aiter_bytes():  # an acknowledgement is a word or nothing
                text += chunk
                if len(text) > _LONGEST_REFUSAL:
                    break
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return None
        with contextlib.suppress(InvalidMessage):
            message = parse(bytes(text[:_LONGEST_REFUSAL]))
            if isinstance(message, types.JSONRPCError):
                return message.error
        # The SDK's code and words for streamable HTTP.
        return types.ErrorData(code=types.INTERNAL_ERROR, message="Server returned an error response")


MAX_EVENT = MAX_LINE
"""Longest event in bytes, as over stdio: it is parsed on the loop."""

_LONGEST_ENDPOINT = 4096
_REFUSED_STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_ENDED = ConnectionFailure("it ended the event stream", "Omni TUI tries again.")
_ENDED_EARLY = ConnectionFailure(f"{_ENDED.what} before it named an endpoint", _ENDED.todo)


class SseTransport(WebTransport):
    """Server-sent events and POSTs.

    Entering waits for the `endpoint` event and raises `ConnectionFailed` if it does not come.
    The context's `on_lost` is also called when the event stream ends.
    """

    reads_events = True

    def __init__(self, spec: ServerSpec, context: TransportContext) -> None:
        super().__init__(spec, context)
        self._fault: ConnectionFailure | None = None
        self._reader: asyncio.Task[None] | None = None
        self._outbox: PostWriter | None = None
        self._absent = False

    async def __aenter__(self) -> TransportStreams:
        url = checked_url(self._spec)
        endpoint: asyncio.Future[PostWriter] = asyncio.get_running_loop().create_future()
        inward, reader = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(self.open_client(url))
            stack.push_async_callback(self._end)
            stack.callback(reader.close)
            self._reader = asyncio.create_task(
                self._follow(client, url, endpoint, inward), name=f"events of {self._spec.name}"
            )
            try:
                outbox = await endpoint
            except asyncio.CancelledError:
                endpoint.cancel()
                raise
            if self._reader.done():
                raise ConnectionFailed(self.failure() or _ENDED)
            self._stack = stack.pop_all()
        return reader, outbox

    def absent(self) -> bool:
        """Return whether the address was reached, and offers no event stream."""
        return self._absent

    def failure(self) -> ConnectionFailure | None:
        """Return why connecting failed or the connection ended."""
        if self._fault is not None:
            return self._fault
        return explain_failure(self._error, self._spec.url) if self._error is not None else None

    async def _end(self) -> None:
        if self._outbox is not None:
            await self._outbox.aclose()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait((self._reader,))

    # --- the event stream ---------------------------------------------------------------------

    async def _follow(
        self,
        client: httpx2.AsyncClient,
        url: httpx2.URL,
        endpoint: asyncio.Future[PostWriter],
        inward: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        """Read the events until the stream ends; note what went wrong, and raise nothing."""
        try:
            await self._read(client, url, endpoint, inward)
            self._fault = _ENDED if self._outbox is not None else _ENDED_EARLY
        except ConnectionFailed as error:
            self._fault = error.failure
        except httpx2.SSEError as error:
            what = f"it sent an event of more than {MAX_EVENT // 2**20} MiB ({error})"
            self._fault = ConnectionFailure(what, "The server is faulty.")
        except httpx2.HTTPError as error:
            self._error = error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            _log.debug("an event of %s came after the end", self._spec.name)
        except Exception as error:  # a mistake of ours must end in words on the server's row
            _log.exception("reading the events of %s failed", self._spec.name)
            what = f"its events could not be read: {type(error).__name__}"
            self._fault = ConnectionFailure(what, "See the log file.")
        finally:
            if not endpoint.done():
                endpoint.set_exception(ConnectionFailed(self.failure() or _ENDED_EARLY))
            if self._outbox is not None:
                self._outbox.close()
            inward.close()
            self._context.on_lost()

    async def _read(
        self,
        client: httpx2.AsyncClient,
        url: httpx2.URL,
        endpoint: asyncio.Future[PostWriter],
        inward: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        async with sse_within_origin(client, url, max_event_size=MAX_EVENT) as events:
            self._judge(events.response)
            async for event in events:
                if event.event == "endpoint" and not endpoint.done():
                    address = _endpoint(events.response.request.url, event.data)
                    self._outbox = PostWriter(client, address, inward.clone())
                    endpoint.set_result(self._outbox)
                elif event.event == "message" and event.data and self._outbox is not None:
                    for message in self._messages(event.data, self._outbox):
                        await inward.send(SessionMessage(message))

    def _judge(self, response: httpx2.Response) -> None:
        """Raise `ConnectionFailed` unless the answer to the GET is an event stream."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        status = response.status_code
        self._absent = True
        if (location := redirect_location(response)) is not None:
            what = f"redirects to {shown_url(str(location))}, which was not followed"
            raise ConnectionFailed(ConnectionFailure(what, "Use that address if it is the server meant."))
        if status >= HTTPStatus.BAD_REQUEST:
            self._absent = status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _REFUSED_STATUSES
            raise ConnectionFailed(explain_status(status, self._spec, self._words))
        if kind != "text/event-stream":
            what = f"no event stream at {shown_url(self._spec.url)}: the answer is {kind or 'untyped'}"
            todo = "Check the path of the URL, which often ends in /sse."
            raise ConnectionFailed(ConnectionFailure(what, todo))
        self._absent = False

    def _messages(self, data: str, outbox: PostWriter) -> Iterator[types.JSONRPCMessage]:
        for message in read(data.encode("utf-8", "replace"), outbox.requests):
            if isinstance(message, InvalidMessage):
                self.odd(f"an event was left out: {message}")
                continue
            if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
                if message.id is None:
                    message.id = outbox.requests.sole()
                outbox.answered(message.id)
                move_ambiguous_code(message)
            yield message

    def in_session(self, request: httpx2.Request) -> bool:
        """Return whether a request names a session, as the endpoint's address does."""
        return request.method == "POST"


def _endpoint(base: httpx2.URL, data: str) -> httpx2.URL:
    """Return where to post. Raises `ConnectionFailed` for another origin than the event stream's."""
    try:
        if len(data) > _LONGEST_ENDPOINT or not data.isprintable():
            raise ValueError
        url = httpx2.URL(urljoin(str(base), data.strip()))
    except (httpx2.InvalidURL, ValueError):
        what = "names an endpoint that is not an address"
        raise ConnectionFailed(ConnectionFailure(what, "The server is faulty.", lasting=True)) from None
    same = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    if not same or url.userinfo not in (b"", base.userinfo):
        what = f"wants its messages sent to another origin, {shown_url(str(url))}; nothing was sent there"
        todo = "Use the address of that server, if you trust it."
        raise ConnectionFailed(ConnectionFailure(what, todo, lasting=True))
    return url
