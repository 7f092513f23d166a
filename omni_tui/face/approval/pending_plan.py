"""A plan that waits for approval: why it is as it is, its phases, and what each task may do.

Nothing is shortened: approving needs all of it on the screen.
"""

from __future__ import annotations

from functools import cached_property

from textual.content import Content

from omni_tui.face.approval.card_body import CardBody, head_lines, labelled, labelled_rows
from omni_tui.face.approval.pending_item import DECISION_KEYS, KeyRows, PendingItem, PersonVerdict
from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.formats import counted
from omni_tui.face.overview import plan_key
from omni_tui.face.widgets.lines_view import wrap, wrap_rows
from omni_tui.protocol import AnyCommand, AnyEvent, JsonText, SafeText
from omni_tui.protocol.plan import (
    DecidePlan,
    EditPlan,
    PlanDecided,
    PlanEnded,
    PlanPhase,
    PlanProposed,
    PlanTask,
)
from omni_tui.security.text import safe, safe_line

_LIMIT = 200_000
_SIDE = "  "
_UNDER = "     "
_CALLS = {
    "": "",
    "ask": " · each of their calls needs your approval",
    "deny": " · the policy denies their calls",
    "allow": " · approving it allows their calls too; destructive ones still need your approval",
}


class PendingPlanItem(PendingItem):
    """A plan in the queue."""

    noun = "plan"
    unanswered = "then it is not carried out"
    exact_label = "exactly as it is carried out"
    why_not_in_batch = "a plan is decided on by itself"
    keys: KeyRows = DECISION_KEYS

    def __init__(self, event: PlanProposed) -> None:
        tasks = sum(len(phase.tasks) for phase in event.phases)
        super().__init__(plan_key(event.plan), event)
        self.server, self.complete = "plan", True
        self.label = safe_line(f"{counted(len(event.phases), 'phase')}, {counted(tasks, 'task')}")
        self.arguments = safe(event.plan_json, limit=_LIMIT, joined=False)
        self.arguments_json = event.plan_json
        self.event = event

    @property
    def name(self) -> str:
        """What it is, and how large."""
        return f"{visible_identifier(self.server)} · {visible(self.label)}"

    @property
    def edit_title(self) -> str:
        """What the editor says it edits."""
        return f"edit the {self.name}"

    @cached_property
    def headline(self) -> SafeText:
        """The beginning of the analysis."""
        return safe_line(" ".join(self.event.analysis[:400].split()), limit=200)

    @property
    def copy_text(self) -> tuple[str, str]:
        """The plan."""
        return self.arguments_json, "the plan"

    def chip(self) -> Content:
        """Draw what it is."""
        parts = [Content.styled(" PLAN ", "bold $on-colour on $mine")]
        if self.edited:
            parts.append(Content.styled(" EDITED ", "bold $on-colour on $mine"))
        if self.event.replaces:
            parts.append(Content.styled(" NEW PLAN ", "bold $on-colour on $waiting"))
        return Content(" ").join(parts)

    def body(self, width: int) -> CardBody:
        """Draw the parts of its card."""
        head = head_lines(Content.styled(f"plan · {self.label}", "bold $text-1"), self.chip(), width)
        head += self.deadline_lines(width)
        drawn: list[Content] = []
        for label, text in (("new plan", self.event.why), ("analysis", self.event.analysis)):
            if text.strip():
                drawn += labelled_rows(label, visible(text, lines=True), width)
        for number, phase in enumerate(self.event.phases, 1):
            drawn += [Content(""), *_phase(number, phase, width)]
        words = f"all of it shown · agents use only these tools{_CALLS[self.event.calls]}"
        return CardBody(head, drawn, wrap(Content.styled(words, "$text-2"), width), [], [])

    def changed_by(self, event: AnyEvent) -> bool:
        """Whether after this event it is not what it was, or no longer waits."""
        match event:
            case PlanProposed(plan=plan, digest=digest):
                return plan == self.event.plan and digest != self.digest
            case PlanDecided(plan=plan) | PlanEnded(plan=plan):
                return plan == self.event.plan
            case _:
                return False

    def decision(self, digest: str, verdict: PersonVerdict, feedback: str) -> AnyCommand | None:
        """Return the command of a decision; the engine does not know of deferring a plan."""
        if verdict in ("approve", "reject"):
            return DecidePlan(plan=self.event.plan, digest=digest, verdict=verdict, feedback=feedback)
        return None

    def edit(self, content: JsonText) -> AnyCommand:
        """Return the command that puts another plan in its place."""
        return EditPlan(plan=self.event.plan, digest=self.digest, plan_json=content)


def _phase(number: int, phase: PlanPhase, width: int) -> list[Content]:
    title = Content.styled(f"{number} {visible(phase.title)}", "bold $text-1")
    count = Content.styled(f"  {counted(len(phase.tasks), 'task')}", "$text-3")
    lines = wrap(title + count, width)
    for at, task in enumerate(phase.tasks):
        lines += _task(task, width, last=at == len(phase.tasks) - 1)
    return lines


def _task(task: PlanTask, width: int, *, last: bool) -> list[Content]:
    branch, under = ("└ ", "  ") if last else ("├ ", "│ ")
    room = max(8, width - len(_UNDER))
    after = ", ".join(visible(each) for each in task.after)
    name = Content.assemble(
        (f"{visible(task.id)} ", "$mine"), (visible(task.title), "$text-1"),
        (f"  after {after}" if after else "", "$text-2"),
    )  # fmt: skip
    inner = wrap(name, room)
    if task.goal.strip() and task.goal.strip() != task.title.strip():
        inner += [Content.styled(row, "$text-2") for row in wrap_rows(visible(task.goal, lines=True), room)]
    # A tool is written server/tool: a server is named only if none of its tools is.
    servers = [name for name in task.servers if not any(t.startswith(f"{name}/") for t in task.tools)]
    for label, names in (("servers", servers), ("tools", task.tools)):
        words = ", ".join(visible(each) for each in names)
        if words:
            inner += labelled(label, (words, "$waiting"), width=room, style="$text-3")
    if not task.tools and not task.servers:
        inner.append(Content.styled("no tools: it can only think and write", "$text-3"))
    first = Content.styled(f"{_SIDE}{branch}", "$text-3")
    rest = Content.styled(f"{_SIDE}{under}", "$text-3")
    return [(first if at == 0 else rest) + line for at, line in enumerate(inner)]
