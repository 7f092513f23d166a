"""Reads the bodies of HTTP answers, with limits, before the SDK sees them.

The SDK (2.3.0) reads a body of any length, fails a request for one invalid event though its answer may
follow, waits forever for an answer with an unknown id, and quotes its validator in errors. Here a body
is read as over stdio, with the same limits, and only messages pass; the rest is reported and left out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Any

import httpx2
from mcp_types import (
    INVALID_REQUEST,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from pydantic_core import from_json, to_json

from omni_tui.servers.tap import current_call
from omni_tui.servers.transports.frames import MAX_LINE, load
from omni_tui.servers.transports.json_rpc import (
    InvalidMessage,
    MalformedResponse,
    OpenRequests,
    message_body,
    move_ambiguous_code,
    parse_message,
    unreadable_response,
)

_EVENTS = "text/event-stream"
_JSON = "application/json"
_FRAMING = ("content-length", "content-encoding", "transfer-encoding", "content-type")
_BREAK = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"
_HEAD = 300
"""How far into a broken event is searched whether it is an answer, in bytes."""
_TOO_LONG = f"it is longer than {MAX_LINE // 2**20} MiB"
_TOO_LONG_EVENT = f"an event of more than {MAX_LINE // 2**20} MiB was left out"


def is_event_stream(response: httpx2.Response) -> bool:
    """Return whether a response is an event stream."""
    return _kind(response) == _EVENTS


def checked_response(
    request: httpx2.Request, response: httpx2.Response, odd: Callable[[str], None]
) -> httpx2.Response:
    """Return a response whose body holds only messages, decoded, at most 16 MiB each.

    `odd` gets words for everything left out. A response to no request of ours that is no stream of the
    server's own messages is unchanged: nobody reads it.
    """
    if response.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
        return response
    asked = _asked(request)
    if asked is None and request.method != "GET":
        return response
    reader = _Reader(asked, odd)
    events = is_event_stream(response)
    stream = _Events(response, reader) if events else _Whole(response, reader)
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _FRAMING]
    headers.append(("content-type", _EVENTS if events else _JSON))
    return httpx2.Response(response.status_code, headers=headers, stream=stream, request=request)


def _kind(response: httpx2.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _asked(request: httpx2.Request) -> JSONRPCRequest | None:
    """Return the JSON-RPC request of a POST, without its parameters."""
    if request.method != "POST":
        return None
    try:
        body = from_json(request.content)
    except (httpx2.RequestNotRead, ValueError):
        return None
    if not isinstance(body, dict) or not isinstance(body.get("id"), int | str) or "method" not in body:
        return None
    return JSONRPCRequest(jsonrpc="2.0", id=body["id"], method=body["method"])


class _Reader:
    """Reads the messages of one response; an answer in it can only be for the request `asked`."""

    def __init__(self, asked: JSONRPCRequest | None, odd: Callable[[str], None]) -> None:
        self.key: RequestId | None = None if asked is None else asked.id
        self.odd = odd
        self._requests = OpenRequests()
        if asked is not None:
            self._requests.asked(asked)

    def messages(self, data: bytes) -> list[JSONRPCMessage]:
        """Return the messages in `data`. Raises `InvalidMessage` if it is not JSON."""
        body = load(data.removeprefix(_BOM))
        found: list[JSONRPCMessage] = []
        for each in body if isinstance(body, list) else [body]:
            try:
                found.append(parse_message(self._with_id(each), self._requests))
            except InvalidMessage as error:
                self.odd(f"left out of an answer: {error}")
        return found

    def _with_id(self, body: Any) -> Any:
        """Return an answer with the id of its request."""
        answers = isinstance(body, dict) and "method" not in body and ("result" in body or "error" in body)
        if self.key is None or not answers or str(body.get("id")) == str(self.key):
            return body
        return {**body, "id": self.key}

    def unreadable(self, why: str) -> bytes:
        """Return the error for an answer that cannot be read."""
        assert self.key is not None
        self.odd(f"an answer could not be read: {why}")
        return message_line(unreadable_response(self.key, why))


def message_line(message: JSONRPCMessage) -> bytes:
    """Return a message as one line of JSON; report an unreadable one to the call that waits."""
    if (
        isinstance(message, MalformedResponse)
        and not message.answered
        and (call := current_call()) is not None
    ):
        call.words = message.error.message
    move_ambiguous_code(message)
    return to_json(message_body(message))


class _Unpacked(httpx2.AsyncByteStream):
    """The decoded body of a response. If it breaks off, the SDK keeps the connection."""

    def __init__(self, response: httpx2.Response, reader: _Reader) -> None:
        self._response = response
        self._reader = reader

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces of at most 1 MiB."""
        try:
            async for piece in self._response.aiter_bytes():
                yield piece
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise httpx2.StreamError(str(error)) from error

    async def aclose(self) -> None:
        await self._response.aclose()


class _Whole(_Unpacked):
    """A body that is one answer."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = bytearray()
        async for piece in self._pieces():
            body += piece
            if len(body) > MAX_LINE:
                yield self._reader.unreadable(_TOO_LONG)
                return
        yield self._judge(bytes(body))

    def _judge(self, body: bytes) -> bytes:
        reader = self._reader
        try:
            messages = reader.messages(body)
        except InvalidMessage as error:
            kind = _kind(self._response)
            if kind in (_JSON, ""):
                return reader.unreadable(str(error) if body.strip() else "it is empty")
            what = f"no MCP server answers there, but something with {kind[:80]}"
            refusal = ErrorData(code=INVALID_REQUEST, message=what)
            return message_line(JSONRPCError(jsonrpc="2.0", id=reader.key, error=refusal))
        answers = [each for each in messages if isinstance(each, JSONRPCResponse | JSONRPCError)]
        if len(messages) > 1:
            reader.odd(f"{len(messages) - 1} more messages beside an answer were left out")
        return message_line(answers[0]) if answers else reader.unreadable("there is no answer in it")


class _Events(_Unpacked):
    """An event stream, event by event; a complete event is passed at once."""

    def __init__(self, response: httpx2.Response, reader: _Reader) -> None:
        super().__init__(response, reader)
        self._other: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._foreign = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        lines = _Lines()
        first = True
        async for piece in self._pieces():
            ready: list[bytes] = []
            for line in lines.take(piece):
                ready += self._take(line.removeprefix(_BOM) if first else line)
                first = False
            if ready:
                yield b"".join(ready)
            if self._size + len(lines.rest) > MAX_LINE + _HEAD:
                if self._reader.key is None:
                    self._reader.odd(_TOO_LONG_EVENT)
                    raise httpx2.StreamError("an event is too long")
                yield _event([], self._reader.unreadable(_TOO_LONG))
                return
        rest = [*self._take(bytes(lines.rest)), *self._take(b"")]
        if rest:
            yield b"".join(rest)

    def _take(self, line: bytes) -> Iterator[bytes]:
        """Take one line; yield what passes."""
        if not line:
            yield from self._finish()
            return
        name, _, value = line.partition(b":")
        if not name:
            yield line + b"\n"  # a comment, as a sign of life
            return
        self._size += len(line)
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            return
        if name == b"event":
            self._foreign = value.strip() not in (b"", b"message")
        self._other.append(line)

    def _finish(self) -> Iterator[bytes]:
        other, data, foreign = self._other, b"\n".join(self._data), self._foreign
        had_data = bool(self._data)
        self._other, self._data, self._size, self._foreign = [], [], 0, False
        if foreign or not data.strip():
            if other or had_data:
                yield _event(other, data)
            return
        ready = self._judge(data)
        for number, text in enumerate(ready):
            yield _event(other if not number else [], text)
        if not ready and other:
            yield _event(other, b"")

    def _judge(self, data: bytes) -> list[bytes]:
        reader = self._reader
        if len(data) > MAX_LINE:
            if reader.key is not None:
                return [reader.unreadable(_TOO_LONG)]
            reader.odd(_TOO_LONG_EVENT)
            return []
        try:
            return [message_line(message) for message in reader.messages(data)]
        except InvalidMessage as error:
            head = data[:_HEAD]
            if reader.key is not None and b'"jsonrpc"' in head and b'"method"' not in head:
                return [reader.unreadable(str(error))]
            reader.odd(f"an event was left out: {error}")
            return []


def _event(other: list[bytes], data: bytes) -> bytes:
    lines = [*other, *(b"data: " + each for each in data.split(b"\n"))]
    return b"\n".join(lines) + b"\n\n"


class _Lines:
    """Joins pieces to lines; `rest` is the incomplete one."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self._after_return = False

    def take(self, piece: bytes) -> list[bytes]:
        """Return the lines that are complete now, without line ends."""
        if self._after_return:
            piece = piece.removeprefix(b"\n")
        self._after_return = piece.endswith(b"\r")
        first, *more = _BREAK.split(piece)
        self.rest += first
        if not more:
            return []
        whole = [bytes(self.rest), *more[:-1]]
        self.rest = bytearray(more[-1])
        return whole
