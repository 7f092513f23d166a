"""Carries out one phase of a plan: its tasks run in parallel, each with its own agent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from omni_tui.agents.agent_host import AgentScope, PlanHost
from omni_tui.agents.model_client import CUT_NOTE
from omni_tui.agents.plan import PlannableTools, PlannedPhase, PlannedTask
from omni_tui.agents.plan_prompts import SUMMARY_LIMIT, worker_retry, worker_system
from omni_tui.agents.plan_state import OVER, PlanRecord, TaskRecord
from omni_tui.agents.react import run_turn
from omni_tui.agents.turn_limits import TurnMeter, TurnSettings
from omni_tui.agents.turn_writer import TurnStopped, TurnWriter
from omni_tui.models.base import TASK_FAILED, Message, Model
from omni_tui.protocol.events import TurnEnded
from omni_tui.protocol.plan import PlanTaskChanged, PlanTaskState
from omni_tui.security.text import safe

logger = logging.getLogger(__name__)

ATTEMPTS = 2
"""How often a task is tried in all."""

_SCOPE = "it is not among the tools that the plan allots to this task"
_REASON = 400
_REFUSED = {"rejected", "denied", "withheld"}


class TaskRunner:
    """Runs the agents of a plan, `parallel` at a time. `request` is what the person asked for."""

    def __init__(
        self,
        *,
        writer: TurnWriter,
        model: Model,
        settings: TurnSettings,
        plans: PlanHost,
        meter: TurnMeter,
        request: str,
        parallel: int,
    ) -> None:
        self._writer = writer
        self._model = model
        self._settings = settings
        self._plans = plans
        self._progress = plans.progress
        self._meter = meter
        self._request = request
        self._parallel = parallel
        self._running: dict[asyncio.Task[TurnEnded], tuple[PlanRecord, str]] = {}

    async def phase(self, record: PlanRecord, phase: PlannedPhase) -> None:
        """Work on a phase until no task runs and none can begin.

        Raises `TurnStopped` at a limit, `CancelledError` on Esc, both after all agents have stopped.
        """
        try:
            while True:
                await self._begin(record, phase)
                if not self._running:
                    return
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    await self._over(task)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop all agents, and wait until each has written down the end of its calls."""
        for task in self._running:
            task.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.stop_grace_s + 1.0
        while left := [task for task in self._running if not task.done()]:
            if (wait := deadline - loop.time()) <= 0:
                logger.error("%d agents did not stop", len(left))
                break
            try:
                await asyncio.wait(left, timeout=wait)
            except asyncio.CancelledError:
                continue  # Another Esc changes nothing: the turn is being stopped.
        for task in self._running:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                logger.error("an agent broke while it was stopped", exc_info=error)
        self._running.clear()

    # --- beginning ------------------------------------------------------------------------------

    async def _begin(self, record: PlanRecord, phase: PlannedPhase) -> None:
        busy = {ident for _, ident in self._running.values()}
        for task in phase.tasks:
            if len(self._running) >= self._parallel:
                return
            one = record.tasks[task.id]
            ready = self._progress.done().keys() >= set(task.after)
            if one.state in OVER or task.id in busy or not ready:
                continue
            resume = one.state == "running"
            if not resume:
                await self._start(record, one, Message("user", task.goal), attempt=1)
            self._spawn(record, one, resume=resume)

    async def _start(
        self, record: PlanRecord, one: TaskRecord, message: Message, attempt: int, failed: str = ""
    ) -> None:
        """Write down that an attempt begins, with the request to its agent."""
        events = [_changed(record, one, "failed", attempt - 1, reason=failed)] if failed else []
        await self._writer.commit(
            *events,
            _changed(record, one, "running", attempt),
            TurnWriter(self._writer.host, self._writer.turn, one.task.agent).message(message),
        )

    def _spawn(self, record: PlanRecord, one: TaskRecord, *, resume: bool) -> None:
        work = self._work(record, one, resume=resume)
        task = asyncio.create_task(work, name=f"agent {one.task.agent}")
        self._running[task] = (record, one.task.id)

    async def _work(self, record: PlanRecord, one: TaskRecord, *, resume: bool) -> TurnEnded:
        task, settings = one.task, self._settings
        scope = AgentScope(
            self._writer.host,
            task.agent,
            lambda: self._progress.histories.get(task.agent, ()),
            lambda: allotted(task, self._plans.offer()),
        )
        results = self._before(record, task)
        system = worker_system(task, self._request, results, settings.system_prompt, settings.instructions)
        settings = replace(settings, system=system, purpose="task", scope=_SCOPE, admit=self._meter.admit)
        return await run_turn(
            scope, self._model, turn=self._writer.turn, settings=settings, resume=resume, agent=task.agent
        )

    def _before(self, record: PlanRecord, task: PlannedTask) -> list[TaskRecord]:
        """Return the results that a task is given: of the tasks it depends on, or of the phase before."""
        before: Sequence[str] = task.after
        if not before:
            phases = record.plan.phases
            at = next(at for at, phase in enumerate(phases) if task in phase.tasks)
            before = [other.id for other in phases[at - 1].tasks] if at else ()
        done = self._progress.done()
        return [done[other] for other in before if other in done]

    # --- ending ---------------------------------------------------------------------------------

    async def _over(self, task: asyncio.Task[TurnEnded]) -> None:
        """Write down how an attempt ended, and begin the next one if there is one.

        Raises `CancelledError` if the host is parked: nothing more may be written.
        """
        record, ident = self._running[task]
        if task.cancelled():
            raise asyncio.CancelledError
        ended = task.result()
        one = record.tasks[ident]
        state, text, reason = self._judged(one, ended)
        # All agents share this limit: the others must stop too.
        shared = ended.limit in ("requests", "time", "budget")
        if shared:
            state = "stopped"
        # Another attempt makes no sense after a limit or a refused call.
        again = ended.status != "limit" and _REFUSED.isdisjoint(self._statuses(one))
        if state == "failed" and one.attempt < ATTEMPTS and again:
            await self._start(record, one, worker_retry(reason), one.attempt + 1, failed=reason)
            del self._running[task]
            self._spawn(record, one, resume=False)
            return
        await self._writer.commit(_changed(record, one, state, one.attempt, text, reason))
        del self._running[task]
        if shared:
            raise TurnStopped("limit", ended.reason, ended.todo, ended.limit)

    def _judged(self, one: TaskRecord, ended: TurnEnded) -> tuple[PlanTaskState, str, str]:
        """Return state, summary and reason of an attempt."""
        history = self._progress.histories.get(one.task.agent, [])
        last = history[-1] if history else None
        text = last.text.strip() if last is not None and last.role == "assistant" and not last.calls else ""
        if ended.status == "stopped":
            return "stopped", text, ended.reason
        if ended.status != "done":
            return "failed", text, ended.reason
        plain = text.lstrip("*_#> \n")
        if plain.upper().startswith(TASK_FAILED):
            reason = " ".join(plain[len(TASK_FAILED) :].strip("*_ \n").split())
            return "failed", text, reason[:_REASON] or "its agent gave no reason"
        if not text or text.endswith(CUT_NOTE.strip()):
            return "failed", text, "its last answer was cut off"
        made = self._statuses(one)
        refused = [status for status in made if status in _REFUSED]
        if refused and len(refused) == len(made):
            whole = "its only call was" if len(made) == 1 else f"all its {len(made)} calls were"
            return "failed", text, f"{whole} {' or '.join(sorted(set(refused)))}, whatever its agent says"
        if refused:
            return "done", text, f"{len(refused)} of its {len(made)} calls were refused"
        return "done", text, ""

    def _statuses(self, one: TaskRecord) -> list[str]:
        """Return how the calls of the last attempt ended, in order."""
        found: list[str] = []
        for message in reversed(self._progress.histories.get(one.task.agent, [])):
            if message.role == "user":
                break
            if message.role == "tool":
                found.append(message.status)
        return found[::-1]


def allotted(task: PlannedTask, offer: PlannableTools) -> frozenset[str]:
    """Return the model names of a task's tools.

    Those of a server that is not connected are included: a call from before a restart may still wait
    for the person.
    """
    listed = {offer[tool].spec.name for tool in task.tools if tool in offer}
    others = {name for name, tool in task.model_names().items() if tool not in offer}
    return frozenset(listed | others)


def _changed(
    record: PlanRecord,
    one: TaskRecord,
    state: PlanTaskState,
    attempt: int,
    summary: str = "",
    reason: str = "",
) -> PlanTaskChanged:
    return PlanTaskChanged(
        plan=record.event.plan,
        turn=record.event.turn,
        task=one.task.id,
        state=state,
        agent=one.task.agent,
        attempt=attempt,
        summary=safe(summary, limit=SUMMARY_LIMIT),
        reason=safe(reason, limit=1_000),
    )


def changed(record: PlanRecord, one: TaskRecord, state: PlanTaskState, reason: str) -> PlanTaskChanged:
    """Return the event that ends a task without another attempt."""
    return _changed(record, one, state, max(1, one.attempt), one.summary, reason)
