"""Plans for the face's tests: a believable one with six tasks, and what its agents do."""

from __future__ import annotations

import json
from typing import Any

from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    CallChanged,
    CallFinished,
    ContentPart,
    Thought,
    ThoughtDelta,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageChanged,
    UserMessage,
)
from omni_tui.protocol.plan import (
    PlanDecided,
    PlanEnded,
    PlanPhase,
    PlanProposed,
    PlanTask,
    PlanTaskChanged,
)
from tests.face.scenario import NOW, START, proposed

ANALYSIS = (
    "The old host name stands in notes and in two repositories. Everything that names it is found first, "
    "then changed side by side, and at last one report says what was done."
)
PHASES: tuple[tuple[str, tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...]], ...] = (
    ("Find what names it", (
        ("t1", "Search the notes", "List every note that names old-host, with its lines.",
         ("files/search_files",), ()),
        ("t2", "Search the repositories", "Find old-host in the history and in the working trees.",
         ("git/git_log", "git/git_show"), ()),
    )),
    ("Change it", (
        ("t3", "Edit the notes", "Put web-1 in the place of old-host in each note found.",
         ("files/read_text_file", "files/edit_file"), ("t1",)),
        ("t4", "Edit the deploy scripts", "The same in deploy/*.sh, on a branch of its own.",
         ("git/git_create_branch", "files/edit_file"), ("t2",)),
        ("t5", "Ask whether the host is gone", "See whether old-host still answers.", (), ()),
    )),
    ("Report", (
        ("t6", "Write the report", "One page: what was found, what was changed, what is left.",
         (), ("t3", "t4", "t5")),
    )),
)  # fmt: skip


def plan_json(analysis: str = ANALYSIS) -> JsonText:
    """Return the exact plan."""
    phases = [
        {"title": title, "tasks": [
            {"id": ident, "title": name, "goal": goal, "servers": [], "tools": list(tools),
             "after": list(after)}
            for ident, name, goal, tools, after in tasks]}
        for title, tasks in PHASES
    ]  # fmt: skip
    return JsonText(json.dumps({"analysis": analysis, "phases": phases}))


def phases() -> tuple[PlanPhase, ...]:
    """Return its phases, as the engine shows them."""
    return tuple(
        PlanPhase(
            id=f"p{number}",
            title=SafeText(title),
            tasks=tuple(
                PlanTask(
                    id=ident,
                    title=SafeText(name),
                    goal=SafeText(goal),
                    tools=tuple(SafeText(tool) for tool in tools),
                    after=after,
                    agent=f"root/p{number}/{ident}",
                )
                for ident, name, goal, tools, after in tasks
            ),
        )
        for number, (title, tasks) in enumerate(PHASES, 1)
    )


def plan(**changes: Any) -> PlanProposed:
    """Return the plan as it is proposed."""
    values: dict[str, Any] = {
        "plan": "plan-1",
        "turn": "t1",
        "digest": "digest-plan",
        "analysis": SafeText(ANALYSIS),
        "phases": phases(),
        "plan_json": plan_json(),
        "ts": START + 40,
    }
    return PlanProposed(**{**values, **changes})


def begun() -> list[AnyEvent]:
    """Return what comes before the plan."""
    text = SafeText("Find everything that still names old-host, change it, and report.")
    return [
        UserMessage(turn="t1", ts=START + 30, text=text),
        TurnStarted(turn="t1", mode="orchestrator", model=SafeText("m"), ts=START + 30),
    ]


def moved(task: str, state: str, ts: float = START + 44, **changes: Any) -> PlanTaskChanged:
    """Return a task's new state."""
    agent = {plan.id: plan.agent for phase in phases() for plan in phase.tasks}
    values = {"plan": "plan-1", "turn": "t1", "agent": agent.get(task, ""), "ts": ts}
    return PlanTaskChanged(task=task, state=state, **{**values, **changes})  # type: ignore[arg-type]


def call(name: str, agent: str, tool: str = "search_files", **changes: Any) -> list[AnyEvent]:
    """Return a call of an agent that goes well."""
    found = SafeText("notes/deploy.md:12\nnotes/runbook.md:3")
    part = ContentPart(index=0, kind="text", text=found, size=36)
    asked = proposed(name, "files", tool, {"pattern": "old-host", "path": "notes"}, "read", agent=agent)
    return [
        asked,
        CallChanged(call=name, state="approved", decider="policy", ts=START + 45),
        CallChanged(call=name, state="dispatching", ts=START + 45),
        CallFinished(call=name, state="succeeded", elapsed_ms=14.0, size=36, parts=(part,), ts=START + 45),
    ]


def running() -> list[AnyEvent]:
    """Return the plan half-way: some done, one failed, two at work, one not begun."""
    one, two, three, four = "root/p1/t1", "root/p1/t2", "root/p2/t3", "root/p2/t4"
    return [
        *begun(),
        plan(),
        PlanDecided(plan="plan-1", turn="t1", verdict="approved", decider="user", ts=START + 42),
        moved("t1", "running", START + 42),
        moved("t2", "running", START + 42),
        Thought(turn="t1", message="a1", agent=one, text=SafeText("The notes are small; one search does.")),
        *call("c1", one),
        UsageChanged(turn="t1", agent=one, usage=Usage(input=3_900, output=240), context=0.9),
        Answer(turn="t1", message="a2", agent=one, text=SafeText("Three places in **two notes**.")),
        moved("t1", "done", START + 46, summary=SafeText("Three places in two notes.")),
        *call("c2", two, "git_log"),
        moved("t2", "done", START + 45, summary=SafeText("One commit names it.")),
        moved("t3", "running", START + 46),
        moved("t4", "running", START + 46),
        moved("t5", "running", START + 46),
        moved("t5", "failed", START + 47, reason=SafeText("no tool here can reach a host")),
        moved("t5", "running", START + 48, attempt=2),
        moved("t5", "failed", START + 50, attempt=2, reason=SafeText("no tool here can reach a host")),
        *call("c3", three, "read_text_file"),
        *call("c4", three, "edit_file"),
        AnswerDelta(turn="t1", message="a3", agent=three, text=SafeText("Both notes now say **web-1**. ")),
        ThoughtDelta(turn="t1", message="a4", agent=four, text=SafeText("A branch of its own first.")),
    ]


def ended() -> list[AnyEvent]:
    """Return how it goes on to its end."""
    return [
        moved("t3", "done", NOW + 10, summary=SafeText("Two notes changed.")),
        moved("t4", "stopped", NOW + 10),
        moved("t6", "skipped", NOW + 10, reason=SafeText("t5 failed")),
        PlanEnded(plan="plan-1", turn="t1", done=3, failed=1, skipped=1, ts=NOW + 10),
        Answer(turn="t1", message="a9", text=SafeText("Most of it was done."), ts=NOW + 11),
        TurnEnded(turn="t1", status="done", ts=NOW + 11),
    ]
