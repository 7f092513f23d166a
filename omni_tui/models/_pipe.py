"""A pipe from a worker thread to the reading loop: parts of an answer, joined where they are alike."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque

from omni_tui.models.base import ModelError, ModelEvent, Reply, TextPart, ThoughtPart

logger = logging.getLogger(__name__)

INTERVAL_S = 1 / 60
"""The reader is woken at most this often; nothing is drawn more often."""


class Pipe:
    """One stream's parts. `put` may be called from any thread, `take` from the loop.

    None marks the end of the worker's items.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[ModelEvent | ModelError | None] = deque()
        self._lock = threading.Lock()
        self._ready = asyncio.Event()
        self._waking = False
        self._woken = -INTERVAL_S
        self._reminded = False
        self.asked = False
        """Whether the request was sent: then there is a connection to close."""

    def put(self, item: ModelEvent | ModelError | None) -> None:
        """Add an item, from any thread. Text that follows text closely is delivered a moment later."""
        with self._lock:
            self._items.append(item)
            if not self._waking and not (isinstance(item, TextPart | ThoughtPart) and self._later()):
                self._wake()

    def _later(self) -> bool:
        """Whether the reader was woken just now and the caller's loop will wake it again in time."""
        wait = self._woken + INTERVAL_S - time.monotonic()
        if wait <= 0 or self._reminded:
            return wait > 0
        try:
            asyncio.get_running_loop().call_later(wait, self._remind)
        except RuntimeError:  # A thread without a loop.
            return False
        self._reminded = True
        return True

    def _remind(self) -> None:
        with self._lock:
            self._reminded = False
            if self._items and not self._waking:
                self._wake()

    def _wake(self) -> None:
        self._waking, self._woken = True, time.monotonic()
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            logger.debug("the loop that read this stream is gone")

    async def take(self, patience: float) -> list[ModelEvent | ModelError]:
        """Return the items so far. Raises `ModelError` after `patience` seconds without one."""
        try:
            async with asyncio.timeout(patience):
                await self._ready.wait()
        except TimeoutError:
            raise ModelError(
                "transient", "the model library does not respond", todo="restart the app"
            ) from None
        with self._lock:
            items = list(self._items)
            self._items.clear()
            self._waking = False
            self._ready.clear()
        return _joined(items)


def _joined(items: list[ModelEvent | ModelError | None]) -> list[ModelEvent | ModelError]:
    out: list[ModelEvent | ModelError] = []
    for item in items:
        last = out[-1] if out else None
        if isinstance(item, TextPart) and isinstance(last, TextPart):
            out[-1] = TextPart(last.text + item.text)
        elif isinstance(item, ThoughtPart) and isinstance(last, ThoughtPart):
            out[-1] = ThoughtPart(last.text + item.text)
        elif item is not None:
            out.append(item)
        elif not any(isinstance(each, Reply | ModelError) for each in out):
            out.append(ModelError("cut", "the answer ended before it was finished", todo="send again"))
    return out
