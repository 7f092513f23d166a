"""The state of a turn's plans: a fold over the events of the turn, the same live and after a restart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from omni_tui.agents.plan import Plan, PlannedTask, plan_of
from omni_tui.models.base import Message
from omni_tui.models.message_history import decode_message
from omni_tui.protocol.events import Event, ModelMessage
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged, PlanTaskState

PLANNER_PATH = "root/plan"
"""Path of the agent that plans; its messages never become part of the conversation."""

WRONG = "[wrong]"
"""How a message to the planner begins that says what is wrong with its draft."""

GOES_ON = "[goes on]"
"""How the message begins that closes a question whose answer was to go on."""

_FAILED = re.compile(r"\A\[failed: (?P<ids>[\w, ]+)\]")
_OF_PLANS = ModelMessage | PlanProposed | PlanDecided | PlanTaskChanged | PlanEnded
OVER: frozenset[PlanTaskState] = frozenset(("done", "failed", "skipped", "stopped"))


def failed_mark(ids: Iterable[str]) -> str:
    """Return the beginning of the message that asks the planner about failed tasks."""
    return f"[failed: {', '.join(ids)}]"


@dataclass(slots=True)
class TaskRecord:
    """A task and its state."""

    task: PlannedTask
    state: PlanTaskState = "waiting"
    attempt: int = 0
    summary: str = ""
    reason: str = ""


@dataclass(slots=True)
class PlanRecord:
    """A plan, the verdict on it, and its tasks by id."""

    event: PlanProposed
    plan: Plan
    tasks: dict[str, TaskRecord]
    verdict: PlanDecided | None = None
    ended: PlanEnded | None = None

    @property
    def approved(self) -> bool:
        """Whether it may be carried out."""
        return self.verdict is not None and self.verdict.verdict == "approved"

    def of(self, *states: PlanTaskState) -> list[TaskRecord]:
        """Return the tasks in one of these states."""
        return [record for record in self.tasks.values() if record.state in states]


@dataclass(slots=True)
class PlanState:
    """The plans of one turn.

    `asked` is what comes next for the planner: "ask" it, "judge" its draft, or "" for neither.
    `repairs`: wrong drafts in a row. `considered`: failed tasks that it was asked about. `histories`:
    the messages of the agents below the root, by path.
    """

    turn: str = ""
    plans: dict[str, PlanRecord] = field(default_factory=dict)
    histories: dict[str, list[Message]] = field(default_factory=dict)
    asked: Literal["ask", "judge", ""] = "ask"
    repairs: int = 0
    replans: int = 0
    considered: set[str] = field(default_factory=set)

    # --- asking ---------------------------------------------------------------------------------

    @property
    def last(self) -> PlanRecord | None:
        """The plan that was proposed last."""
        return next(reversed(self.plans.values()), None)

    @property
    def running(self) -> PlanRecord | None:
        """The plan that may be carried out now: the last that was approved."""
        approved = [record for record in self.plans.values() if record.approved]
        return approved[-1] if approved else None

    @property
    def open(self) -> PlanRecord | None:
        """The plan that waits for a verdict."""
        return self.last if self.last is not None and self.last.verdict is None else None

    @property
    def rejections(self) -> int:
        """How many plans the person rejected."""
        verdicts = [record.verdict for record in self.plans.values()]
        return sum(verdict is not None and verdict.verdict == "rejected" for verdict in verdicts)

    def done(self) -> dict[str, TaskRecord]:
        """Return the tasks that are done, of all plans, by id."""
        return {task.task.id: task for record in self.plans.values() for task in record.of("done")}

    def numbered(self) -> tuple[int, int]:
        """Return how many phases and tasks the approved plans have; later plans count on."""
        approved = [record.plan for record in self.plans.values() if record.approved]
        return sum(len(plan.phases) for plan in approved), sum(len(plan.tasks) for plan in approved)

    # --- folding --------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Apply an event of the turn; events that are not about plans are ignored."""
        if not isinstance(event, _OF_PLANS) or event.turn != self.turn:
            return
        if isinstance(event, ModelMessage) and event.agent != "root":
            message = decode_message(event.body_json)
            self.histories.setdefault(event.agent, []).append(message)
            if event.agent == PLANNER_PATH:
                self._planner(message)
        elif isinstance(event, PlanProposed):
            plan = plan_of(event)
            self.plans[event.plan] = PlanRecord(event, plan, {t.id: TaskRecord(t) for t in plan.tasks})
            self.asked, self.repairs = "", 0
        elif isinstance(event, PlanDecided) and event.plan in self.plans:
            self.plans[event.plan].verdict = event
        elif isinstance(event, PlanTaskChanged):
            self._changed(event)
        elif isinstance(event, PlanEnded) and event.plan in self.plans:
            self.plans[event.plan].ended = event

    def _planner(self, message: Message) -> None:
        if message.role == "assistant":
            self.asked = "judge"
        elif message.text.startswith(GOES_ON):
            self.asked, self.repairs = "", 0
        else:
            wrong = message.text.startswith(WRONG)
            self.repairs = self.repairs + 1 if wrong else 0
            self.asked = "ask"
            if failed := _FAILED.match(message.text):
                self.considered.update(failed["ids"].split(", "))
                self.replans += 1

    def _changed(self, event: PlanTaskChanged) -> None:
        record = self.plans.get(event.plan)
        if record is None or event.task not in record.tasks:
            return
        task = record.tasks[event.task]
        task.state, task.attempt = event.state, event.attempt
        task.summary, task.reason = event.summary, event.reason
