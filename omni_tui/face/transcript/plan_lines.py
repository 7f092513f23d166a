"""A plan as lines: its title, phases and tasks with what their agents do."""

from __future__ import annotations

from rich.cells import cell_len

from omni_tui.face.cells import fit
from omni_tui.face.formats import counted, format_duration, short_number
from omni_tui.face.lines import Line, Span, row_with_end, single_span, spans_width, wrap, wrap_beginning
from omni_tui.face.transcript.item_types import PhaseItem, PlanItem, TaskItem, TreeItem
from omni_tui.face.transcript.sub_agents import Drawer
from omni_tui.security.text import safe_line

STATES = {
    "waiting": ("○", "hint"),
    "running": ("◐", "running"),
    "done": ("●", "done"),
    "failed": ("✗", "failed"),
    "skipped": ("–", "state-quiet"),
    "stopped": ("■", "waiting"),
}
MAX_ROWS = 60
_TASK, _BELOW = "    ", "      "
_AGENT = "      │ "
_LEAST = 20
"""A title narrower than this puts the state on the next row."""


def draw_tree(item: TreeItem, width: int, now: float, draw: Drawer) -> list[Line]:
    """Return the lines of a part of a plan. `draw` draws the items of an agent."""
    match item:
        case PlanItem():
            return _plan(item, width)
        case PhaseItem():
            return _phase(item, width)
        case TaskItem():
            return _task(item, width, now, draw)


# --- the plan and its phases


def _plan(item: PlanItem, width: int) -> list[Line]:
    name = f"plan · {counted(item.phases, 'phase')}, {counted(len(item.tasks), 'task')}"
    name += " · edited" if item.edited else ""
    state, role = _stage(item)
    lines = _row([Span("◇ ", role), Span(name, "call-name")], Span(state, role), width, "  ")
    for text, role in ((item.why, "dim"), (item.analysis, "dim"), (item.said, "result")):
        if text.strip():
            words = safe_line(" ".join(text.split()), limit=4_000, joined=True) if item.folded else text
            margin, spans = single_span("  "), [Span(words, role)]
            if item.folded:
                lines += wrap(spans, width, first=margin, rest=margin, most=2)
            else:
                lines += wrap_beginning(spans, MAX_ROWS, width, first=margin, rest=margin)
    return [line._replace(target="fold") for line in lines]


def _stage(item: PlanItem) -> tuple[str, str]:
    if item.stage == "asked":
        return "◌ waiting for you", "waiting"
    if item.stage == "refused":
        return "⊘ rejected", "state-quiet"
    took = f" · {format_duration(int(item.ended - item.started))}" if item.ended > item.started else ""
    if item.stage == "over":
        failed = any(task.state in ("failed", "skipped", "stopped") for task in item.tasks)
        return f"{'✗' if failed else '●'} {item.counts}{took}", "failed" if failed else "done"
    done = sum(task.state == "done" for task in item.tasks)
    running = sum(task.state == "running" and not task.ended for task in item.tasks)
    words = f"◐ {done}/{len(item.tasks)} done" + (f" · {running} running" if running else "")
    return words, "running"


def _phase(item: PhaseItem, width: int) -> list[Line]:
    done = sum(task.state == "done" for task in item.tasks)
    left = [Span(f"  {item.number} ", "dim"), Span(item.title, "strong")]
    return _row(left, Span(f"{done}/{len(item.tasks)}", "dim"), width, "    ")


# --- a task and its agent


def _task(item: TaskItem, width: int, now: float, draw: Drawer) -> list[Line]:
    mark, role = STATES.get(item.state, ("›" if not item.state else "?", "dim"))
    head = [Span(f"{_TASK}{mark} ", role)]
    if item.task:
        head.append(Span(f"{item.task} ", "dim"))
    state = _state(item, role, now)
    title = item.title or "untitled"
    if item.folded:
        used = spans_width(head)
        room = width - used - cell_len(state.text) - 2
        title = fit(title, room if room >= _LEAST else width - used)
    title_role = "dim" if item.state in ("waiting", "skipped") else "text"
    lines = _row([*head, Span(title, title_role)], state, width, _BELOW)
    lines += _unfolded(item, width) if not item.folded else []
    lines += _doing(item, width)
    drawn: list[Line] = []
    if not item.folded and item.sub_agent is not None:
        lead = single_span(_AGENT, "result-mark")
        drawn, left = item.sub_agent.lines(max(8, width - cell_len(_AGENT)), now, draw, lead)
        if left:
            hint = fit(f"{_BELOW}… {left} more before · z shows this agent alone", width)
            lines.append(Line((Span(hint, "hint"),), len(hint)))
    return [*(line._replace(target="fold") for line in lines), *drawn]


def _state(item: TaskItem, role: str, now: float) -> Span:
    agent = item.sub_agent
    if agent is not None and agent.fold.waiting and item.state in ("running", ""):
        return Span("◌ waiting for you", "waiting")
    words: str = safe_line(item.state, limit=30)
    if item.state == "running" and item.ended:
        words, role = "parked", "dim"  # /continue resumes its turn
    if item.attempt > 1:
        words += f" · attempt {item.attempt}"
    if item.started:
        passed = (item.ended or now) - item.started
        words += f" · {format_duration(max(0, int(passed)))}"
    elif item.state == "waiting" and item.after:
        words = fit(f"after {item.after}", 30)
    return Span(words, role)


def _unfolded(item: TaskItem, width: int) -> list[Line]:
    lines: list[Line] = []
    for label, text in (("goal", item.goal), ("may use", item.may_use), ("after", item.after)):
        if text.strip():
            first = (Span(_BELOW), Span(f"{label:<9}", "hint"))
            rest = single_span(_BELOW + " " * 9)
            lines += wrap_beginning([Span(text, "dim")], MAX_ROWS, width, first=first, rest=rest)
    return lines


def _doing(item: TaskItem, width: int) -> list[Line]:
    """Return the line below a task: what its agent does, or its result, with its calls and tokens."""
    agent = item.sub_agent
    over = item.state in ("done", "failed", "skipped", "stopped")
    result = (item.reason or item.summary) if over else ""
    role = "failed-text" if item.state == "failed" else "result"
    numbers = []
    if agent is not None and agent.calls:
        numbers.append(counted(agent.calls, "call"))
    if agent is not None and agent.tokens:
        numbers.append(f"{short_number(agent.tokens)} tok")
    tail = "  " + " · ".join(numbers) if numbers else ""
    lead = single_span(f"{_BELOW}└ ", "result-mark")
    if not item.folded and result:
        rest = single_span(_BELOW + "  ")
        lines = wrap_beginning([Span(result, role)], MAX_ROWS, width, first=lead, rest=rest)
        return lines + (wrap([Span(tail.strip(), "dim")], width, first=rest) if tail else [])
    words: str = safe_line(" ".join(result[:800].split()), limit=400, joined=True)
    if not words and agent is not None and item.folded and not over:
        words = " ".join(agent.last)
    if not words and not tail:
        return []
    room = width - len(_BELOW) - 2 - cell_len(tail)
    text = fit(words, max(8, room))
    spans = (*lead, *single_span(text, role), *single_span(tail if text else tail.strip(), "dim"))
    return [Line(spans, len(_BELOW) + 2, tail=len(tail) if text else 0)]


def _row(left: list[Span], state: Span, width: int, rest: str) -> list[Line]:
    """Return one row with the state at its right end, or below if it does not fit."""
    if spans_width(left) + 2 + cell_len(state.text) <= width:
        return [row_with_end(left, state, width)]
    first, *others = left
    lines = wrap(others, width, first=(first,), rest=single_span(rest))
    return [*lines, Line((Span(rest), Span(fit(state.text, width - len(rest)), state.role)), len(rest))]
