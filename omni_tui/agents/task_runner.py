"""Carries out one phase of a plan: its tasks run in parallel, each with its own agent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from omni_tui.agents.agent_host import AgentScope
from omni_tui.agents.model_client import CUT_NOTE
from omni_tui.agents.plan import PlannableTools, PlannedPhase, PlannedTask
from omni_tui.agents.plan_prompts import SUMMARY_LIMIT, worker_goal, worker_retry, worker_system
from omni_tui.agents.plan_state import OVER, PlanRecord, PlanState, TaskRecord
from omni_tui.agents.react import run_turn
from omni_tui.agents.turn_limits import ChatPolicy, TurnMeter
from omni_tui.agents.turn_writer import TurnStopped, TurnWriter
from omni_tui.models.base import TASK_FAILED, Message, Model
from omni_tui.protocol.events import TurnEnded
from omni_tui.protocol.plan import PlanTaskChanged, PlanTaskState
from omni_tui.security.text import safe
from omni_tui.tools.tool_names import model_name

logger = logging.getLogger(__name__)

ATTEMPTS = 2
"""How often a task is tried in all."""

_SCOPE = "it is not among the tools that the plan allots to this task"
_REASON = 400
_REFUSED = {"rejected", "denied", "withheld"}


@dataclass(frozen=True, slots=True)
class PlanTurnContext:
    """What the agents of a turn share. `request` is what the person asked for."""

    writer: TurnWriter
    model: Model
    turn: str
    policy: ChatPolicy
    progress: PlanState
    meter: TurnMeter
    offer: Callable[[], PlannableTools]
    request: str
    parallel: int


class TaskRunner:
    """Runs the agents of the tasks of a plan."""

    def __init__(self, context: PlanTurnContext) -> None:
        self._context = context
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
        deadline = loop.time() + self._context.policy.stop_grace_s + 1.0
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
            if len(self._running) >= self._context.parallel:
                return
            one = record.tasks[task.id]
            if one.state in OVER or task.id in busy or not self._ready(task):
                continue
            resume = one.state == "running"
            if not resume:
                await self._start(record, one, worker_goal(task), attempt=1)
            self._spawn(record, one, resume=resume)

    def _ready(self, task: PlannedTask) -> bool:
        done = self._context.progress.done()
        return all(other in done for other in task.after)

    async def _start(
        self, record: PlanRecord, one: TaskRecord, message: Message, attempt: int, failed: str = ""
    ) -> None:
        """Write down that an attempt begins, with the request to its agent."""
        context = self._context
        events = [_changed(record, one, "failed", attempt - 1, reason=failed)] if failed else []
        await context.writer.commit(
            *events,
            _changed(record, one, "running", attempt),
            TurnWriter(context.writer.host, context.turn, one.task.agent).message(message),
        )

    def _spawn(self, record: PlanRecord, one: TaskRecord, *, resume: bool) -> None:
        work = self._work(record, one, resume=resume)
        task = asyncio.create_task(work, name=f"agent {one.task.agent}")
        self._running[task] = (record, one.task.id)

    async def _work(self, record: PlanRecord, one: TaskRecord, *, resume: bool) -> TurnEnded:
        context, task = self._context, one.task
        scope = AgentScope(
            context.writer.host,
            task.agent,
            lambda: context.progress.histories.get(task.agent, ()),
            lambda: allotted(task, context.offer()),
        )
        policy = replace(
            context.policy,
            system=worker_system(
                task,
                context.request,
                self._before(record, task),
                context.policy.system_prompt,
                context.policy.instructions,
            ),
            purpose="task",
            scope=_SCOPE,
            admit=context.meter.admit,
        )
        return await run_turn(
            scope, context.model, turn=context.turn, policy=policy, resume=resume, agent=task.agent
        )

    def _before(self, record: PlanRecord, task: PlannedTask) -> list[TaskRecord]:
        """Return the results that a task is given: of the tasks it depends on, or of the phase before."""
        done = self._context.progress.done()
        if task.after:
            return [done[other] for other in task.after if other in done]
        former: Sequence[PlannedTask] = ()
        for phase in record.plan.phases:
            if task in phase.tasks:
                break
            former = phase.tasks
        return [done[other.id] for other in former if other.id in done]

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
        if state == "failed" and one.attempt < ATTEMPTS and self._may_try_again(one, ended):
            await self._start(record, one, worker_retry(reason), one.attempt + 1, failed=reason)
            del self._running[task]
            self._spawn(record, one, resume=False)
            return
        await self._context.writer.commit(_changed(record, one, state, one.attempt, text, reason))
        del self._running[task]
        if shared:
            raise TurnStopped("limit", ended.reason, ended.todo, ended.limit)

    def _may_try_again(self, one: TaskRecord, ended: TurnEnded) -> bool:
        """Whether another attempt makes sense: not after a limit, nor after a refused call."""
        return ended.status != "limit" and _REFUSED.isdisjoint(self._statuses(one))

    def _judged(self, one: TaskRecord, ended: TurnEnded) -> tuple[PlanTaskState, str, str]:
        """Return state, summary and reason of an attempt."""
        history = self._context.progress.histories.get(one.task.agent, [])
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
            return "failed", text, f"{_all_refused(refused)}, whatever its agent says"
        if refused:
            return "done", text, f"{len(refused)} of its {len(made)} calls were refused"
        return "done", text, ""

    def _statuses(self, one: TaskRecord) -> list[str]:
        """Return how the calls of the last attempt ended, in order."""
        found: list[str] = []
        for message in reversed(self._context.progress.histories.get(one.task.agent, [])):
            if message.role == "user":
                break
            if message.role == "tool":
                found.append(message.status)
        return found[::-1]


def _all_refused(statuses: Sequence[str]) -> str:
    if len(statuses) == 1:
        return f"its only call was {statuses[0]}"
    kinds = " or ".join(sorted(set(statuses)))
    return f"all its {len(statuses)} calls were {kinds}"


def allotted(task: PlannedTask, offer: PlannableTools) -> frozenset[str]:
    """Return the model names of a task's tools.

    Those of a server that is not connected are included: a call from before a restart may still wait
    for the person.
    """
    names = {offer[tool].spec.name for tool in task.tools if tool in offer}
    for tool in task.tools:
        if tool not in offer:
            names.update(
                model_name(server, tool.removeprefix(f"{server}/"))
                for server in task.servers
                if tool.startswith(f"{server}/")
            )
    return frozenset(names)


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
