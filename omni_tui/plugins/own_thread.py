"""Run what a plugin does in a daemon thread, with a time-out: what hangs there holds nothing else up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def in_own_thread(work: Callable[[], _T], timeout_s: float, name: str) -> _T:
    """Return what `work` returns. Raises what it raises, and `TimeoutError`; its thread may then go on."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # a plugin may raise anything
            # A future takes no `StopIteration`, and nobody wants a `SystemExit` of a plugin.
            failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
            if isinstance(error, StopIteration):
                failure = RuntimeError("StopIteration")
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await outcome
