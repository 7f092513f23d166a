"""What a card says of a plan: why it is as it is, its phases, and of each task what it may do.

Nothing of it is shortened: approving needs all of it on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

from omni_tui.face.approval.card_body import LABEL, CardBody, hanging
from omni_tui.face.approval.visible import visible
from omni_tui.face.overview import plan_key
from omni_tui.face.widgets.lines_view import wrap, wrap_rows
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.plan import PlanPhase, PlanProposed, PlanTask
from omni_tui.security.text import safe, safe_line

_LIMIT = 200_000
_SIDE = "  "
_UNDER = "     "
_CALLS = {
    "": "",
    "ask": " · each of their calls is asked about",
    "deny": " · their calls are denied by the policy",
    "allow": " · with the plan you allow their calls, but not destructive ones, which are asked about",
}


@dataclass(frozen=True, slots=True)
class PendingPlanItem:
    """A plan as an item of the queue."""

    event: PlanProposed

    @property
    def call(self) -> str:
        """What the queue knows it by; no call is named so."""
        return plan_key(self.event.plan)

    @property
    def digest(self) -> str:
        """Names exactly what is shown."""
        return self.event.digest

    @property
    def server(self) -> str:
        """Nobody's but the orchestrator's."""
        return "plan"

    @property
    def label(self) -> SafeText:
        """How large it is."""
        tasks = sum(len(phase.tasks) for phase in self.event.phases)
        return safe_line(f"{_count(len(self.event.phases), 'phase')}, {_count(tasks, 'task')}")

    @property
    def ts(self) -> float:
        """Since when it stands so, Unix time."""
        return self.event.ts

    @property
    def complete(self) -> bool:
        """All of a plan is always here."""
        return True

    @property
    def edited(self) -> bool:
        """Whether the person put something else in its place."""
        return self.event.edited

    @property
    def arguments(self) -> SafeText:
        """The plan, safe."""
        return safe(self.event.plan_json, limit=_LIMIT, joined=False)

    @property
    def arguments_json(self) -> JsonText:
        """The plan, exact."""
        return self.event.plan_json


def headline(event: PlanProposed) -> SafeText:
    """Return the beginning of the analysis on one line."""
    return safe_line(" ".join(event.analysis[:400].split()), limit=200)


def chip(event: PlanProposed) -> Content:
    """Return what it is as a filled word."""
    parts = [Content.styled(" PLAN ", "bold $on-colour on $mine")]
    if event.edited:
        parts.append(Content.styled(" EDITED ", "bold $on-colour on $mine"))
    if event.replaces:
        parts.append(Content.styled(" PLANNED ANEW ", "bold $on-colour on $waiting"))
    return Content(" ").join(parts)


def compose_body(item: PendingPlanItem, width: int) -> CardBody:
    """Draw the parts of a plan's card."""
    event = item.event
    head = [Content.styled(f"plan · {item.label}", "bold $text-1") + Content("   ") + chip(event)]
    if head[0].cell_length > width:
        head = [
            *wrap(Content.styled(f"plan · {item.label}", "bold $text-1"), width),
            *wrap(chip(event), width),
        ]
    drawn: list[Content] = []
    for label, text in (("anew", event.why), ("why so", event.analysis)):
        if text.strip():
            drawn += _said(label, text, width)
    for number, phase in enumerate(event.phases, 1):
        drawn += [Content(""), *_phase(number, phase, width)]
    verdict = Content.styled(
        f"all of it shown · agents have these tools only{_CALLS[event.calls]}", "$text-2"
    )
    return CardBody(head, drawn, wrap(verdict, width), [], [])


def _said(label: str, text: str, width: int) -> list[Content]:
    lines = [Content.styled(row, "$text-1") for row in wrap_rows(visible(text, lines=True), width - LABEL)]
    margin = Content.styled(label.ljust(LABEL), "$text-2")
    return [margin + lines[0], *(Content(" " * LABEL) + line for line in lines[1:])]


def _phase(number: int, phase: PlanPhase, width: int) -> list[Content]:
    title = Content.styled(f"{number} {_line(phase.title)}", "bold $text-1")
    count = Content.styled(f"  {_count(len(phase.tasks), 'task')}", "$text-3")
    lines = wrap(title + count, width)
    for at, task in enumerate(phase.tasks):
        lines += _task(task, width, last=at == len(phase.tasks) - 1)
    return lines


def _task(task: PlanTask, width: int, *, last: bool) -> list[Content]:
    """Draw one task as a branch of its phase; its title and its goal in full."""
    branch, under = ("└ ", "  ") if last else ("├ ", "│ ")
    room = max(8, width - len(_UNDER))
    after = ", ".join(_line(each) for each in task.after)
    name = Content.assemble(
        (f"{_line(task.id)} ", "$mine"), (_line(task.title), "$text-1"),
        (f"  after {after}" if after else "", "$text-2"),
    )  # fmt: skip
    inner = wrap(name, room)
    if task.goal.strip() and task.goal.strip() != task.title.strip():
        inner += [Content.styled(row, "$text-2") for row in wrap_rows(visible(task.goal, lines=True), room)]
    # A tool is written server/tool: a server is named by itself only where no tool of it is.
    servers = [name for name in task.servers if not any(t.startswith(f"{name}/") for t in task.tools)]
    for label, names in (("servers", servers), ("tools", task.tools)):
        words = ", ".join(_line(each) for each in names)
        if words:
            text = Content.assemble((label.ljust(LABEL), "$text-3"), (words, "$waiting"))
            inner += hanging(text, room)
    if not task.tools and not task.servers:
        inner.append(Content.styled("no tools: it can only think and write", "$text-3"))
    first = Content.styled(f"{_SIDE}{branch}", "$text-3")
    rest = Content.styled(f"{_SIDE}{under}", "$text-3")
    return [(first if at == 0 else rest) + line for at, line in enumerate(inner)]


def _line(text: str) -> str:
    return visible(text)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
