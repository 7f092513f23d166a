"""How long to wait before an event stream is opened again that ended without having told anything."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import httpx2

LONGEST = 300.0
"""Most seconds between two streams."""
STEADY = 60.0
"""Seconds after which a stream that ended counts as one that had been of use."""

_TOLD = b"data:"


class StreamBackoff:
    """Growing pauses between the streams for a server's own messages.

    The SDK (2.3.0) opens such a stream again every second for as long as the server ends it in an orderly
    way, and without any pause if the server says `retry: 0`. A stream that brought a message, or stood
    for a minute, sets the pause back. The first `free` streams without a message cost nothing; no pause is
    longer than `longest` seconds.
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
        """Seconds to wait before the next stream is opened, besides those that the SDK waits."""
        counted = self._fruitless - self._free
        return min(self._longest, 2.0 ** min(counted - 1, 20)) if counted > 0 else 0.0

    def watched(self, stream: httpx2.AsyncByteStream) -> httpx2.AsyncByteStream:
        """Return the body of a new stream, which notes whether it is of use."""
        self._fruitless += 1
        return _Watched(stream, self)

    def told(self) -> None:
        """Note that the stream is of use."""
        self._fruitless = 0

    def now(self) -> float:
        """Return the time by the clock."""
        return self._clock()


class _Watched(httpx2.AsyncByteStream):
    """A stream that tells when something stands behind `data:` in it."""

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
