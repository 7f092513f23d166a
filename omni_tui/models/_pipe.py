"""From the worker's thread to the loop that reads: parts of an answer, joined where they are alike."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque

from omni_tui.models.base import ModelError, ModelEvent, Reply, TextPart, ThoughtPart

logger = logging.getLogger(__name__)


class _Ended:
    """The worker has nothing more to say."""


ENDED = _Ended()


class Pipe:
    """One stream's parts. `put` may be called from any thread, `take` from the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[ModelEvent | ModelError | _Ended] = deque()
        self._lock = threading.Lock()
        self._ready = asyncio.Event()
        self._told = False
        self.asked = False
        """Whether the provider has been asked: then there is a connection to close."""

    def put(self, item: ModelEvent | ModelError | _Ended) -> None:
        """Add an item, from any thread."""
        with self._lock:
            self._items.append(item)
            if self._told:
                return
            self._told = True
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            logger.debug("the loop that read this stream is gone")

    async def take(self, patience: float) -> list[ModelEvent | ModelError]:
        """Return what has come. Raises `ModelError` after `patience` seconds of silence."""
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
            self._told = False
            self._ready.clear()
        return _joined(items)


def _joined(items: list[ModelEvent | ModelError | _Ended]) -> list[ModelEvent | ModelError]:
    out: list[ModelEvent | ModelError] = []
    for item in items:
        last = out[-1] if out else None
        if isinstance(item, TextPart) and isinstance(last, TextPart):
            out[-1] = TextPart(last.text + item.text)
        elif isinstance(item, ThoughtPart) and isinstance(last, ThoughtPart):
            out[-1] = ThoughtPart(last.text + item.text)
        elif not isinstance(item, _Ended):
            out.append(item)
        elif not any(isinstance(each, Reply | ModelError) for each in out):
            out.append(ModelError("cut", "the answer ended before it was finished", todo="send again"))
    return out
