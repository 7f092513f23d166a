"""The three pipes of a server process, read and written without blocking and without the SDK's tasks.

`LineReader` and `FrameWriter` are the two streams that the SDK's `Client` expects of a transport;
`ErrorReader` follows what the server writes to its standard error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest

from omni_tui.servers.log import ServerLog
from omni_tui.servers.transports.frames import MAX_LINE, JunkLine, encode, parse

_log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_QUEUE_BYTES = 1024 * 1024
_QUEUE_LINES = 2000
_BREATH = 0.004
"""Seconds that handling messages may take before the rest of the loop gets its turn."""

_ERROR_CHUNK = 256 * 1024
_ERROR_PAUSE = 0.01
"""A server that floods its standard error is read at most every 10 ms, 256 KiB at a time."""
_LAST_READS = 16


class _Stream:
    """What anyio's streams have in common."""

    async def aclose(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class LineReader(_Stream):
    """The server's standard output as a stream of messages.

    Lines wait as bytes and are parsed when they are taken; while too many wait, the pipe is not
    read. `junk` counts lines that are no messages, `fault` says in words why reading was given up
    ("" if it was not), `eof` that the server closed the pipe, and `ended` is set when nothing more
    will come. `last_size` is the length in bytes of the line that was taken last.
    """

    def __init__(self, descriptor: int) -> None:
        self.junk = self.last_size = 0
        self.fault = ""
        self.eof = False
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._fd = descriptor
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._reading = False
        self._discard = False
        self._since = 0.0
        os.set_blocking(descriptor, False)
        self._resume()

    async def aclose(self) -> None:
        """Take no more messages; what the server still writes is read and thrown away."""
        self._discard = True
        self._lines.clear()
        self._waiting_bytes = 0
        self.finish()
        self._resume()

    def release(self) -> None:
        """Stop reading for good; the descriptor may be closed afterwards."""
        self._pause()
        self._fd = -1
        self.finish()

    def finish(self, fault: str = "") -> None:
        """End the stream once the waiting lines are taken."""
        if not self.ended.is_set():
            self.fault = fault
            self.ended.set()
        self._wake()

    def drain(self) -> None:
        """Take what is in the pipe right now and end the stream: the process that wrote it is gone."""
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
            while self._lines:
                await self._breathe()
                if not self._lines:
                    break
                message = self._take()
                if message is not None:
                    return message
            if self.ended.is_set():
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
            self._since = time.monotonic()

    async def _breathe(self) -> None:
        if time.monotonic() - self._since > _BREATH:
            await asyncio.sleep(0)
            self._since = time.monotonic()

    def _take(self) -> SessionMessage | None:
        line = self._lines.popleft()
        self._waiting_bytes -= len(line)
        self.last_size = len(line)
        if not self._reading and self._waiting_bytes < _QUEUE_BYTES // 2:
            self._resume()
        try:
            return SessionMessage(parse(line))
        except JunkLine as junk:
            self.junk += 1
            _log.debug(
                "a line of %d bytes on a server's standard output is no message: %s", len(line), junk
            )
            return None

    def _on_readable(self) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._pause()
            self.eof = True
            self.finish()
            return False
        if not self._discard:
            self._feed(data)
        return True

    def _feed(self, data: bytes) -> None:
        first, *rest = data.split(b"\n")
        self._partial.append(first)
        self._partial_size += len(first)
        if rest:
            self._enqueue(b"".join(self._partial))
            for line in rest[:-1]:
                self._enqueue(line)
            self._partial = [rest[-1]]
            self._partial_size = len(rest[-1])
            self._wake()
        if self._partial_size > MAX_LINE:
            self._discard = True
            self._partial.clear()
            self.finish(f"it sent a message of more than {MAX_LINE // 1024 // 1024} MiB in one line")
        if self._waiting_bytes > _QUEUE_BYTES or len(self._lines) > _QUEUE_LINES:
            self._pause()

    def _enqueue(self, line: bytes) -> None:
        if line.lstrip()[:1] == b"{":
            self._lines.append(line)
            self._waiting_bytes += len(line)
        elif line.strip():
            self.junk += 1

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


class FrameWriter(_Stream):
    """The server's standard input as a stream that takes messages.

    A request waits while the server does not read; other messages are queued, up to a limit, so
    that cancelling a call never waits for the server that is stuck. `on_broken` is called once
    when the server has closed its end.
    """

    _HIGH = 256 * 1024
    _LIMIT = 4 * 1024 * 1024

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
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

        Raises `anyio.ClosedResourceError` after `aclose`, `anyio.BrokenResourceError` when the
        server takes nothing any more, and `ValueError` for what JSON cannot say.
        """
        if self._closed or self._broken:
            raise anyio.ClosedResourceError
        data = encode(item.message)
        if not isinstance(item.message, JSONRPCRequest) and len(self._backlog) > self._LIMIT:
            raise anyio.BrokenResourceError
        self._write(data)
        if isinstance(item.message, JSONRPCRequest):
            await self._room.wait()
        if self._broken:
            raise anyio.BrokenResourceError

    async def aclose(self) -> None:
        """Take no more messages; what is queued is still written while the descriptor is open."""
        self._closed = True
        self._room.set()

    def release(self) -> None:
        """Stop writing for good; the descriptor may be closed afterwards."""
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
    """Follows a server's standard error into its log, at a pace that a flood cannot raise."""

    def __init__(self, descriptor: int, log: ServerLog) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = descriptor
        self._server_log = log
        self._timer: asyncio.TimerHandle | None = None
        os.set_blocking(descriptor, False)
        self._listen()

    def release(self) -> None:
        """Take what is in the pipe right now, a megabyte or so at most, and stop for good."""
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
        """Read once; return whether something came."""
        try:
            data = os.read(self._fd, _ERROR_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._stop()
            return False
        self._server_log.feed(data)
        return True

    def _stop(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
        self._fd = -1
        self._server_log.flush()
