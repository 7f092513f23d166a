"""Print events on a terminal without a face: as lines of JSON, or as text."""

from __future__ import annotations

from omni_tui.cli.output import print_note, print_result, shortened
from omni_tui.protocol import AnyEvent, encode_record
from omni_tui.protocol.conversation import RunReport
from omni_tui.protocol.deciders import decided_by, outcome_words
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
from omni_tui.protocol.loaded import CallLoaded, NoteLoaded, SessionLoaded
from omni_tui.protocol.models import ModelFellBack
from omni_tui.protocol.plan import PlanDecided, PlanEnded, PlanProposed, PlanTaskChanged
from omni_tui.protocol.rules import RuleAdded, RuleRevoked
from omni_tui.security.text import safe_line

_MARKS = {"running": "▶", "done": "✓", "failed": "✗", "skipped": "–", "stopped": "■", "waiting": "·"}


def print_event_json(event: AnyEvent) -> None:
    """Print a public event as one line of JSON."""
    if event.public:
        print_result(encode_record(event).decode().rstrip("\n"))


class TextPrinter:
    """Streams the answer on stdout and prints everything else on stderr, also the answers of sub-agents."""

    def __init__(self) -> None:
        self._streamed: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._titles: dict[str, str] = {}

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
        if isinstance(event, CallProposed | CallFinished | CallChanged):
            return self._call_remark(event)
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
        if isinstance(event, RunReport | TurnEnded):
            return _of_turn(event)
        if isinstance(event, RuleAdded):
            return f"+ rule {safe_line(event.id)}: {event.sentence}"
        if isinstance(event, RuleRevoked):
            return f"- rule {safe_line(event.id)} is revoked"
        return self._plan_remark(event)

    def saved(self, event: AnyEvent) -> str:
        """Return the text for an event of a saved session, "" if it needs none."""
        if isinstance(event, UserMessage):
            with_it = "".join(f"\n> [{one.server} › {one.label}]" for one in event.attachments)
            return f"\n> {event.text}{with_it}"
        if isinstance(event, Answer):
            return f"\n{_of(event.agent)}{event.text}\n"
        if isinstance(event, SessionLoaded | CallLoaded | NoteLoaded):
            return _loaded(event)
        return self.remark(event)

    def _call_remark(self, event: CallProposed | CallFinished | CallChanged) -> str:
        if isinstance(event, CallProposed):
            self._labels[event.call] = f"{event.server}.{event.label}"
            return f"→ {_of(event.agent)}{self._labels[event.call]} {_one_line(event.arguments)}"
        if isinstance(event, CallFinished):
            mark = "←" if event.state == "succeeded" else "✗"
            text = event.reason or next((part.text for part in event.parts if part.text), event.state)
            return f"{mark} {self._labels.get(event.call, '')} {_one_line(text)}"
        if event.state in {"approved", "dispatching", "pending"}:
            return ""
        words = safe_line(outcome_words(event.state, event.decider), limit=200)
        return f"✗ {self._labels.get(event.call, '')} {words}{_because(event.feedback or event.reason)}"

    def _plan_remark(self, event: AnyEvent) -> str:
        if isinstance(event, PlanProposed):
            return self._tree(event)
        if isinstance(event, PlanDecided):
            by = safe_line(decided_by(event.decider) or " by you", limit=100)
            return f"The plan was {event.verdict}{by}{_because(event.feedback)}"
        if isinstance(event, PlanTaskChanged):
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            title = self._titles.get(event.agent, event.task)
            mark = _MARKS[event.state]
            return f"{mark} [{event.agent}] {title}: {event.state}{again}{_because(event.reason)}"
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


def _loaded(event: SessionLoaded | CallLoaded | NoteLoaded) -> str:
    if isinstance(event, SessionLoaded):
        return f"(all of this was loaded from {event.file}; nothing in it is sent again)"
    if isinstance(event, NoteLoaded):
        return f"· {event.text}"
    name = _of(event.agent) + (f"{event.server}.{event.label}" if event.server else event.label)
    text = event.reason or next((part.text for part in event.parts if part.text), event.state)
    mark = "←" if event.state == "succeeded" else "✗"
    return f"→ {name} {_one_line(event.arguments)}\n{mark} {name} {_one_line(text)}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _of_turn(event: RunReport | TurnEnded) -> str:
    if isinstance(event, TurnEnded):
        return _ended(event)
    from omni_tui.conversations.notes import note_of

    told = note_of(event)
    return told.text if told is not None else ""


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


def _one_line(text: str) -> str:
    return shortened(" ".join(text.split()), 200)
