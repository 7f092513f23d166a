"""Plans of the orchestrator: proposed, approved by the person, carried out task by task.

A plan has phases in order; the tasks of a phase run in parallel, unless one comes `after` another. Each
task has its own sub-agent, whose events carry its path in `agent` (`root/p1/t2`); it has only the task's
tools.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, Journalled
from omni_tui.protocol.text import JsonText, SafeText

PlanTaskState = Literal[
    "waiting",
    "running",
    "done",
    "failed",
    "skipped",  # something it comes after has failed
    "stopped",  # by the person, or by a limit
]


class PlanTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task: what is to be reached, with which servers and tools (`server/tool`), after which tasks.

    `agent` is the path of the sub-agent that works on it.
    """

    id: str
    title: SafeText
    goal: SafeText
    servers: tuple[SafeText, ...] = ()
    tools: tuple[SafeText, ...] = ()
    after: tuple[str, ...] = ()
    agent: str = ""


class PlanPhase(msgspec.Struct, frozen=True, kw_only=True):
    """A phase: its tasks begin when the phase before is over."""

    id: str
    title: SafeText
    tasks: tuple[PlanTask, ...]


class PlanProposed(Journalled):
    """A plan waits for the person; or, with `asks` false, the policy allows it.

    Sent again with a new digest after an edit. `replaces` names the plan whose remaining tasks it
    takes over, with `why`. `plan_json` is exact: `{"analysis", "phases": [{"title", "tasks": [{"id",
    "title", "goal", "servers", "tools", "after"}]}]}`, and is what `EditPlan` sends back changed.
    `calls` is what the policy does with a call of its agents where nothing else decides, "" if not known.
    `expires` as in `ApprovalRequested`.
    `former` is the digest of the plan that the person edited into this one, "" for a planner's own.
    """

    plan: str
    turn: str
    digest: str
    analysis: SafeText
    phases: tuple[PlanPhase, ...]
    plan_json: JsonText
    asks: bool = True
    edited: bool = False
    replaces: str = ""
    calls: Literal["allow", "ask", "deny", ""] = ""
    why: SafeText = SafeText("")
    expires: float = 0.0
    former: str = ""


class PlanDecided(Journalled):
    """A plan may be carried out, or not. `decider` is `user`, `policy`, `headless`, `timeout` or `stop`.

    `digest` names the very plan, as in `PlanProposed`.

    `feedback` is what is shown of the person's words; `written` is the words where the two differ.
    """

    plan: str
    turn: str
    verdict: Literal["approved", "rejected", "withdrawn"]
    decider: str
    feedback: SafeText = SafeText("")
    written: str = ""
    digest: str = ""

    @property
    def words(self) -> str:
        """The person's words to the character, for the planner."""
        return self.written or self.feedback


class PlanTaskChanged(Journalled, tag="task_changed"):
    """A task of a plan moved to another state. `summary` is what its sub-agent reports when it is over.

    `attempt` counts from 1; a task that failed may be tried again.
    """

    plan: str
    turn: str
    task: str
    state: PlanTaskState
    agent: str
    attempt: int = 1
    summary: SafeText = SafeText("")
    reason: SafeText = SafeText("")


class PlanEnded(Journalled):
    """A plan ended. The counts are of its tasks."""

    plan: str
    turn: str
    done: int
    failed: int
    skipped: int
    reason: SafeText = SafeText("")


class DecidePlan(Command):
    """Decide on exactly the shown plan. The model gets `feedback` and plans again."""

    plan: str
    digest: str
    verdict: Literal["approve", "reject"]
    feedback: str = ""


class EditPlan(Command):
    """Replace the shown plan by another one, which needs its own approval."""

    plan: str
    digest: str
    plan_json: JsonText
