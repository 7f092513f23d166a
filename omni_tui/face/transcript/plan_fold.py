"""Plans in the transcript: a tree that lives, and a lane for every agent that works on it.

A plan, its phases and its tasks are items one after the other. What an agent does goes into the fold
of its lane, which its task holds; an agent that no plan speaks of gets a lane of its own at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from omni_tui.face.overview import plan_key
from omni_tui.face.transcript.item_types import CallItem, PhaseItem, PlanItem, TaskItem
from omni_tui.face.transcript.sub_agents import SubAgent
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import events as ev
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTask, PlanTaskChanged
from omni_tui.security.text import safe, safe_line

if TYPE_CHECKING:
    from omni_tui.face.transcript.fold import Fold

_TITLE, _GOAL, _PATH, _WORDS = 400, 4_000, 120, 4_000
_BY_AGENT = (
    ev.ThoughtDelta, ev.AnswerDelta, ev.Thought, ev.Answer, ev.Retrying, ev.UsageChanged, ev.CallProposed,
    ev.ApprovalRequested,
)  # fmt: skip
_BY_CALL = (
    ev.CallChanged, ev.CallProgress, ev.CallFinished, ev.CallRound, CallTask, TaskProgress,
    ev.ApprovalRequested,
)  # fmt: skip


class SubAgentIndex(msgspec.Struct):
    """Where the lanes are: indexes of their tasks by turn and agent, and by the calls made in them."""

    by_agent: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    by_call: dict[str, int] = msgspec.field(default_factory=dict)
    holders: dict[int, TaskItem] = msgspec.field(default_factory=dict)

    def all(self) -> Iterator[SubAgent]:
        """Yield every lane in which something has happened."""
        return (item.lane for item in self.holders.values() if item.lane is not None)


# --- lanes


def sub_agent_of(fold: Fold, event: AnyEvent) -> int | None:
    """Return the index of the task into whose lane an event goes, None if it goes into none."""
    if isinstance(event, _BY_CALL) and (index := fold.lanes.by_call.get(event.call)) is not None:
        return index
    if not isinstance(event, _BY_AGENT) or event.agent in ("", "root"):
        return None
    index = fold.lanes.by_agent.get((event.turn, event.agent))
    if index is None:
        if isinstance(event, ev.UsageChanged):
            return None
        item = TaskItem(ts=event.ts, turn=event.turn, state="", title=safe_line(event.agent, limit=_PATH))
        index = fold.add(item)
        fold.lanes.by_agent[event.turn, event.agent] = index
    return index


def apply_to_sub_agent(fold: Fold, index: int, event: AnyEvent, handler: Callable[..., None]) -> bool:
    """Take an event into account in its lane; return whether anything that shows has changed."""
    item = fold.items[index]
    assert isinstance(item, TaskItem)
    lane = item.lane
    if lane is None:
        lane = item.lane = SubAgent(type(fold)(), item.turn, getattr(event, "agent", ""))
        fold.lanes.holders[index] = item
    if isinstance(event, ev.UsageChanged):
        lane.tokens += event.usage.input + event.usage.output
        fold.touch(index)
        return True
    before = (lane.calls, lane.last)
    handler(lane.fold, event)
    lane.note_changes()
    if isinstance(event, ev.CallProposed | ev.ApprovalRequested):
        _adopt_call(fold, index, lane, event.call)
    lane.last = _last(lane, event) or lane.last
    if before == (lane.calls, lane.last) and item.folded and not lane.alone:
        return False
    fold.touch(index)
    return True


def _adopt_call(fold: Fold, index: int, lane: SubAgent, call: str) -> None:
    if call not in fold.lanes.by_call:
        fold.lanes.by_call[call] = index
        lane.calls += 1
    at = lane.fold.find_call(call)
    if at is not None:
        lane.fold.items[at].agent = "root"  # whose it is, the lane says


def _last(lane: SubAgent, event: AnyEvent) -> tuple[str, str] | None:
    """Return what an agent is doing, in words; text that streams has the same words all along."""
    match event:
        case ev.ThoughtDelta():
            return "✻", "thinking …"
        case ev.AnswerDelta():
            return "✎", "writing …"
        case ev.Thought(text=text) | ev.Answer(text=text):
            words = safe_line(" ".join(text[:400].split()), limit=200, joined=True)
            return ("✻" if isinstance(event, ev.Thought) else "✎", words) if words else None
        case ev.Retrying(attempt=attempt, of=of, reason=reason):
            return "↻", f"attempt {attempt} of {of} · {safe_line(reason, limit=120)}"
        case _:
            index = lane.fold.find_call(getattr(event, "call", ""))
            if index is None:
                return None
            call = lane.fold.items[index]
            assert isinstance(call, CallItem)
            state = {"succeeded": "✓", "dispatching": "…", "pending": "◌", "held": "◌"}.get(call.state, "")
            name = f"{safe_line(call.server, limit=40)} › {call.tool}"
            return "▶", f"{name} {state or call.state.replace('_', ' ')}"


def on_usage(fold: Fold, event: ev.UsageChanged) -> None:
    """What the root used stands in the top bar only."""


def on_turn_started(fold: Fold, turn: str) -> None:
    """A turn that was parked goes on: the tasks that ran then run again."""
    for index, found in enumerate(fold.items):
        if isinstance(found, TaskItem) and found.turn == turn and found.state == "running":
            found.ended = 0.0
            fold.running.add(index)
            fold.touch(index)


def on_turn_ended(fold: Fold, event: ev.TurnEnded) -> None:
    """No agent of the turn goes on."""
    stop_clocks(fold, event.turn, event.ts)


def stop_clocks(fold: Fold, turn: str, ts: float) -> None:
    """Stop the clocks of a turn's agents at `ts`."""
    for index, item in fold.lanes.holders.items():
        if item.turn == turn and item.lane is not None:
            item.lane.fold.close(turn)
            item.lane.note_changes()
            fold.touch(index)
    for index in [*fold.running]:
        found = fold.items[index]
        if isinstance(found, TaskItem) and found.turn == turn:
            found.ended = ts
            fold.running.discard(index)
            fold.touch(index)


# --- plans


def on_proposed(fold: Fold, event: PlanProposed) -> None:
    """Take a plan into account, or what stands in its place after an edit."""
    key = plan_key(event.plan)
    known = fold.find(key)
    if known is not None:
        _take_away(fold, known)
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
    index = fold.add(item, _task_key(item.plan, item.task))
    place = (item.turn, agent)
    former = fold.items[fold.lanes.by_agent[place]] if place in fold.lanes.by_agent else None
    if agent:
        fold.lanes.by_agent[place] = index
    if isinstance(former, TaskItem) and former.lane is not None:
        item.lane = former.lane
        fold.lanes.holders[index] = item
        for call, at in fold.lanes.by_call.items():
            if fold.items[at] is former:
                fold.lanes.by_call[call] = index
        fold.lanes.holders = {at: held for at, held in fold.lanes.holders.items() if held is not former}
        former.lane, former.hidden = None, True
    return index


def _take_away(fold: Fold, index: int) -> None:
    """Hide a plan and what stands under it: another stands in its place."""
    plan = fold.items[index]
    assert isinstance(plan, PlanItem)
    for at in (index, *plan.rows):
        fold.items[at].hidden = True
        fold.running.discard(at)
        fold.touch(at)
    fold.waiting.discard(index)


def on_decided(fold: Fold, event: PlanDecided) -> None:
    """Take a verdict into account."""
    if (found := _plan(fold, event.plan)) is None:
        return
    index, plan = found
    fold.waiting.discard(index)
    fold.touch(index)
    if event.verdict == "approved":
        plan.stage, plan.started = "going", event.ts
        return
    plan.stage, plan.ended = "refused", event.ts
    by = {"user": "", "stop": ": stopped", "headless": ": nobody there to ask", "policy": " by policy"}
    plan.said = event.verdict + by.get(event.decider, f" by {safe_line(event.decider, limit=30)}")
    if event.feedback:
        plan.said += f" · “{safe_line(event.feedback, limit=_WORDS, joined=True)}”"


def on_task(fold: Fold, event: PlanTaskChanged) -> None:
    """Take a task's new state into account; one that was never proposed gets a row of its own."""
    task = safe_line(event.task, limit=40)
    index = fold.find(_task_key(event.plan, task))
    if index is None:
        item = TaskItem(ts=event.ts, plan=event.plan, turn=event.turn, task=task, title="not in the plan")
        index = _put_task(fold, item, event.agent)
    item = _at(fold, index)
    if event.state == "running":
        item.started, item.ended = event.ts, 0.0
    elif item.started and not item.ended:
        item.ended = event.ts
    item.state, item.attempt = event.state, event.attempt
    item.summary = safe(event.summary, limit=_WORDS)
    item.reason = safe(event.reason, limit=_WORDS)
    (fold.running.add if event.state == "running" else fold.running.discard)(index)
    fold.touch(index)
    if event.agent not in ("", "root"):
        fold.lanes.by_agent.setdefault((event.turn, event.agent), index)
    if (found := _plan(fold, event.plan)) is not None:
        plan_at, plan = found
        fold.touch(plan_at)
        for at in plan.rows:
            if isinstance(fold.items[at], PhaseItem):
                fold.touch(at)


def on_ended(fold: Fold, event: PlanEnded) -> None:
    """Close a plan with its counts."""
    if (found := _plan(fold, event.plan)) is None:
        return
    index, plan = found
    plan.stage, plan.ended = "over", event.ts
    plan.counts = f"{event.done} done · {event.failed} failed · {event.skipped} skipped"
    plan.said = safe(event.reason, limit=_WORDS)
    fold.waiting.discard(index)
    fold.touch(index)


def toggle(fold: Fold, index: int) -> None:
    """Fold or unfold a plan: its phases and tasks go, or come back."""
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


def _at(fold: Fold, index: int) -> TaskItem:
    item = fold.items[index]
    assert isinstance(item, TaskItem)
    return item


def _task_key(plan: str, task: str) -> str:
    return f"task:{plan}/{task}"
