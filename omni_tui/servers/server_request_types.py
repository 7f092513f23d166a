"""What a server asks of the person, as far as it concerns a connection: the question and the answer.

The SDK brings such requests in two ways, as requests of the server (handshake versions) and inside of
an answer that asks for input (2026-07-28); both become an `ServerRequest` here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from omni_tui.protocol.server_requests import ServerRequestAction, ServerRequestKind


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A question of a server.

    `body` is what belongs to `message`, as JSON: a form's schema, `{"url": …}`, or the parameters of a
    sampling request in the words of the specification. `call` is the call in whose course it is
    asked, "" where that is not known. `waits` is False for a page that the server wants visited
    before a call is made again: nothing is told to it then.
    """

    server: str
    kind: ServerRequestKind
    message: str
    body: dict[str, Any]
    call: str = ""
    waits: bool = True


@dataclass(frozen=True, slots=True)
class ServerRequestAnswer:
    """What is to be answered. `content` are the values of a form.

    A sampling request that is accepted has `text`, the `model` it is from, and why that stopped.
    """

    action: ServerRequestAction
    content: dict[str, Any] | None = None
    text: str = ""
    model: str = ""
    stop: Literal["endTurn", "stopSequence", "maxTokens"] = "endTurn"
    reason: str = ""


HARD_CAP_S = 1800.0
"""However much progress it reports, a call is given up after this; asking the person does not count."""


class PausableTimeout:
    """How long one request waits for its server; the time in which the person is asked does not count.

    `idle` seconds without a sign of life, `cap` seconds in all. `expired` says which ran out.
    """

    def __init__(self, idle: float, cap: float) -> None:
        self.idle = idle
        self._left = cap
        self._cap = cap
        self._limit: asyncio.Timeout | None = None
        self._since = 0.0
        self._paused = 0

    @property
    def capped(self) -> bool:
        """Whether the whole time is used up, not only the patience for silence."""
        return self._left <= 0

    @contextlib.asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Bound what runs inside. Raises `TimeoutError`."""
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        try:
            async with asyncio.timeout(None) as self._limit:
                self._set()
                yield
        finally:
            self._count()
            self._limit = None

    def alive(self) -> None:
        """Take a sign of life into account."""
        self._count()
        self._set()

    def pause(self) -> None:
        """Stop the clock; pauses add up."""
        self._count()
        self._paused += 1
        self._set()

    def go_on(self) -> None:
        """Take one pause back; silence counts from now on."""
        self._count()
        self._paused -= 1
        self._set()

    def _count(self) -> None:
        if self._limit is not None:
            now = asyncio.get_running_loop().time()
            if not self._paused:
                self._left -= now - self._since
            self._since = now

    def _set(self) -> None:
        if self._limit is None:
            return
        now = asyncio.get_running_loop().time()
        with contextlib.suppress(RuntimeError):  # it came while the request was being timed out
            self._limit.reschedule(None if self._paused else now + min(self.idle, max(self._left, 0)))


class RequestTimeouts:
    """All requests that wait for one server: their clocks stand still while it waits for the person."""

    def __init__(self) -> None:
        self._running: list[PausableTimeout] = []
        self._asking = 0

    @contextlib.asynccontextmanager
    async def limit(self, patience: PausableTimeout) -> AsyncIterator[None]:
        """Bound one request. Raises `TimeoutError`."""
        if self._asking:
            patience.pause()
        self._running.append(patience)
        try:
            async with patience.limit():
                yield
        finally:
            self._running.remove(patience)
            if self._asking:
                patience.go_on()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Stop every clock: the server waits for the person, not we for it."""
        self._asking += 1
        if self._asking == 1:
            for patience in self._running:
                patience.pause()
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                for patience in self._running:
                    patience.go_on()
