"""Our messages to a server that answers elsewhere: each one a POST, the answer comes as an event.

A request is posted in a task of its own, since some servers hold the response of the POST until the
tool is done; its failure becomes a JSON-RPC error for that request alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import httpx2
import mcp_types as types
from mcp.shared._httpx_utils import redirect_location, stream_within_origin
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, RequestId

from omni_tui.servers.server_urls import shown_url
from omni_tui.servers.transports.frames import JunkLine, encode, parse
from omni_tui.servers.transports.json_rpc import OpenRequests

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectSendStream

_log = logging.getLogger(__name__)

_GRACE = 2.0
"""Seconds for the acknowledgement of a request that is answered already, as it often is."""

NOTICE_TIMEOUT = 10.0
"""Seconds that posting what wants no answer may take."""

_LONGEST_REFUSAL = 64 * 1024
_HEADERS = {"content-type": "application/json"}


class PostWriter:
    """The stream of our messages to `endpoint`; `inward` takes the errors of requests that failed."""

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
        self._unanswered: set[RequestId] = set()
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
            self._unanswered.add(message.id)
            self.requests.asked(message)
            # A task takes over the context of its maker, by which the tap knows the call.
            task = asyncio.create_task(self._request(message.id, body), name=name)
            self._posts[message.id] = task
            task.add_done_callback(lambda done: self._done(message.id, done))
            return
        if isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self.answered(cancelled_request_id_from_params(message.params))
        # Not in a task: `initialized` must be there before the requests that follow it.
        with contextlib.suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(NOTICE_TIMEOUT):
                await self._post(body)

    def answered(self, request: RequestId | None) -> None:
        """Note that a request needs its POST no longer: it is answered, or given up."""
        if request is None:
            return
        self._unanswered.discard(request)
        self.requests.answered(request)
        task = self._posts.get(request)
        if task is not None:
            asyncio.get_running_loop().call_later(_GRACE, task.cancel)

    def sole_open_request(self) -> RequestId | None:
        """Return the one request that waits for an answer, None if there are more or none.

        An error whose sender could not tell which request it is about can be about no other.
        """
        return next(iter(self._unanswered)) if len(self._unanswered) == 1 else None

    def close(self) -> None:
        """Take no more messages. Posts under way go on: whether they arrived is not known."""
        self._closed = True
        self._inward.close()

    async def aclose(self) -> None:
        """Take no more messages and give up the posts under way."""
        self.close()
        posts = list(self._posts.values())
        for task in posts:
            task.cancel()
        if posts:
            await asyncio.wait(posts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

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
            self._unanswered.discard(request)
            answer = types.JSONRPCError(jsonrpc="2.0", id=request, error=refusal)
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._inward.send(SessionMessage(answer))

    async def _post(self, body: bytes) -> types.ErrorData | None:
        """Post bytes; return why the server did not take them, None if it did."""
        async with stream_within_origin(
            self._client, "POST", self._endpoint, content=body, headers=_HEADERS
        ) as response:
            if (location := redirect_location(response)) is not None:
                what = f"its endpoint redirects to {shown_url(str(location))}, which was not followed"
                return types.ErrorData(code=types.INVALID_REQUEST, message=what)
            text = await _beginning(response)
            return _refusal(response.status_code, text) if response.status_code >= 400 else None


async def _beginning(response: httpx2.Response) -> bytes:
    """Read a body as far as it may matter; an acknowledgement is a word or nothing."""
    text = bytearray()
    async for chunk in response.aiter_bytes():
        text += chunk
        if len(text) > _LONGEST_REFUSAL:
            break
    return bytes(text[:_LONGEST_REFUSAL])


def _refusal(status: int, text: bytes) -> types.ErrorData:
    """Return the error for a status; the codes are those of the SDK over streamable HTTP."""
    with contextlib.suppress(JunkLine):
        message = parse(text)
        if isinstance(message, types.JSONRPCError):
            return message.error
    return types.ErrorData(code=types.INTERNAL_ERROR, message="Server returned an error response")
