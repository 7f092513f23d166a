"""Carrying out one phase of a plan: its tasks side by side, each by an agent of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from omni_tui.agents.agent_scope import AgentScope
from omni_tui.agents.chat import ChatPolicy
from omni_tui.agents.meter import TurnMeter
from omni_tui.agents.model_client import CUT_NOTE
from omni_tui.agents.plan import PlannableTools, PlannedPhase, PlannedTask
from omni_tui.agents.plan_prompts import SUMMARY_LIMIT, worker_goal, worker_retry, worker_system
from omni_tui.agents.plan_state import OVER, PlanRecord, PlanState, TaskRecord
from omni_tui.agents.react import run_turn
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
    """The agents that are at work now."""

    def __init__(self, around: PlanTurnContext) -> None:
        self._around = around
        self._running: dict[asyncio.Task[TurnEnded], tuple[PlanRecord, str]] = {}

    async def phase(self, record: PlanRecord, phase: PlannedPhase) -> None:
        """Work on a phase until none of its tasks runs and none can begin.

        Raises `TurnStopped` at a limit, after all have been stopped; `CancelledError` on Esc, likewise.
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
        """Stop all who work, and wait until each has written down the end of its calls."""
        for task in self._running:
            task.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._around.policy.stop_grace_s + 1.0
        while left := [task for task in self._running if not task.done()]:
            if (wait := deadline - loop.time()) <= 0:
                logger.error("%d agents did not stop", len(left))
                break
            try:
                await asyncio.wait(left, timeout=wait)
            except asyncio.CancelledError:
                continue  # Esc again changes nothing: it is being stopped already.
        for task in self._running:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                logger.error("an agent broke while it was stopped", exc_info=error)
        self._running.clear()

    # --- beginning ------------------------------------------------------------------------------

    async def _begin(self, record: PlanRecord, phase: PlannedPhase) -> None:
        busy = {ident for _, ident in self._running.values()}
        for task in phase.tasks:
            if len(self._running) >= self._around.parallel:
                return
            one = record.tasks[task.id]
            if one.state in OVER or task.id in busy or not self._ready(task):
                continue
            resume = one.state == "running"
            if not resume:
                await self._start(record, one, worker_goal(task), attempt=1)
            self._spawn(record, one, resume=resume)

    def _ready(self, task: PlannedTask) -> bool:
        done = self._around.progress.done()
        return all(other in done for other in task.after)

    async def _start(
        self, record: PlanRecord, one: TaskRecord, message: Message, attempt: int, failed: str = ""
    ) -> None:
        """Write down that an attempt begins, with what its agent is asked."""
        around = self._around
        events = [_changed(record, one, "failed", attempt - 1, reason=failed)] if failed else []
        await around.writer.commit(
            *events,
            _changed(record, one, "running", attempt),
            TurnWriter(around.writer.host, around.turn, one.task.agent).message(message),
        )

    def _spawn(self, record: PlanRecord, one: TaskRecord, *, resume: bool) -> None:
        work = self._work(record, one, resume=resume)
        task = asyncio.create_task(work, name=f"agent {one.task.agent}")
        self._running[task] = (record, one.task.id)

    async def _work(self, record: PlanRecord, one: TaskRecord, *, resume: bool) -> TurnEnded:
        around, task = self._around, one.task
        lane = AgentScope(
            around.writer.host,
            task.agent,
            lambda: around.progress.lanes.get(task.agent, ()),
            lambda: allotted(task, around.offer()),
        )
        policy = replace(
            around.policy,
            system=worker_system(
                task,
                around.request,
                self._before(record, task),
                around.policy.system_prompt,
                around.policy.instructions,
            ),
            purpose="task",
            scope=_SCOPE,
            admit=around.meter.admit,
        )
        return await run_turn(
            lane, around.model, turn=around.turn, policy=policy, resume=resume, agent=task.agent
        )

    def _before(self, record: PlanRecord, task: PlannedTask) -> list[TaskRecord]:
        """Return the results a task is told: of those it comes after, or of the phase before."""
        done = self._around.progress.done()
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
        """Write down how an attempt ended, and begin the next where there is one.

        Raises `CancelledError` where the host is parked: then nothing may be written any more.
        """
        record, ident = self._running[task]
        if task.cancelled():
            raise asyncio.CancelledError
        ended = task.result()
        one = record.tasks[ident]
        state, text, reason = self._judged(one, ended)
        # What all agents share is used up: for the others there is nothing left either.
        shared = ended.limit in ("requests", "time", "budget")
        if shared:
            state = "stopped"
        if state == "failed" and one.attempt < ATTEMPTS and self._may_try_again(one, ended):
            await self._start(record, one, worker_retry(reason), one.attempt + 1, failed=reason)
            del self._running[task]
            self._spawn(record, one, resume=False)
            return
        await self._around.writer.commit(_changed(record, one, state, one.attempt, text, reason))
        del self._running[task]
        if shared:
            raise TurnStopped("limit", ended.reason, ended.todo, ended.limit)

    def _may_try_again(self, one: TaskRecord, ended: TurnEnded) -> bool:
        """Whether another attempt makes sense: not at a limit, and not against a refusal of a call."""
        return ended.status != "limit" and _REFUSED.isdisjoint(self._statuses(one))

    def _judged(self, one: TaskRecord, ended: TurnEnded) -> tuple[PlanTaskState, str, str]:
        """Return what an attempt came to: state, summary, reason."""
        history = self._around.progress.lanes.get(one.task.agent, [])
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
        for message in reversed(self._around.progress.lanes.get(one.task.agent, [])):
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

    Those of a server that is not connected are known too: a call from before a restart may still
    wait for the person, or have ended.
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
    """Return the event that ends a task that is not worked on (any more)."""
    return _changed(record, one, state, max(1, one.attempt), one.summary, reason)
