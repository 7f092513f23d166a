"""How long requests wait for a server; time in which the person is asked does not count."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

HARD_CAP_S = 1800.0
"""A call ends after this, however much progress it reports; time spent asking the person does not count."""


class PausableTimeout:
    """The timeout of one request: `idle` seconds without a sign of life, `cap` seconds in all."""

    def __init__(self, idle: float, cap: float) -> None:
        self.idle = idle
        self._left = cap
        self._limit: asyncio.Timeout | None = None
        self._since = 0.0
        self._paused = 0

    @property
    def capped(self) -> bool:
        """Whether `cap` ran out, not only `idle`."""
        return self._left <= 0

    @contextlib.asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Limit the block. Raises `TimeoutError`."""
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
        """Note a sign of life."""
        self._count()
        self._set()

    def pause(self) -> None:
        """Stop the clock; pauses nest."""
        self._count()
        self._paused += 1
        self._set()

    def resume(self) -> None:
        """End one pause; silence counts from now on."""
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
    """The timeouts of all requests to one server, paused while it waits for the person."""

    def __init__(self) -> None:
        self._running: list[PausableTimeout] = []
        self._asking = 0

    @contextlib.asynccontextmanager
    async def limit(self, timeout: PausableTimeout) -> AsyncIterator[None]:
        """Limit one request. Raises `TimeoutError`."""
        if self._asking:
            timeout.pause()
        self._running.append(timeout)
        try:
            async with timeout.limit():
                yield
        finally:
            self._running.remove(timeout)
            if self._asking:
                timeout.resume()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Pause all timeouts: the server waits for the person."""
        self._asking += 1
        if self._asking == 1:
            for timeout in self._running:
                timeout.pause()
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                for timeout in self._running:
                    timeout.resume()
