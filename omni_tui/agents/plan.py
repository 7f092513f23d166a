"""What a plan is: phases of tasks, each with its tools and the tasks it comes after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from omni_tui.models.base import ToolSpec
from omni_tui.protocol import JsonText
from omni_tui.protocol.plan import PlanPhase, PlanProposed, PlanTask
from omni_tui.security.text import exact_json, safe, safe_line
from omni_tui.tools.tool_names import model_name


@dataclass(frozen=True, slots=True)
class PlannableTool:
    """A tool that a plan may name: `key` is `server/tool`, exact; `spec` what a model is told of it."""

    key: str
    server: str
    spec: ToolSpec


PlannableTools = Mapping[str, PlannableTool]
"""The tools there are, by key."""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One task. `after` names tasks of this plan, or done ones of the plan it replaces."""

    id: str
    agent: str
    title: str
    goal: str
    servers: tuple[str, ...]
    tools: tuple[str, ...]
    after: tuple[str, ...]

    def model_names(self) -> dict[str, str]:
        """Return its tools by the names that a model is given."""
        return {
            model_name(server, tool.removeprefix(f"{server}/")): tool
            for tool in self.tools
            for server in self.servers
            if tool.startswith(f"{server}/")
        }


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """Tasks that begin when the phase before is over."""

    id: str
    title: str
    tasks: tuple[PlannedTask, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that has been judged."""

    analysis: str
    phases: tuple[PlannedPhase, ...]

    @property
    def tasks(self) -> tuple[PlannedTask, ...]:
        """All tasks, in order."""
        return tuple(task for phase in self.phases for task in phase.tasks)

    def to_json(self) -> JsonText:
        """Return the exact plan, as `PlanProposed.plan_json` has it."""
        plan = asdict(self)
        for phase in plan["phases"]:
            del phase["id"]
            for task in phase["tasks"]:
                del task["agent"]
        return exact_json(plan)

    def shown(self) -> tuple[PlanPhase, ...]:
        """Return the phases as they are shown."""
        return tuple(
            PlanPhase(
                id=phase.id,
                title=safe_line(phase.title, joined=True),
                tasks=tuple(map(_shown, phase.tasks)),
            )
            for phase in self.phases
        )


def plan_of(event: PlanProposed) -> Plan:
    """Return the plan of an event of ours: words from the exact JSON, ids and paths from what was shown."""
    value = json.loads(event.plan_json)
    phases = []
    for shown, exact in zip(event.phases, value["phases"], strict=True):
        tasks = tuple(
            PlannedTask(
                id=ours.id,
                agent=ours.agent,
                title=task["title"],
                goal=task["goal"],
                servers=tuple(task["servers"]),
                tools=tuple(task["tools"]),
                after=tuple(task["after"]),
            )
            for ours, task in zip(shown.tasks, exact["tasks"], strict=True)
        )
        phases.append(PlannedPhase(shown.id, exact["title"], tasks))
    return Plan(value["analysis"], tuple(phases))


def _shown(task: PlannedTask) -> PlanTask:
    return PlanTask(
        id=task.id,
        title=safe_line(task.title, joined=True),
        goal=safe(task.goal, limit=8_000),
        servers=tuple(safe_line(server) for server in task.servers),
        tools=tuple(safe_line(tool) for tool in task.tools),
        after=task.after,
        agent=task.agent,
    )
