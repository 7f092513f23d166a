"""What the agents of a plan do: a transcript for each, and the lines of it that stand under its task.

An agent's transcript is drawn only while its task is unfolded. While it is folded, streaming text is kept
and the line under the task changes only when the agent does something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from omni_tui.face.lines import Line, Spans, spans_length
from omni_tui.face.transcript.item_types import AnyItem, CallItem, TaskItem, TextItem
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import events as ev
from omni_tui.protocol.calls import CallTask, TaskProgress
from omni_tui.protocol.loaded import CallLoaded
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.face.transcript.fold import Fold

MAX_ITEMS = 30
"""Most items under an unfolded task. The view of one agent alone shows all."""
MAX_ROWS = 240
STREAM_ROWS = 8
"""Rows of a text that is still arriving."""
_PATH = 120
_BY_AGENT = (
    ev.ThoughtDelta, ev.AnswerDelta, ev.Thought, ev.Answer, ev.Retrying, ev.UsageChanged, ev.CallProposed,
    ev.ApprovalRequested, CallLoaded,
)  # fmt: skip
_BY_CALL = (
    ev.CallChanged, ev.CallProgress, ev.CallFinished, ev.CallRound, CallTask, TaskProgress,
    ev.ApprovalRequested,
)  # fmt: skip

Drawer = Callable[[AnyItem, AnyItem | None, int, float], list[Line]]


class SubAgent(msgspec.Struct):
    """What an agent below the root thought, called and answered. `agent` is its path."""

    fold: Fold
    agent: str
    calls: int = 0
    tokens: int = 0
    last: tuple[str, str] = ("", "")
    """What it did last: a mark and words."""
    alone: bool = False
    """Whether the view shows this agent only."""
    _changed: set[int] = msgspec.field(default_factory=set)
    _stale: set[int] = msgspec.field(default_factory=set)
    _drawn: dict[int, list[Line]] = msgspec.field(default_factory=dict)
    _width: int = 0

    def note_changes(self) -> None:
        """Take the changes from the fold: for the lines here, and for the view of this agent alone."""
        changed = self.fold.take_changes()
        self._stale |= changed
        if self.alone:
            self._changed |= changed

    def take_changes(self) -> set[int]:
        """Return the indexes that changed since the last time, for the view of this agent alone."""
        self.note_changes()
        changed, self._changed = self._changed, set()
        return changed

    def tick(self) -> None:
        """Redraw what shows passing seconds."""
        self.fold.tick()
        self.note_changes()

    def draw_again(self) -> None:
        """Draw every item again: a long text has been laid out meanwhile."""
        self._drawn.clear()

    def lines(self, width: int, now: float, draw: Drawer, lead: Spans) -> tuple[list[Line], int]:
        """Return the lines of the last items, each after `lead`, and how many items were left out.

        Unchanged lines are the same objects as before.
        """
        self.note_changes()
        if width != self._width:
            self._width = width
            self._drawn.clear()
        for index in self._stale:
            self._drawn.pop(index, None)
        self._stale.clear()
        items = self.fold.items
        shown = [index for index in range(len(items)) if not items[index].hidden]
        left = max(0, len(shown) - MAX_ITEMS)
        lines: list[Line] = []
        before: AnyItem | None = None
        for index in shown[left:]:
            item = items[index]
            if index not in self._drawn:
                drawn = draw(item, before, width, now)
                if isinstance(item, TextItem) and item.stream is not None:
                    drawn = drawn[-STREAM_ROWS:]
                    if item.stream.behind:
                        self._stale.add(index)
                self._drawn[index] = [_after(lead, line) for line in drawn]
            lines += self._drawn[index]
            before = item
        return lines[-MAX_ROWS:], left + (len(lines) > MAX_ROWS)


def _after(lead: Spans, line: Line) -> Line:
    """Return a line after `lead`. A click on it does not fold the task."""
    return line._replace(spans=(*lead, *line.spans), gutter=line.gutter + spans_length(lead), target="")


class SubAgentIndex(msgspec.Struct):
    """Finds the task of an agent: its index by turn and agent, and by the agent's calls."""

    by_agent: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    by_call: dict[str, int] = msgspec.field(default_factory=dict)
    tasks: dict[int, TaskItem] = msgspec.field(default_factory=dict)
    """Tasks whose agents did something, by index."""

    def all(self) -> Iterator[SubAgent]:
        """Yield every agent that did something."""
        return (task.sub_agent for task in self.tasks.values() if task.sub_agent is not None)


def task_of_event(fold: Fold, event: AnyEvent) -> int | None:
    """Return the index of the task whose agent an event is about, None if it is about the root.

    An agent that belongs to no plan gets a task at the end.
    """
    if isinstance(event, _BY_CALL) and (index := fold.sub_agents.by_call.get(event.call)) is not None:
        return index
    if not isinstance(event, _BY_AGENT) or event.agent in ("", "root"):
        return None
    index = fold.sub_agents.by_agent.get((event.turn, event.agent))
    if index is None:
        if isinstance(event, ev.UsageChanged):
            return None
        item = TaskItem(ts=event.ts, turn=event.turn, state="", title=safe_line(event.agent, limit=_PATH))
        index = fold.add(item)
        fold.sub_agents.by_agent[event.turn, event.agent] = index
    return index


def apply_to_sub_agent(fold: Fold, index: int, event: AnyEvent, handler: Callable[..., None]) -> bool:
    """Apply an event to the agent of a task; return whether anything on the screen changed."""
    task = fold.items[index]
    assert isinstance(task, TaskItem)
    agent = task.sub_agent
    if agent is None:
        path = event.agent if isinstance(event, _BY_AGENT) else ""
        agent = task.sub_agent = SubAgent(type(fold)(), path)
        fold.sub_agents.tasks[index] = task
    if isinstance(event, ev.UsageChanged):
        agent.tokens += event.usage.input + event.usage.output
        fold.touch(index)
        return True
    before = (agent.calls, agent.last)
    handler(agent.fold, event)
    agent.note_changes()
    if isinstance(event, ev.CallProposed | ev.ApprovalRequested | CallLoaded):
        if event.call not in fold.sub_agents.by_call:
            fold.sub_agents.by_call[event.call] = index
            agent.calls += 1
        if (at := agent.fold.find_call(event.call)) is not None:
            agent.fold.items[at].agent = "root"  # the task above names the agent
    agent.last = _last_step(agent, event) or agent.last
    if before == (agent.calls, agent.last) and task.folded and not agent.alone:
        return False
    fold.touch(index)
    return True


def _last_step(agent: SubAgent, event: AnyEvent) -> tuple[str, str] | None:
    """Return what an agent is doing, in words. Streaming text has the same words until it ends."""
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
    if not isinstance(event, (*_BY_CALL, ev.CallProposed, CallLoaded)):
        return None
    index = agent.fold.find_call(event.call)
    if index is None:
        return None
    call = agent.fold.items[index]
    assert isinstance(call, CallItem)
    state = {"succeeded": "✓", "dispatching": "…", "pending": "◌", "held": "◌"}.get(call.state, "")
    name = f"{safe_line(call.server, limit=40)} › {call.tool}"
    return "▶", f"{name} {state or call.state.replace('_', ' ')}"
