"""Calls that run as tasks at their servers: stored in the journal, polled, followed over restarts.

The call was sent once, through the gate, like any other; from then on the server is only asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from omni_tui.approvals.gate import Gate
from omni_tui.approvals.pins import fingerprint
from omni_tui.config.spec import ServerSpec
from omni_tui.memory import CallRow, Journal, JournalBroken, SavedTask, task_table
from omni_tui.protocol import Event
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.events import CallChanged
from omni_tui.security.text import safe, safe_line
from omni_tui.servers import CallError, Dispatch, RawResult, ServerRegistry
from omni_tui.servers.task_poller import PollOptions, TaskPoller
from omni_tui.servers.task_types import (
    ServerTask,
    ServerUnavailable,
    TaskCancelled,
)
from omni_tui.tools.catalogue import Catalogue
from omni_tui.tools.executor import MAX_REASON, CallBecameTask, CallOutcome, ToolExecutor

if TYPE_CHECKING:
    from omni_tui.servers.task_client import TaskClient

logger = logging.getLogger(__name__)

MAY_BE_HALF_DONE = "What it had done by then is done."
_UNKNOWN = (
    "Outcome unknown: the call ran as a task at its server and could not be followed to its end. "
    "Check with a tool that only reads; do not repeat it."
)
"""What a model is told. Such words count as ours, so none of the server's may be among them."""
LATE = 60.0
"""Seconds for which a task is asked after once more when its time is up at a restart."""
ABSENT = 15.0
"""Seconds after a restart within which a server has to be among those of the configuration."""
_ELSEWHERE = (
    "the server is started or reached in another way than when the task began, "
    "so it was not asked about it; the task may or may not have run"
)


@dataclass(slots=True)
class _Run:
    """A task that is followed. `server_fp` is the fingerprint of its server when the call was sent."""

    dispatch: Dispatch
    saved: SavedTask
    server_fp: str
    follow: TaskPoller
    began: float
    spec: ServerSpec | None = None
    missing_since: float | None = None
    decider: str = "server"
    shown: tuple[str, str, bool] = ("", "", False)


class TaskTracker:
    """The tasks of one session's calls."""

    def __init__(
        self,
        journal: Journal,
        gate: Gate,
        executor: ToolExecutor,
        registry: ServerRegistry,
        catalogue: Catalogue,
        live: Callable[[Event], None],
    ) -> None:
        self._journal = journal
        self._gate = gate
        self._executor = executor
        self._registry = registry
        self._catalogue = catalogue
        self._live = live
        self._runs: dict[str, _Run] = {}
        self._parked = False

    # --- from the calls ------------------------------------------------------------------------

    async def follow(self, became: CallBecameTask) -> CallOutcome:
        """Store the task of a call that was just sent, and follow it to its end."""
        dispatch, task = became.dispatch, became.task
        self._gate.dispatches.close(dispatch)
        row = self._gate.row(dispatch.call)
        saved = SavedTask(task.id, time.time(), task.ttl, task.poll)
        run = self._run(dispatch, task, saved, row.server_fp if row else "", late=0.0)
        return await self._through(run, self._keep(run, task))

    async def resume(self, row: CallRow, saved: SavedTask) -> CallOutcome:
        """Follow the task of a call from before a restart. Nothing is sent again."""
        # The gate did not make this dispatch, so the tap lets no frame through for it: it is a name.
        dispatch = Dispatch(row.call, row.attempt, row.server, row.tool, row.args)
        task = ServerTask(saved.id, "working", poll=saved.poll, ttl=saved.ttl)
        return await self._through(self._run(dispatch, task, saved, row.server_fp, late=LATE), None)

    def stop(self, call: str, *, decider: str, reason: str) -> bool:
        """Cancel a call's task at its server; its outcome follows. Return False if it has no task."""
        run = self._runs.get(call)
        if run is None or self._parked:
            return False
        run.decider = decider
        run.follow.stop(reason)
        return True

    def back(self, server: str) -> None:
        """A server is connected again: ask it."""
        for run in self._runs.values():
            if run.dispatch.server == server:
                run.follow.back()

    def park(self) -> None:
        """Leave the tasks to the next start: they keep running at their servers."""
        self._parked = True

    # --- inside ---------------------------------------------------------------------------------

    def _run(
        self, dispatch: Dispatch, task: ServerTask, saved: SavedTask, server_fp: str, *, late: float
    ) -> _Run:
        try:
            spec = self._registry.get(dispatch.server).spec
        except KeyError:
            spec = ServerSpec(name=dispatch.server)
        terms = PollOptions(began=saved.began, limit=spec.task_timeout, each=spec.call_timeout, least=late)
        follow = TaskPoller(
            task,
            terms,
            client=lambda: self._client(run),
            answer=partial(self._answer_inputs, dispatch),
            report=lambda now, away: self._tell(run, now, away),
        )
        began = time.perf_counter() - max(0.0, time.time() - saved.began)
        run = _Run(dispatch, saved, server_fp, follow, began)
        self._runs[dispatch.call] = run
        return run

    async def _answer_inputs(self, dispatch: Dispatch, requests: dict[str, Any]) -> dict[str, Any]:
        """Have the person answer what a task asks for."""
        return await self._registry.get(dispatch.server).answer_inputs(requests, dispatch.call)

    async def _through(self, run: _Run, keeping: asyncio.Future[None] | None) -> CallOutcome:
        """Follow a task in its own asyncio task, so that it ends properly if its waiter is cancelled."""
        work = asyncio.create_task(self._work(run, keeping), name=f"task of {run.dispatch.call}")
        try:
            while True:
                try:
                    return await asyncio.shield(work)
                except asyncio.CancelledError:
                    if self._parked or work.done():
                        work.cancel()
                        raise
                    run.follow.stop("it was cancelled while it ran")
        finally:
            if work.done():
                self._runs.pop(run.dispatch.call, None)

    def _keep(self, run: _Run, task: ServerTask) -> asyncio.Future[None]:
        """Start storing the task in the journal at once, so that no cancellation comes first."""
        dispatch, saved = run.dispatch, run.saved
        event = CallTask(
            call=dispatch.call,
            task=safe_line(task.id, limit=80),
            status=task.status,
            message=safe_line(task.message, limit=300, joined=True),
            poll_ms=round((task.poll or 0.0) * 1000),
            ttl_s=task.ttl,
            attempt=dispatch.attempt,
        )
        return asyncio.ensure_future(
            self._journal.commit(
                event, change=lambda tx: task_table.put(tx, dispatch.call, dispatch.attempt, saved)
            )
        )

    async def _work(self, run: _Run, keeping: asyncio.Future[None] | None) -> CallOutcome:
        dispatch = run.dispatch
        try:
            if keeping is not None:
                await keeping
            end = await self._end(run)
            if isinstance(end, TaskCancelled):
                return await self._cancelled(run, end)
            outcome = await self._executor.settle(dispatch, end, run.began)
            if outcome.state == "uncertain":
                return CallOutcome("uncertain", _UNKNOWN, outcome.reason)
            return outcome
        except JournalBroken as error:
            logger.warning("the task of call %s is given up: %s", dispatch.call, error)
            return CallOutcome("uncertain", _UNKNOWN, "the journal can no longer be written")

    async def _end(self, run: _Run) -> RawResult | CallError | TaskCancelled:
        try:
            return await run.follow.run()
        except (CallError, TaskCancelled) as end:
            return end
        except Exception:
            logger.exception("following the task of call %s broke", run.dispatch.call)
            return CallError("something went wrong inside Omni TUI; the log has the details", sent=True)

    async def _cancelled(self, run: _Run, end: TaskCancelled) -> CallOutcome:
        event = CallChanged(
            call=run.dispatch.call,
            state="cancelled",
            decider=run.decider if end.asked else "server",
            reason=safe(end.what, limit=MAX_REASON),
            attempt=run.dispatch.attempt,
        )
        await self._gate.finish(run.dispatch, event, "cancelled", b"")
        words = f"Cancelled: {end.what}." if end.asked else "The server cancelled it."
        return CallOutcome("cancelled", f"{words} {MAY_BE_HALF_DONE}", end.what)

    def _client(self, run: _Run) -> TaskClient:
        """Return the client to ask now. Raises `ServerUnavailable`, or `CallError` if waiting is pointless.

        The id of a task is sent only to the server that gave it, never to another one of the same name.
        """
        try:
            connection = self._registry.get(run.dispatch.server)
        except KeyError:
            now = time.monotonic()
            run.missing_since = run.missing_since or now
            if now - run.missing_since < ABSENT:
                raise ServerUnavailable("its server is not there") from None
            raise CallError(
                "its server is not configured any more; the task may or may not have run", sent=True
            ) from None
        run.missing_since = None
        client = connection.tasks()
        if run.dispatch.server not in self._catalogue.servers():
            # Before that, no result can be checked.
            raise ServerUnavailable("its tools are not listed yet")
        if connection.spec is not run.spec:
            if fingerprint(connection.spec) != run.server_fp:
                raise CallError(_ELSEWHERE, sent=True, todo="Check with the server first.")
            run.spec = connection.spec
            run.follow.adopt(limit=run.spec.task_timeout, each=run.spec.call_timeout)
        return client

    def _tell(self, run: _Run, task: ServerTask, away: bool) -> None:
        now = (task.status, task.message, away)
        if now == run.shown or task.over:
            return
        run.shown = now
        self._live(
            TaskProgress(
                call=run.dispatch.call,
                status=task.status,
                message=safe_line(task.message, limit=300, joined=True),
                away=away,
                ts=time.time(),
            )
        )
