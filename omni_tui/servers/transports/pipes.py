"""Reads and writes the three pipes of a server process without blocking.

`LineReader` and `FrameWriter` are the two streams that the SDK's `Client` expects of a transport;
`ErrorReader` copies standard error into the server's log.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import deque
from collections.abc import Callable

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCRequest, JSONRPCResponse

from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.transports.base import ClosableStream
from omni_tui.servers.transports.frames import MAX_LINE, encode, is_whole, read
from omni_tui.servers.transports.json_rpc import (
    InvalidMessage,
    MalformedResponse,
    OpenRequests,
    error_words,
)

_CHUNK = 64 * 1024
_QUEUE_BYTES = 1024 * 1024
_QUEUE_LINES = 2000
_YIELD_S = 0.004
"""Seconds of handling messages before the rest of the loop gets its turn."""

_ERROR_CHUNK = 256 * 1024
_ERROR_PAUSE = 0.01
"""Standard error is read at most every 10 ms, 256 KiB at a time."""
_LAST_READS = 16

_PATIENCE = 0.25
"""Seconds after which a complete message without a line feed is taken."""
_LONGEST_LATE = 1024 * 1024
_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*(\d{1,10})", re.IGNORECASE)
_HEADER = re.compile(rb"[a-z-]{1,40}[ \t]*:", re.IGNORECASE)
_MARKS = (b"\xef\xbb\xbf", b"\0")
"""What some programs write first: the byte order mark of UTF-8, and padding."""


class LineReader(ClosableStream):
    """The server's standard output as a stream of messages.

    Lines wait as bytes and are parsed when they are taken; while too many wait, the pipe is not read.
    Messages after a byte order mark, in frames with a Content-Length header, and without a last line feed
    are read as well. `on_odd` gets each line that is no message or a malformed answer, with the reason.
    `fault` says why reading was stopped ("" if it was not), `eof` that the server closed the pipe; `ended`
    is set when nothing more will come. `last_size` is the length of the last taken line, in bytes.
    """

    def __init__(
        self, descriptor: int, requests: OpenRequests, on_odd: Callable[[bytes, str], None]
    ) -> None:
        self.last_size = 0
        self.fault = ""
        self.eof = False
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._fd = descriptor
        self._requests = requests
        self._on_odd = on_odd
        self._partial = bytearray()
        self._announced: int | None = None
        self._body_left = 0
        self._lines: deque[bytes] = deque()
        self._messages: deque[JSONRPCMessage] = deque()
        self._waiting_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._late: asyncio.TimerHandle | None = None
        self._reading = False
        self._discard = False
        self._since = 0.0
        os.set_blocking(descriptor, False)
        self._resume()

    async def aclose(self) -> None:
        """Take no more messages; discard what the server still writes."""
        self._discard = True
        self._lines.clear()
        self._messages.clear()
        self._waiting_bytes = 0
        self.finish()
        self._resume()

    def release(self) -> None:
        """Stop reading; the descriptor may be closed afterwards."""
        self._pause()
        self._fd = -1
        self.finish()

    def finish(self, fault: str = "") -> None:
        """End the stream after the waiting lines."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if not self.ended.is_set():
            self.fault = fault
            self._take_rest()
            self.ended.set()
        self._wake()

    def drain(self) -> None:
        """Take what is in the pipe and end the stream: the process has exited."""
        while self._fd >= 0 and self._reading and not self._discard and self._on_readable():
            pass
        self.finish()

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message. Raises `anyio.EndOfStream`."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    def __aiter__(self) -> LineReader:
        return self

    async def __anext__(self) -> SessionMessage:
        while True:
            while self._messages or self._lines:
                if time.monotonic() - self._since > _YIELD_S:
                    await asyncio.sleep(0)
                    self._since = time.monotonic()
                if not self._messages and self._lines:
                    self._take()
                if self._messages:
                    return SessionMessage(self._messages.popleft())
            if self.ended.is_set():
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
            self._since = time.monotonic()

    def _take(self) -> None:
        line = self._lines.popleft()
        self._waiting_bytes -= len(line)
        self.last_size = len(line)
        if not self._reading and self._waiting_bytes < _QUEUE_BYTES // 2:
            self._resume()
        for message in read(line, self._requests):
            if isinstance(message, InvalidMessage):
                self._on_odd(line, str(message))
                continue
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                self._requests.answered(message.id)
            if isinstance(message, MalformedResponse):
                self._on_odd(line, "a malformed answer")
            elif isinstance(message, JSONRPCError) and message.id is None:
                self._on_odd(line, f"an error that names no request: {error_words(message.error)}")
            self._messages.append(message)

    def _on_readable(self) -> bool:
        """Read once; return whether more may follow."""
        data = _read_some(self._fd, _CHUNK)
        if data == b"":
            self._pause()
            self.eof = True
            self.finish()
        elif data and not self._discard:
            self._feed(data)
        return bool(data)

    def _feed(self, data: bytes) -> None:
        start = 0
        while start < len(data):
            if self._body_left:
                piece = data[start : start + self._body_left]
                self._body_left -= len(piece)
                start += len(piece)
                self._partial += piece
                if not self._body_left:
                    self._enqueue(self._whole())
                continue
            end = data.find(b"\n", start)
            if end < 0:
                self._partial += data[start:]
                break
            self._partial += data[start:end]
            start = end + 1
            self._enqueue(self._whole())
        if self._lines:
            self._wake()
        if max(len(self._partial), self._body_left) > MAX_LINE:
            self._discard = True
            self._partial.clear()
            self.finish(f"it sent a message of more than {MAX_LINE // 1024 // 1024} MiB in one line")
        if self._waiting_bytes > _QUEUE_BYTES or len(self._lines) > _QUEUE_LINES:
            self._pause()
        self._watch_partial()

    def _whole(self) -> bytes:
        line = bytes(self._partial)
        self._partial.clear()
        return line

    def _enqueue(self, line: bytes) -> None:
        """Sort a line: a message, the header of one, or something else."""
        line = line.strip()
        while line.startswith(_MARKS):
            line = line.removeprefix(_MARKS[0]).lstrip(b"\0 \t")
        announced, self._announced = self._announced, None
        if not line:
            self._body_left = announced or 0
        elif (length := _LENGTH.fullmatch(line)) is not None:
            self._announced = int(length[1])
        elif announced is not None and _HEADER.match(line):
            self._announced = announced
        elif b"{" in line:
            self._lines.append(line)
            self._waiting_bytes += len(line)
        else:
            self._on_odd(line, "not a message")

    def _watch_partial(self) -> None:
        """Start a timer for a message without a line feed, which may never come."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if 0 < len(self._partial) <= _LONGEST_LATE and not (self._discard or self._body_left):
            self._late = self._loop.call_later(_PATIENCE, self._take_late)

    def _take_late(self) -> None:
        self._late = None
        if is_whole(bytes(self._partial)):
            self._enqueue(self._whole())
            self._wake()

    def _take_rest(self) -> None:
        """Take what came after the last line feed, now that nothing more will come."""
        line = self._whole()
        if self._discard or not line.strip():
            return
        if is_whole(line):
            self._enqueue(line)
        else:
            self._on_odd(line, "cut off, or not a message")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if not self._reading and self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_readable)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            self._loop.remove_reader(self._fd)
            self._reading = False


def _read_some(descriptor: int, most: int) -> bytes | None:
    """Return what is in a pipe, b"" at its end, None if nothing is there now."""
    try:
        return os.read(descriptor, most)
    except BlockingIOError:
        return None
    except OSError:
        return b""


class FrameWriter(ClosableStream):
    """The server's standard input as a stream that takes messages.

    A request waits while the server does not read; other messages are queued, up to a limit, so that
    cancelling a call never waits for a stuck server. `on_broken` is called once when the server has
    closed its end.
    """

    _HIGH = 256 * 1024
    _LIMIT = 4 * 1024 * 1024

    def __init__(self, descriptor: int, on_broken: Callable[[], None], requests: OpenRequests) -> None:
        self._loop = asyncio.get_running_loop()
        self._requests = requests
        self._fd = descriptor
        self._on_broken = on_broken
        self._backlog = bytearray()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self._broken = False
        os.set_blocking(descriptor, False)

    async def send(self, item: SessionMessage) -> None:
        """Write one message.

        Raises `anyio.ClosedResourceError` after `aclose`, `anyio.BrokenResourceError` when the server
        takes nothing any more, and `ValueError` for what JSON does not have.
        """
        if self._closed or self._broken:
            raise anyio.ClosedResourceError
        data = encode(item.message)
        if not isinstance(item.message, JSONRPCRequest) and len(self._backlog) > self._LIMIT:
            raise anyio.BrokenResourceError
        if isinstance(item.message, JSONRPCRequest):
            self._requests.asked(item.message)
        self._write(data)
        if isinstance(item.message, JSONRPCRequest):
            await self._room.wait()
        if self._broken:
            raise anyio.BrokenResourceError

    async def aclose(self) -> None:
        """Take no more messages; the queue is still written while the descriptor is open."""
        self._closed = True
        self._room.set()

    def release(self) -> None:
        """Stop writing; the descriptor may be closed afterwards."""
        self._closed = True
        if self._backlog and not self._broken:
            self._loop.remove_writer(self._fd)
        self._backlog.clear()
        self._room.set()

    def _write(self, data: bytes) -> None:
        if self._broken:
            return
        if not self._backlog:
            written = self._try_write(data)
            if written == len(data) or self._broken:
                return
            data = data[written:]
            self._loop.add_writer(self._fd, self._on_writable)
        self._backlog += data
        if len(self._backlog) > self._HIGH:
            self._room.clear()

    def _on_writable(self) -> None:
        written = self._try_write(self._backlog)
        if self._broken:
            return
        del self._backlog[:written]
        if len(self._backlog) <= self._HIGH:
            self._room.set()
        if not self._backlog:
            self._loop.remove_writer(self._fd)

    def _try_write(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._fd, memoryview(data)[: 1024 * 1024])
        except BlockingIOError:
            return 0
        except OSError:
            self._broken = True
            if self._backlog:
                self._loop.remove_writer(self._fd)
            self._room.set()
            self._on_broken()
            return 0


class ErrorReader:
    """Copies a server's standard error into its log, at a limited pace."""

    def __init__(self, descriptor: int, log: ServerLogBuffer) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = descriptor
        self._server_log = log
        self._timer: asyncio.TimerHandle | None = None
        os.set_blocking(descriptor, False)
        self._listen()

    def release(self) -> None:
        """Take what is in the pipe, about a megabyte at most, and stop."""
        for _ in range(_LAST_READS):
            if self._fd < 0 or not self._read():
                break
        if self._timer is not None:
            self._timer.cancel()
        self._stop()

    def _listen(self) -> None:
        self._timer = None
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        self._read()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._timer = self._loop.call_later(_ERROR_PAUSE, self._listen)

    def _read(self) -> bool:
        """Read once; return whether something was there."""
        data = _read_some(self._fd, _ERROR_CHUNK)
        if data == b"":
            self._stop()
        elif data:
            self._server_log.feed(data)
        return bool(data)

    def _stop(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
        self._fd = -1
        self._server_log.flush()
