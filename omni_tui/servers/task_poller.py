"""Polls a task at a server until it ends, also over reconnections. Does not load the SDK.

A server may answer `tools/call` with a task instead of a result. Source: extension
`io.modelcontextprotocol/tasks` for protocol 2026-07-28 (SEP-2663; repository
modelcontextprotocol/ext-tasks, specification/draft/tasks.md, "Task Polling", "Task Update Requests",
"Task Cancellation").
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from omni_tui.servers.base import CHECK_FIRST, CallError, RawResult
from omni_tui.servers.task_types import (
    AnswerInputs,
    ServerTask,
    ServerUnavailable,
    TaskCancelled,
    UnknownTask,
    UnusableTaskAnswer,
)

if TYPE_CHECKING:
    from omni_tui.servers.task_client import TaskClient

_log = logging.getLogger(__name__)

T = TypeVar("T")
_UNSAID = 1.0
_LEAST, _MOST = 0.1, 60.0
_SLOWEST = 5.0
"""The pace slows down to 1 % of the task's age, at most so many seconds, whatever the server wants."""
_AGAIN = 15.0
"""Seconds until an unavailable server is tried again, if nothing says earlier that it is back."""
_ODD_ANSWERS = 5
ODD_PAUSE = 1.0
"""Seconds until the next poll after a first invalid answer; doubled after each."""
_MAX_INPUTS = 100
CANCEL = 2.5
"""Seconds for a server to accept a cancellation and to say how the task ended."""
_CANCEL_PAUSE = 0.2
TTL_GRACE = 30.0
"""Seconds added to how long a server says it keeps a task, since clocks differ."""


@dataclass(frozen=True, slots=True)
class PollOptions:
    """How a task is polled. `began` is Unix time, the others are seconds.

    `limit`: in all. `each`: for one answer. `least`: at least that long from now, so that the server can
    be asked once more after a restart.
    """

    began: float
    limit: float
    each: float
    least: float = 0.0


class _Stop(Exception):
    """Stop polling: why, and the error if the person did not ask for it."""

    def __init__(self, why: str, error: CallError | None = None) -> None:
        super().__init__(why)
        self.error = error


class TaskPoller:
    """Polls one task to its end. `run` once.

    `client` returns the client of the present connection; it raises `ServerUnavailable`, or `CallError`
    if waiting is pointless. `report` gets each state and whether the server is unavailable.
    """

    def __init__(
        self,
        task: ServerTask,
        terms: PollOptions,
        *,
        client: Callable[[], TaskClient],
        answer: AnswerInputs,
        report: Callable[[ServerTask, bool], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._task = task
        self._terms = terms
        self._client = client
        self._answer = answer
        self._report = report
        self._clock = clock
        self._least = clock() + terms.least
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._unavailable = False
        self._wanted: _Stop | None = None
        self._asked: set[str] = set()
        self._asking: dict[asyncio.Task[None], frozenset[str]] = {}
        self._answers: dict[str, Any] = {}

    def stop(self, why: str) -> None:
        """Cancel the task at the server, and end with the server's answer to that."""
        self._want(_Stop(why))

    def adopt(self, *, limit: float, each: float) -> None:
        """Use these limits from now on; seconds, as in `PollOptions`."""
        self._terms = replace(self._terms, limit=limit, each=each)

    def back(self) -> None:
        """Note that the server may be available again."""
        if self._unavailable:
            self._news.set()

    async def run(self) -> RawResult:
        """Return the result of the task. Raises `TaskCancelled` and `CallError`.

        An `answered` `CallError` means that the server said that it failed. Cancelling the asyncio task
        does not cancel the server's.
        """
        try:
            return await self._to_the_end()
        except _Stop as stop:
            return await self._withdraw(stop)
        finally:
            self._drop()

    # --- polling --------------------------------------------------------------------------------

    async def _to_the_end(self) -> RawResult:
        pause, odd = 0.0 if self._task.over else self._pace(), 0
        while True:
            await self._rest(pause)
            try:
                self._task = await self._look()
            except ServerUnavailable:
                self._note(unavailable=True)
                pause = _AGAIN
                continue
            except UnknownTask as error:
                raise CallError(
                    f"the server does not know the task any more ({error}); it may or may not have run",
                    sent=True,
                    todo=CHECK_FIRST,
                ) from None
            except UnusableTaskAnswer as error:
                odd += 1
                if odd >= _ODD_ANSWERS:
                    what = f"the task cannot be followed: {error}; it may or may not have run"
                    raise CallError(what, sent=True, todo=CHECK_FIRST) from None
                pause = max(self._pace(), ODD_PAUSE * 2.0 ** (odd - 1))
                continue
            self._note(unavailable=False)
            if self._task.over:
                return self._ended(self._task)
            odd, pause = 0, self._pace()
            self._ask_person()

    async def _look(self) -> ServerTask:
        client = self._client()
        each = self._terms.each
        if self._answers:
            given = dict(self._answers)
            await self._unless_stopped(client.update(self._task.id, given, each))
            for key in given:
                self._answers.pop(key, None)
        return await self._unless_stopped(client.get(self._task.id, each))

    def _note(self, *, unavailable: bool) -> None:
        self._unavailable = unavailable
        self._report(self._task, unavailable)

    def _pace(self) -> float:
        """Return the seconds until the next poll: the server's wish, within limits, with jitter."""
        age = max(0.0, self._clock() - self._terms.began)
        least = max(_LEAST, min(_SLOWEST, age * 0.01))
        wish = _UNSAID if self._task.poll is None else self._task.poll
        return max(least, min(_MOST, wish)) * random.uniform(1.0, 1.1)

    async def _rest(self, seconds: float) -> None:
        """Wait, or until something happens. Raises `_Stop` when polling must end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), max(0.0, min(seconds, self._left())))
        self._news.clear()
        if self._wanted is not None:
            raise self._wanted
        if self._left() <= 0:
            raise _Stop(self._end()[1])

    def _left(self) -> float:
        return max(self._least, self._end()[0]) - self._clock()

    def _end(self) -> tuple[float, str]:
        """Return when polling must end, in Unix time, and why."""
        limit, ttl = self._terms.limit, self._task.ttl
        if ttl is None or limit <= ttl + TTL_GRACE:
            return self._terms.began + limit, f"the task ran for more than {_duration(limit)}"
        why = f"the task outlived the {_duration(ttl)} for which the server keeps it"
        return self._terms.began + ttl + TTL_GRACE, why

    async def _unless_stopped(self, request: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer. Raises `_Stop` as soon as polling must end."""
        asking = asyncio.create_task(request)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
            if self._wanted is not None:
                raise self._wanted
            return asking.result()
        finally:
            for each in (asking, stopping):
                each.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)

    def _want(self, stop: _Stop) -> None:
        self._wanted = self._wanted or stop
        self._stopping.set()
        self._news.set()

    # --- how it ends ----------------------------------------------------------------------------

    @staticmethod
    def _ended(task: ServerTask) -> RawResult:
        if task.status == "cancelled":
            words = f": {task.message}" if task.message else ""
            raise TaskCancelled(f"the server cancelled the task{words}", asked=False)
        if task.status == "failed":
            raise CallError(f"the task failed: {task.error}", sent=True, answered=True)
        assert task.result is not None
        return task.result

    async def _withdraw(self, stop: _Stop) -> RawResult:
        """Cancel the task; trust only the server's answer, since the task may have ended first."""
        try:
            async with asyncio.timeout(CANCEL):
                client = self._client()
                # A finished task cannot be cancelled.
                with contextlib.suppress(UnusableTaskAnswer, UnknownTask):
                    await client.cancel(self._task.id, CANCEL)
                task = await client.get(self._task.id, CANCEL)
                while not task.over:
                    await asyncio.sleep(_CANCEL_PAUSE)
                    task = await client.get(self._task.id, CANCEL)
        except (TimeoutError, UnusableTaskAnswer):
            why = "the server accepted that, but did not say that the task ended"
            raise self._unsure(stop, why) from None
        except ServerUnavailable:
            raise self._unsure(stop, "the server cannot be reached now") from None
        except UnknownTask:
            raise self._unsure(stop, "the server does not know the task any more") from None
        except CallError as error:
            if error.answered:
                raise
            raise self._unsure(stop, error.what) from None
        if task.status != "cancelled":
            return self._ended(task)
        if stop.error is not None:
            what = f"{stop.error.what}; the task was cancelled"
            raise CallError(what, sent=True, answered=True, todo=stop.error.todo)
        raise TaskCancelled(f"{stop}; the server confirms it", asked=True)

    @staticmethod
    def _unsure(stop: _Stop, why: str) -> CallError:
        return CallError(f"{stop}; {why}: it may or may not have run", sent=True, todo=CHECK_FIRST)

    # --- the task's requests --------------------------------------------------------------------

    def _ask_person(self) -> None:
        """Have new requests of the task answered, each once; withdraw those it no longer waits for."""
        if self._task.status != "input_required":
            self._drop()
            return
        new = {key: value for key, value in self._task.inputs.items() if key not in self._asked}
        if not new:
            return
        self._asked |= new.keys()
        if len(self._asked) > _MAX_INPUTS:
            error = CallError(f"it asked more than {_MAX_INPUTS} questions", sent=True, answered=True)
            self._want(_Stop(error.what, error))
            return
        asking = asyncio.create_task(self._put(new))
        self._asking[asking] = frozenset(new)
        asking.add_done_callback(lambda done: self._asking.pop(done, None))

    async def _put(self, requests: dict[str, Any]) -> None:
        try:
            answers = await self._answer(requests)
        except CallError as error:
            self._want(_Stop(error.what, error))
        except Exception:  # a mistake there must not make the task wait forever
            _log.exception("a task's questions could not be put")
            broken = CallError("its questions could not be shown", sent=True, answered=True)
            self._want(_Stop(broken.what, broken))
        else:
            self._answers.update({key: value for key, value in answers.items() if key in requests})
            self._news.set()

    def _drop(self) -> None:
        for asking, keys in list(self._asking.items()):
            if asking.cancel():
                self._asked -= keys


def _duration(value: float) -> str:
    if value < 120:
        return f"{value:g} s"
    return f"{value / 60:.0f} minutes" if value < 7200 else f"{value / 3600:.0f} hours"
