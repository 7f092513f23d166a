"""Print events on a terminal without a face: as lines of JSON, or as text."""

from __future__ import annotations

from omni_tui.cli.output import print_frame, print_note, print_result
from omni_tui.protocol import AnyEvent, encode_record
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    AwaitingTools,
    CallChanged,
    CallFinished,
    CallProposed,
    Notice,
    Retrying,
    Thought,
    TurnEnded,
    UserMessage,
)
from omni_tui.protocol.models import ModelFellBack
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged

_MARKS = {"running": "▶", "done": "✓", "failed": "✗", "skipped": "–", "stopped": "■", "waiting": "·"}


class PlanPrinter:
    """Text for the events of plans: a tree when one is proposed, a line for each change."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}

    def remark(self, event: AnyEvent) -> str:
        """Return the text for an event, "" if it is not about a plan."""
        if isinstance(event, PlanProposed):
            return self._tree(event)
        if isinstance(event, PlanDecided):
            by = {
                "user": "you",
                "policy": "the policy",
                "stop": "stopping the run",
                "headless": "default, since nobody can approve it",
            }
            said = f": {event.feedback}" if event.feedback else ""
            return f"The plan was {event.verdict} by {by.get(event.decider, event.decider)}{said}"
        if isinstance(event, PlanTaskChanged):
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            title = self._titles.get(event.agent, event.task)
            why = f": {event.reason}" if event.reason else ""
            return f"{_MARKS[event.state]} [{event.agent}] {title}: {event.state}{again}{why}"
        if isinstance(event, PlanEnded):
            counts = f"{event.done} done, {event.failed} failed, {event.skipped} skipped"
            return f"The plan ended: {counts}" + (f" ({event.reason})" if event.reason else "")
        return ""

    def _tree(self, plan: PlanProposed) -> str:
        lines = [f"Plan: {plan.analysis}"]
        if plan.why:
            lines.append(f"  replaces the previous plan, because {plan.why}")
        for number, phase in enumerate(plan.phases, 1):
            lines.append(f"  {number}. {phase.title}")
            for task in phase.tasks:
                self._titles[task.agent] = task.title
                after = f" after {', '.join(task.after)}" if task.after else ""
                tools = ", ".join(task.tools) or "no tools"
                lines.append(f"     {task.id} {task.title}{after} ({tools})")
        return "\n".join(lines)


class JsonPrinter:
    """Prints every public event as one line of JSON."""

    def print(self, event: AnyEvent) -> None:
        """Print an event."""
        if event.public:
            print_frame(encode_record(event))


class TextPrinter:
    """Streams the answer on stdout and prints everything else on stderr, also the answers of sub-agents."""

    def __init__(self) -> None:
        self._streamed: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._plans = PlanPrinter()

    def print(self, event: AnyEvent) -> None:
        """Print an event, if a person needs it."""
        if isinstance(event, Answer | AnswerDelta) and event.agent != "root":
            if isinstance(event, Answer):
                print_note(f"[{event.agent}] {_one_line(event.text)}")
        elif isinstance(event, AnswerDelta):
            self._streamed[event.message] = self._streamed.get(event.message, "") + event.text
            print_result(event.text, end="")
        elif isinstance(event, Answer):
            self._finish(event)
        elif remark := self.remark(event):
            print_note(remark)

    def _finish(self, answer: Answer) -> None:
        """Print what was not streamed; deltas may be lost or corrected."""
        streamed = self._streamed.pop(answer.message, "")
        if answer.text.startswith(streamed):
            print_result(answer.text.removeprefix(streamed))
        else:
            print_result(f"\n{answer.text}")
        if answer.label:
            print_note(f"[{answer.label}]")

    def remark(self, event: AnyEvent) -> str:
        """Return a line about an event, "" if it needs none."""
        if isinstance(event, Thought):
            return f"· {_of(event.agent)}{event.text}"
        if isinstance(event, CallProposed):
            self._labels[event.call] = f"{event.server}.{event.label}"
            return f"→ {_of(event.agent)}{self._labels[event.call]} {_one_line(event.arguments)}"
        if isinstance(event, CallFinished):
            mark = "←" if event.state == "succeeded" else "✗"
            said = event.reason or next((part.text for part in event.parts if part.text), event.state)
            return f"{mark} {self._labels.get(event.call, '')} {_one_line(said)}"
        if isinstance(event, CallChanged):
            return self._decided(event)
        if isinstance(event, Retrying):
            return f"… {event.reason}; retrying in {event.delay_s:.0f} s ({event.attempt} of {event.of})"
        if isinstance(event, ModelFellBack):
            return f"! {event.to} answers instead of {event.model}: {event.reason}"
        if isinstance(event, Notice) and event.level != "info":
            return " ".join(
                part for part in (f"{event.level}: {event.what}", event.why, event.todo) if part
            )
        if isinstance(event, AwaitingTools) and event.servers:
            return f"… waiting for the tools of {', '.join(event.servers)}"
        if isinstance(event, TurnEnded):
            return _ended(event)
        return self._plans.remark(event)

    def saved(self, event: AnyEvent) -> str:
        """Return the text for an event of a saved session, "" if it needs none."""
        if isinstance(event, UserMessage):
            with_it = "".join(f"\n> [{one.server} › {one.label}]" for one in event.attachments)
            return f"\n> {event.text}{with_it}"
        if isinstance(event, Answer):
            return f"\n{_of(event.agent)}{event.text}\n"
        return self.remark(event)

    def _decided(self, event: CallChanged) -> str:
        if event.state in {"approved", "dispatching", "pending"}:
            return ""
        why = f": {event.reason}" if event.reason else ""
        return f"✗ {self._labels.get(event.call, '')} {event.state}{why}"


def _ended(event: TurnEnded) -> str:
    lines = []
    if event.status != "done" or event.reason:
        lines.append(f"{event.status}: {event.reason} {event.todo}".rstrip())
    if event.missing:
        names = ", ".join(event.missing)
        lines.append(f"! the model did not have the tools of {names}: still connecting")
    return "\n".join(lines)


def _of(agent: str) -> str:
    return "" if agent == "root" else f"[{agent}] "


def _one_line(text: str, limit: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
