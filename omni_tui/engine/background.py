"""Work in the background: the one bounded pool for what blocks, and tasks that nobody awaits."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from omni_tui.protocol.call_stats import PoolDepth

logger = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class MeteredPool(ThreadPoolExecutor):
    """A thread pool that knows its depth."""

    def __init__(self, size: int, thread_name_prefix: str = "") -> None:
        super().__init__(size, thread_name_prefix=thread_name_prefix)
        self._size = size
        self._lock = threading.Lock()
        self._open = 0
        self._running = 0
        self._most_queued = 0

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have work done, and count it from now to its end."""

        def counted() -> _T:
            with self._lock:
                self._running += 1
            try:
                return fn(*args, **kwargs)
            finally:
                with self._lock:
                    self._running -= 1

        with self._lock:
            self._open += 1
            self._most_queued = max(self._most_queued, self._open - self._size)
        try:
            future = super().submit(counted)
        except RuntimeError:
            self._over(None)
            raise
        future.add_done_callback(self._over)
        return future

    def _over(self, _future: object) -> None:
        with self._lock:
            self._open -= 1

    def depth(self) -> PoolDepth:
        """Return how full it is now."""
        with self._lock:
            queued = max(0, self._open - self._size)
            return PoolDepth(
                queued=queued, running=self._running, size=self._size, most_queued=self._most_queued
            )


class BackgroundTasks:
    """Tasks that nobody awaits, held until they end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Start a task; what it raises goes to the log."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel every task that still runs."""
        for task in list(self._tasks):
            task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s broke", task.get_name(), exc_info=error)
