"""The thread that runs LiteLLM, with its own event loop.

LiteLLM takes seconds to import, most of a millisecond for each chunk, and sends one more synchronous
request to some providers after a stream. None of that may block the engine's loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from types import ModuleType

from omni_tui.heavy_import import without_collections
from omni_tui.models import _litellm_patches as patches

logger = logging.getLogger(__name__)

_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


class WorkerJob:
    """A coroutine in the worker. `done` is set when it has ended."""

    def __init__(self, worker: LiteLLMWorker, work: Coroutine[object, object, None]) -> None:
        self.done: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._worker = worker
        self._work = work
        self._task: asyncio.Task[None] | None = None
        worker.call(self._start)

    def cancel(self) -> None:
        """Cancel it, from any thread."""
        self._worker.call(self._cancel)

    async def ended(self, timeout: float) -> bool:
        """Wait until it has ended; return False if it has not after `timeout` seconds."""
        await asyncio.wait([asyncio.wrap_future(self.done)], timeout=timeout)
        return self.done.done()

    def _start(self) -> None:
        # This runs in a copy of the caller's context, and the task gets a copy of that.
        patches.ours.set(True)
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a model request broke", exc_info=error)
        self.done.set_result(None)


class LiteLLMWorker:
    """A daemon thread that runs an event loop until `stop`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it takes work."""
        return self._thread.is_alive() and not self._loop.is_closed()

    def submit(self, work: Coroutine[object, object, None]) -> WorkerJob:
        """Start a coroutine in the worker's loop."""
        return WorkerJob(self, work)

    def call(self, function: Callable[[], object]) -> None:
        """Run a function in the worker's loop."""
        self._loop.call_soon_threadsafe(function)

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread and cancel its jobs."""
        if self.alive:
            self.call(self._loop.stop)
            self._thread.join(timeout)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


_lock = threading.Lock()
_worker: LiteLLMWorker | None = None


def the_worker() -> LiteLLMWorker:
    """Return the one worker; start it if there is none."""
    global _worker
    with _lock:
        if _worker is None or not _worker.alive:
            _worker = LiteLLMWorker()
        return _worker


_import_lock = threading.Lock()
_litellm: ModuleType | None = None


def ensure_litellm() -> ModuleType:
    """Import LiteLLM without network or output. Takes seconds: never call it on the engine's loop."""
    global _litellm
    with _import_lock:
        if _litellm is not None:
            return _litellm
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        # Otherwise it reads a .env of any folder above its own into the environment.
        os.environ["LITELLM_MODE"] = "PRODUCTION"
        os.environ["LITELLM_LOG"] = "ERROR"
        logging.captureWarnings(True)
        with without_collections():
            import litellm

            from omni_tui.models import _exchange

            patches.patch_litellm_gemini()
            patches.patch_openai_sdk()
            _exchange.patch_httpx()
            patches.patch_litellm_openrouter()
        litellm.suppress_debug_info = True
        for name in _LOGGERS:
            its = logging.getLogger(name)
            its.handlers.clear()
            its.propagate = True
            its.setLevel(logging.WARNING)
        _litellm = litellm
        return litellm
