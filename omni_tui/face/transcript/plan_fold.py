"""How plans change a transcript: a plan, its phases and its tasks are items one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.face.overview import plan_key
from omni_tui.face.transcript.item_types import PhaseItem, PlanItem, TaskItem
from omni_tui.protocol.deciders import outcome_words
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTask, PlanTaskChanged
from omni_tui.security.text import safe, safe_line

if TYPE_CHECKING:
    from omni_tui.face.transcript.fold import Fold

_TITLE, _GOAL, _PATH, _WORDS = 400, 4_000, 120, 4_000


def on_turn_started(fold: Fold, turn: str) -> None:
    """Restart the clocks of a parked turn's tasks."""
    for index, found in enumerate(fold.items):
        if isinstance(found, TaskItem) and found.turn == turn and found.state == "running":
            found.ended = 0.0
            fold.running.add(index)
            _touch_task(fold, index, found)


def stop_clocks(fold: Fold, turn: str, ts: float) -> None:
    """Stop the clocks of a turn's tasks and agents at `ts`."""
    for index, task in fold.sub_agents.tasks.items():
        if task.turn == turn and task.sub_agent is not None:
            task.sub_agent.fold.close(turn)
            task.sub_agent.note_changes()
            fold.touch(index)
    for index in [*fold.running]:
        found = fold.items[index]
        if isinstance(found, TaskItem) and found.turn == turn:
            found.ended = ts
            fold.running.discard(index)
            _touch_task(fold, index, found)


def on_proposed(fold: Fold, event: PlanProposed) -> None:
    """Add a plan; after an edit it replaces the one before."""
    key = plan_key(event.plan)
    if (known := _plan(fold, event.plan)) is not None:
        former_at, former = known
        for at in (former_at, *former.rows):
            fold.items[at].hidden = True
            fold.running.discard(at)
            fold.touch(at)
        fold.waiting.discard(former_at)
    plan = PlanItem(
        ts=event.ts, folded=False, plan=event.plan, turn=event.turn, edited=event.edited, why=event.why,
        analysis=safe(event.analysis, limit=_GOAL), phases=len(event.phases),
        stage="asked" if event.asks else "going", started=event.ts,
    )  # fmt: skip
    index = fold.add(plan, key)
    for number, phase in enumerate(event.phases, 1):
        tasks = tuple(_task(event, task) for task in phase.tasks)
        plan.tasks += tasks
        title = safe_line(phase.title, limit=_TITLE, joined=True)
        fold.add(PhaseItem(ts=event.ts, number=number, title=title, tasks=tasks))
        for task, item in zip(phase.tasks, tasks, strict=True):
            _put_task(fold, item, task.agent)
    plan.rows = range(index + 1, len(fold.items))
    if event.asks:
        fold.waiting.add(index)


def _task(event: PlanProposed, task: PlanTask) -> TaskItem:
    return TaskItem(
        ts=event.ts,
        plan=event.plan,
        turn=event.turn,
        task=safe_line(task.id, limit=40),
        title=safe_line(task.title, limit=_TITLE, joined=True),
        goal=safe(task.goal, limit=_GOAL),
        may_use=", ".join(safe_line(name, limit=_PATH) for name in (task.tools or task.servers)),
        after=", ".join(safe_line(name, limit=40) for name in task.after),
    )


def _put_task(fold: Fold, item: TaskItem, agent: str) -> int:
    """Add a task; if its agent worked on another one, it moves here."""
    index = fold.add(item, _task_key(item.plan, item.task))
    agents, key = fold.sub_agents, (item.turn, agent)
    former_at = agents.by_agent.get(key)
    if agent:
        agents.by_agent[key] = index
    former = fold.items[former_at] if former_at is not None else None
    if former_at is not None and isinstance(former, TaskItem) and former.sub_agent is not None:
        item.sub_agent = former.sub_agent
        agents.tasks = {at: task for at, task in agents.tasks.items() if task is not former}
        agents.tasks[index] = item
        for call, at in agents.by_call.items():
            if at == former_at:
                agents.by_call[call] = index
        former.sub_agent, former.hidden = None, True
        fold.touch(former_at)
    return index


def on_decided(fold: Fold, event: PlanDecided) -> None:
    """Show whether a plan was approved."""
    if (found := _plan(fold, event.plan)) is None:
        return
    index, plan = found
    fold.waiting.discard(index)
    fold.touch(index)
    if event.verdict == "approved":
        plan.stage, plan.started = "going", event.ts
        return
    plan.stage, plan.ended = "refused", event.ts
    plan.said = safe_line(outcome_words(event.verdict, event.decider), limit=60)
    if event.feedback:
        plan.said += f" · “{safe_line(event.feedback, limit=_WORDS, joined=True)}”"


def on_task(fold: Fold, event: PlanTaskChanged) -> None:
    """Show the new state of a task; one that is not in the plan is added."""
    task = safe_line(event.task, limit=40)
    index = fold.find(_task_key(event.plan, task))
    if index is None:
        added = TaskItem(ts=event.ts, plan=event.plan, turn=event.turn, task=task, title="not in the plan")
        index = _put_task(fold, added, event.agent)
    item = fold.items[index]
    assert isinstance(item, TaskItem)
    if event.state == "running":
        item.started, item.ended = event.ts, 0.0
    elif item.started and not item.ended:
        item.ended = event.ts
    item.state, item.attempt = event.state, event.attempt
    item.summary = safe(event.summary, limit=_WORDS)
    item.reason = safe(event.reason, limit=_WORDS)
    (fold.running.add if event.state == "running" else fold.running.discard)(index)
    if event.agent not in ("", "root"):
        fold.sub_agents.by_agent.setdefault((event.turn, event.agent), index)
    _touch_task(fold, index, item)


def _touch_task(fold: Fold, index: int, task: TaskItem) -> None:
    """Note that a task looks different, and the counts of its plan and phases with it."""
    fold.touch(index)
    if (found := _plan(fold, task.plan)) is not None:
        plan_at, plan = found
        fold.touch(plan_at)
        for at in plan.rows:
            if isinstance(fold.items[at], PhaseItem):
                fold.touch(at)


def on_ended(fold: Fold, event: PlanEnded) -> None:
    """Show how a plan ended."""
    if (found := _plan(fold, event.plan)) is None:
        return
    index, plan = found
    plan.stage, plan.ended = "over", event.ts
    plan.counts = f"{event.done} done · {event.failed} failed · {event.skipped} skipped"
    plan.said = safe(event.reason, limit=_WORDS)
    fold.waiting.discard(index)
    fold.touch(index)


def toggle(fold: Fold, index: int) -> None:
    """Fold or unfold a plan: hide or show its phases and tasks."""
    plan = fold.items[index]
    assert isinstance(plan, PlanItem)
    plan.folded = not plan.folded
    for at in (index, *plan.rows):
        fold.touch(at)
        if at != index:
            fold.items[at].hidden = plan.folded


def _plan(fold: Fold, plan: str) -> tuple[int, PlanItem] | None:
    index = fold.find(plan_key(plan))
    item = fold.items[index] if index is not None else None
    return (index, item) if index is not None and isinstance(item, PlanItem) else None


def _task_key(plan: str, task: str) -> str:
    return f"task:{plan}/{task}"
