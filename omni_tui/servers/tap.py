"""The last check before the wire: no `tools/call` frame passes without an open dispatch for its bytes.

The gate of the approvals decides; the tap, between the SDK's session and the transport, makes sure that no
mistake of ours or of the SDK sends a call. It also takes answers to calls and pages of lists off the wire
as they came, so that the SDK neither rejects a sloppy one nor spends time on a large one, and it notices
the end of the stream.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar
from weakref import WeakSet

import anyio
from mcp.client._transport import ReadStream, WriteStream
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import SessionMessage
from mcp_types import (
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from omni_tui.servers.base import Dispatch, DispatchRefused
from omni_tui.servers.list_page import LIST_KEYS, ListPage
from omni_tui.servers.server_redactor import ServerRedactor
from omni_tui.servers.transports.base import ClosableStream
from omni_tui.servers.transports.json_rpc import move_ambiguous_code
from omni_tui.servers.wire_log import LoggedFrame, WireLog

T = TypeVar("T")

_CALL = "tools/call"
_GREETINGS = ("initialize", "server/discover")
_MOST_REQUESTS = 2000
"""How many requests without an answer, and how many with one, are remembered."""
_STAND_IN: dict[str, Any] = {"content": [], "resultType": "complete"}


def canonical(arguments: Any) -> bytes:
    """Return the encoding of arguments that is compared, hashed and sent.

    Raises `ValueError` for values that JSON does not have (NaN, infinity, lone surrogates), `TypeError` for
    other types.
    """
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


@dataclass(slots=True, eq=False)
class InFlightCall:
    """One dispatch while its call runs, and what happened to its frame.

    `passed`: the frame was let through. `answer`: the server's result, `refusal`: its JSON-RPC error,
    both as they came. `rounds`: how often the server asked for input and the same call was let through
    again, with the answers. The HTTP transport adds `status` (of the response to this request), `words`
    (of an error response, or why an answer cannot be read), `unsent` (no connection could be made, so
    surely nothing was sent) and `session_lost` (the server does not know our session). The sign-in adds
    `renewed` (the token was refused, and there is a new one).
    """

    dispatch: Dispatch
    open: bool = True
    passed: bool = False
    answer: dict[str, Any] | None = None
    refusal: JSONRPCError | None = None
    status: int = 0
    words: str = ""
    unsent: bool = False
    renewed: bool = False
    session_lost: bool = False
    request: RequestId | None = None
    rounds: int = 0


_sent: WeakSet[Dispatch] = WeakSet()
"""Dispatches whose frame was let through once, over whatever connection."""


class Slot(Generic[T]):
    """Holds a value for the code of one block, and nothing afterwards.

    A context outlives its block: a cancelled timer keeps its own until the timer's time has come. With the
    value itself in the context, each answer would stay in memory for as long as a call may take.
    """

    def __init__(self, value: T) -> None:
        self.value: T | None = value


_current: ContextVar[Slot[InFlightCall] | None] = ContextVar("dispatch", default=None)
_page: ContextVar[Slot[ListPage] | None] = ContextVar("page", default=None)


def current_call() -> InFlightCall | None:
    """Return the call that the running code belongs to, None outside of calls."""
    slot = _current.get()
    return slot.value if slot is not None else None


class Tap:
    """Guards the two streams of one connection to `server`.

    `authority` is asked last, once per frame, whether the dispatch is still valid. `on_end` is called when
    the server's stream ends. `wire` records what passes while it is on. `secrets` are taken out of what the
    server says. `on_odd` gets words for an answer that is not used. `version` is the protocol version in
    the server's answer to `initialize`. `direct`: all errors are the server's own, none the SDK's.
    """

    def __init__(
        self,
        server: str,
        authority: Callable[[Dispatch], bool],
        on_end: Callable[[], None] = lambda: None,
        wire: WireLog | None = None,
        *,
        secrets: ServerRedactor | None = None,
        on_odd: Callable[[str], None] = lambda _what: None,
    ) -> None:
        self.wire = wire if wire is not None else WireLog()
        self._server = server
        self._authority = authority
        self.on_end = on_end
        self._secrets = secrets
        self._on_odd = on_odd
        self._waiting: OrderedDict[RequestId, str] = OrderedDict()
        self._answered: OrderedDict[RequestId, None] = OrderedDict()
        self.version: str | None = None
        self.direct = False
        self._passed: dict[RequestId, InFlightCall] = {}
        self._lists: dict[RequestId, ListPage] = {}
        self._last_message = time.monotonic()

    @property
    def quiet(self) -> float:
        """Seconds since the last message of the server; 0 while a call waits for its answer."""
        return 0.0 if self._passed else time.monotonic() - self._last_message

    def sole_open_call(self) -> str:
        """Return the only call that waits for its answer, "" if there are several or none."""
        calls = {call.dispatch.call for call in self._passed.values()}
        return calls.pop() if len(calls) == 1 else ""

    @contextlib.contextmanager
    def open(self, dispatch: Dispatch) -> Iterator[InFlightCall]:
        """Let the frame of `dispatch` pass once in this block. `DispatchRefused` for another server."""
        if dispatch.server != self._server:
            raise DispatchRefused(f"a call for {dispatch.server!r} met the connection of {self._server!r}")
        call = InFlightCall(dispatch)
        slot = Slot(call)
        token = _current.set(slot)
        try:
            yield call
        finally:
            call.open = False
            slot.value = None
            _current.reset(token)
            if call.request is not None:
                self._passed.pop(call.request, None)

    @contextlib.contextmanager
    def listing(self, kind: str) -> Iterator[ListPage]:
        """Yield the page that the answer to a list request inside this block fills."""
        page = ListPage(kind)
        slot = Slot(page)
        token = _page.set(slot)
        try:
            yield page
        finally:
            slot.value = None
            _page.reset(token)
            for request in [request for request, each in self._lists.items() if each is page]:
                del self._lists[request]

    def again(self, call: InFlightCall) -> None:
        """Let the call pass again with answers. Raises `DispatchRefused` if its result asked for none."""
        if call.answer is None or call.answer.get("resultType") != "input_required":
            raise DispatchRefused(f"the call {call.dispatch.call} was about to continue unrequested")
        call.rounds += 1
        self._close_frame(call)

    def repeat(self, call: InFlightCall) -> None:
        """Let a frame with answers pass again if only its token was refused. Else `DispatchRefused`."""
        if not call.rounds or not call.renewed:
            raise DispatchRefused(f"the call {call.dispatch.call} was about to be sent twice")
        self._close_frame(call)

    def _close_frame(self, call: InFlightCall) -> None:
        if call.request is not None:
            self._passed.pop(call.request, None)
        call.passed = call.unsent = call.renewed = call.session_lost = False
        call.answer = call.refusal = call.request = None
        call.status, call.words = 0, ""

    def guard(
        self, read: ReadStream[SessionMessage | Exception], write: WriteStream[SessionMessage]
    ) -> tuple[GuardedReader, GuardedWriter]:
        """Return the two streams with the tap in between."""
        return GuardedReader(read, self), GuardedWriter(write, self)

    def check(self, item: SessionMessage) -> None:
        """Let a frame pass or raise `DispatchRefused`."""
        message = item.message
        if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
            return
        if message.method == _CALL:
            if not isinstance(message, JSONRPCRequest):
                raise DispatchRefused("a tools/call without an id was about to be sent")
            self._check_call(message)
        if isinstance(message, JSONRPCNotification):
            return
        request = coerce_request_id(message.id)
        if (kind := LIST_KEYS.get(message.method)) is not None:
            slot = _page.get()
            asked = slot.value if slot is not None else None
            self._lists[request] = asked if asked is not None and asked.kind == kind else ListPage(kind)
        self._answered.pop(request, None)
        self._waiting[request] = message.method
        if len(self._waiting) > _MOST_REQUESTS:
            self._waiting.popitem(last=False)

    def _clean(self, message: JSONRPCMessage) -> None:
        """Take our secrets, and codes that the SDK also uses, out of a message, in place."""
        secrets = self._secrets
        if secrets is None or self._is_listing(message):
            pass
        elif isinstance(message, JSONRPCError):
            error = message.error
            error.message, error.data = secrets.hide(error.message), secrets.redact_in(error.data)
        elif isinstance(message, JSONRPCResponse):
            message.result = secrets.redact_in(message.result)
        elif message.params is not None:
            message.params = secrets.redact_in(message.params)
        if self.direct:
            move_ambiguous_code(message)

    def _is_listing(self, message: JSONRPCMessage) -> bool:
        """Return whether a message is an answer with names of tools and the like, which must stay exact."""
        if not isinstance(message, JSONRPCResponse):
            return False
        method = self._waiting.get(coerce_request_id(message.id), "")
        return method in LIST_KEYS or method in _GREETINGS

    def _is_second(self, request: RequestId) -> bool:
        """Note an answer; return whether its request had one before, since only the first counts."""
        if request in self._answered:
            self._on_odd(f"the request {str(request)[:40]} was answered again; the first answer counts")
            return True
        if self._waiting.pop(request, None) is not None:
            self._answered[request] = None
            if len(self._answered) > _MOST_REQUESTS:
                self._answered.popitem(last=False)
        return False

    def _check_call(self, message: JSONRPCRequest) -> None:
        call = current_call()
        if call is None or not call.open or call.dispatch.server != self._server:
            raise DispatchRefused("a tools/call was about to be sent that nobody dispatched")
        if call.passed:
            raise DispatchRefused(f"the call {call.dispatch.call} was about to be sent twice")
        params = message.params or {}
        if params.get("name") != call.dispatch.tool:
            raise DispatchRefused(
                "a tools/call was about to be sent for another tool than the approved one"
            )
        try:
            same = canonical(params.get("arguments")) == call.dispatch.arguments
        except (ValueError, TypeError, RecursionError):
            same = False
        if not same:
            raise DispatchRefused(
                "a tools/call was about to be sent with other arguments than the approved ones"
            )
        if not call.rounds and {"inputResponses", "requestState"} & params.keys():
            raise DispatchRefused("a tools/call was about to be sent with answers nobody asked for")
        if not self._authority(call.dispatch):
            raise DispatchRefused(
                f"the journal does not know the call {call.dispatch.call} as being dispatched"
            )
        if not call.rounds and call.dispatch in _sent:
            raise DispatchRefused(f"the call {call.dispatch.call} was about to be sent twice")
        _sent.add(call.dispatch)
        call.passed = True
        call.request = coerce_request_id(message.id)
        self._passed[call.request] = call

    def receive(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        """Take a call's answer, or the page of a list, off the wire."""
        self._last_message = time.monotonic()
        if isinstance(item, Exception):
            return item
        message = item.message
        self._clean(message)
        if not isinstance(message, JSONRPCResponse | JSONRPCError) or message.id is None:
            return item
        request = coerce_request_id(message.id)
        if isinstance(message, JSONRPCResponse) and self._waiting.get(request) == "initialize":
            self.version = str(message.result.get("protocolVersion", ""))
        if self._is_second(request):
            return _answered(item, message.id, dict(_STAND_IN))
        call = self._passed.get(request)
        page = self._lists.pop(request, None)
        if isinstance(message, JSONRPCError):
            if call is not None:
                call.refusal = message
            return item
        if call is not None:
            call.answer = message.result
            return _answered(item, message.id, dict(_STAND_IN))
        return item if page is None else _answered(item, message.id, page.take(message.result))

    def note(self, item: SessionMessage | Exception, *, sent: bool, size: int = 0) -> LoggedFrame | None:
        """Record a frame as it is, if recording is on."""
        if self.wire.meter.on:
            self.wire.meter.note(self._server, item, sent=sent, size=size)
        if self.wire.on:
            with contextlib.suppress(Exception):  # recording must not disturb the connection
                return self.wire.note(item, sent=sent, size=size)
        return None


def _answered(item: SessionMessage, request: RequestId, result: dict[str, Any]) -> SessionMessage:
    return SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=request, result=result), item.metadata)


class GuardedReader(ClosableStream):
    """The server's messages, after the tap has seen them."""

    def __init__(self, inner: ReadStream[SessionMessage | Exception], tap: Tap) -> None:
        self._inner = inner
        self._tap = tap

    async def aclose(self) -> None:
        """Close the transport's stream."""
        await self._inner.aclose()

    @property
    def last_context(self) -> Context | None:
        """The context of the last message's sender, if the transport knows it."""
        context: Context | None = getattr(self._inner, "last_context", None)
        return context

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message; raises what the transport raises."""
        return self._received(await self._inner.receive())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            item = await self._inner.__anext__()
        except Exception:  # the end, or a stream closed under the reader
            self._tap.on_end()
            raise
        return self._received(item)

    def _received(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        self._tap.note(item, sent=False, size=getattr(self._inner, "last_size", 0))
        return self._tap.receive(item)


class GuardedWriter(ClosableStream):
    """Our messages, past the tap."""

    def __init__(self, inner: WriteStream[SessionMessage], tap: Tap) -> None:
        self._inner = inner
        self._tap = tap

    async def aclose(self) -> None:
        """Close the transport's stream."""
        await self._inner.aclose()

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message. Raises `DispatchRefused`, and sends nothing then."""
        self._tap.check(item)
        noted = self._tap.note(item, sent=True)
        try:
            await self._inner.send(item)
        except Exception as error:
            if noted is not None:
                noted.lost = True
            message, call = item.message, current_call()
            is_call = isinstance(message, JSONRPCRequest) and message.method == _CALL
            if isinstance(error, anyio.ClosedResourceError) and is_call and call is not None:
                call.unsent = True  # the transport is closed: nothing was sent
            raise
