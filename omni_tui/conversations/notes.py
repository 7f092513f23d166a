"""What a conversation in a file tells beside messages and calls, in words."""

from __future__ import annotations

from typing import NamedTuple

from omni_tui.protocol import AnyEvent
from omni_tui.protocol import events as e
from omni_tui.protocol.context import ContextSummarised
from omni_tui.protocol.conversation import RunReport
from omni_tui.protocol.deciders import decided_by
from omni_tui.protocol.loaded import NoteLoaded
from omni_tui.protocol.models import ModelFellBack
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.security.text import safe_line

_LONGEST = 20_000


class Note(NamedTuple):
    """A text, whether something went wrong, and the turn it belongs to ("" for none)."""

    text: str
    warning: bool = False
    turn: str = ""


def note_of(event: AnyEvent) -> Note | None:
    """Return what is told of an event, None if nothing is."""
    match event:
        case NoteLoaded():
            return Note(event.text, event.warning, event.turn)
        case e.TurnEnded() if event.status != "done" or event.reason:
            text = f"{event.status}: {event.reason} {event.todo}".strip(": ")
            return Note(text, event.status in ("failed", "limit"), event.turn)
        case ContextSummarised():
            text = f"the first {event.upto:,} messages were summarised:\n{event.text}"
            return Note(text[:_LONGEST], turn=event.turn)
        case ModelFellBack():
            return Note(f"{event.to} answered instead of {event.model}: {event.reason}", warning=True)
        case e.ModelChanged():
            return Note(f"model: {event.name}")
        case ServerRequestOpened() if event.stage == "asked":
            return Note(f"{safe_line(event.server)} asked: {event.message}"[:_LONGEST])
        case ServerRequestClosed():
            return Note(f"that request was {event.outcome}")
        case RunReport() if event.goal:  # those of earlier versions have no goal, and were not told
            return Note(_report(event)[:_LONGEST], turn=event.turn)
        case _:
            return _of_plan_or_rewind(event)


def _of_plan_or_rewind(event: AnyEvent) -> Note | None:
    match event:
        case e.SessionRewound():
            return Note(f"rewound: the model forgot {event.messages:,} of its messages, to here")
        case PlanProposed():
            return Note(_plan(event)[:_LONGEST], turn=event.turn)
        case PlanDecided():
            by = safe_line(decided_by(event.decider) or " by you", limit=100)
            return Note(f"the plan was {event.verdict}{by}{_because(event.feedback)}", turn=event.turn)
        case PlanTaskChanged() if event.state in ("done", "failed", "skipped", "stopped"):
            words = event.summary if event.state == "done" else event.reason
            text = f"task {safe_line(event.task)} is {event.state}{_because(words)}"
            return Note(text, event.state == "failed", event.turn)
        case PlanEnded():
            counts = f"{event.done} done, {event.failed} failed, {event.skipped} skipped"
            text = f"the plan ended: {counts}{_because(event.reason)}"
            return Note(text, bool(event.failed), event.turn)
        case _:
            return None


def _report(report: RunReport) -> str:
    """Return the report of a turn, from the journal: goal, calls, failures, what is open."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(report.states.items()))
    names = {call.call: f"{safe_line(call.server)} › {call.label}" for call in report.calls}
    total = sum(report.states.values())
    lines = [f"report: {total} call{'' if total == 1 else 's'}" + (f" ({counts})" if counts else "")]
    whole = len(report.parts) == 1  # then the goal is its only part
    lines += [f"goal: {report.goal}"] if report.goal and not whole else []
    for part in report.parts:
        shown = ", ".join(dict.fromkeys(names[call] for call in part.calls if call in names))
        state = part.state.replace("_", " ")
        lines.append(
            (f"goal, {state}: " if whole else f"{state}: ") + part.text + (f" ({shown})" if shown else "")
        )
    failed = [call for call in report.calls if call.state not in ("succeeded", "cached")]
    lines += [f"{call.state}: {names[call.call]}" for call in failed]
    lines += [f"open: {words}" for words in report.open]
    return "\n".join(lines)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _plan(plan: PlanProposed) -> str:
    lines = [f"plan: {plan.analysis}"]
    if plan.why:
        lines.append(f"it replaces the plan before, because {plan.why}")
    for number, phase in enumerate(plan.phases, 1):
        lines.append(f"{number}. {phase.title}")
        for task in phase.tasks:
            tools = ", ".join(task.tools) or "no tools"
            lines.append(f"   {safe_line(task.id)} {task.title} ({tools})")
    return "\n".join(lines)
