"""How plans read on a terminal without a face: a tree when one is proposed, a line for each change."""

from __future__ import annotations

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged

_MARKS = {"running": "▶", "done": "✓", "failed": "✗", "skipped": "–", "stopped": "■", "waiting": "·"}


class PlanPrinter:
    """Words for the events of plans; it remembers what the tasks are called."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}

    def remark(self, event: AnyEvent) -> str:
        """Return what a person wants to know of an event, "" for those that are not about plans."""
        if isinstance(event, PlanProposed):
            return self._tree(event)
        if isinstance(event, PlanDecided):
            by = {
                "user": "you",
                "policy": "the policy",
                "stop": "stopping",
                "headless": "nobody being there",
            }
            said = f": {event.feedback}" if event.feedback else ""
            return f"The plan was {event.verdict} by {by.get(event.decider, event.decider)}{said}"
        if isinstance(event, PlanTaskChanged):
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            title = self._titles.get(event.agent, event.task)
            why = f": {event.reason}" if event.reason else ""
            return f"{_MARKS[event.state]} [{event.agent}] {title}: {event.state}{again}{why}"
        if isinstance(event, PlanEnded):
            counts = f"{event.done} done, {event.failed} failed, {event.skipped} left out"
            return f"The plan is over: {counts}" + (f" ({event.reason})" if event.reason else "")
        return ""

    def _tree(self, plan: PlanProposed) -> str:
        lines = [f"Plan: {plan.analysis}"]
        if plan.why:
            lines.append(f"  in the place of the former one, because {plan.why}")
        for number, phase in enumerate(plan.phases, 1):
            lines.append(f"  {number}. {phase.title}")
            for task in phase.tasks:
                self._titles[task.agent] = task.title
                after = f" after {', '.join(task.after)}" if task.after else ""
                tools = ", ".join(task.tools) or "no tools"
                lines.append(f"     {task.id} {task.title}{after} ({tools})")
        return "\n".join(lines)
