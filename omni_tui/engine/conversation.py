"""The conversation of a session, read from its journal: messages, and the turn that was cut off."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field

from omni_tui.agents import PlanState
from omni_tui.models import history_from
from omni_tui.models.base import Message
from omni_tui.protocol import AnyEvent, Mode, SafeText
from omni_tui.protocol.context import ContextSummarised
from omni_tui.protocol.events import (
    ModeChanged,
    ModelMessage,
    SessionOpened,
    SessionTitled,
    Steered,
    TurnEnded,
    TurnStarted,
    TurnStatus,
    Usage,
    UsageChanged,
    UserMessage,
)
from omni_tui.security.text import safe_line

TITLE_WIDTH = 48
"""Characters of a session's title."""


@dataclass(slots=True)
class Conversation:
    """Everything the model was told and has said, and where the last turn stands.

    Of a turn that was cut off: its id (`unfinished`), the state of its plan, and the message the model
    has not had yet (`untold`). `queued` are the messages behind it, by turn.
    """

    messages: list[Message]
    titled: bool = False
    unfinished: str = ""
    ended: TurnStatus | None = None
    """How the last turn ended, None before the first."""
    modes: dict[str, Mode] = field(default_factory=dict)
    """The mode in which each message was sent, by turn."""
    progress: PlanState = field(default_factory=PlanState)
    untold: str = ""
    queued: dict[str, str] = field(default_factory=dict)
    steps: Counter[str] = field(default_factory=Counter)
    used: dict[str, Usage] = field(default_factory=dict)
    """What each turn has used so far."""
    summaries: list[ContextSummarised] = field(default_factory=list)

    def spent(self, event: UsageChanged) -> None:
        """Add what a request used to its turn."""
        so_far, more = self.used.get(event.turn, Usage()), event.usage
        cost = None if so_far.cost is None and more.cost is None else (so_far.cost or 0) + (more.cost or 0)
        self.used[event.turn] = Usage(
            input=so_far.input + more.input,
            output=so_far.output + more.output,
            cached=so_far.cached + more.cached,
            cost=cost,
            estimated=so_far.estimated or more.estimated,
        )


def title_of(text: str) -> SafeText:
    """Return a session's title: the first words of its first message, on one line."""
    words = textwrap.shorten(text[: 10 * TITLE_WIDTH], TITLE_WIDTH, placeholder=" …")
    if words in ("", "…"):  # its first word alone is longer
        words = text.strip()[: TITLE_WIDTH - 1] + "…"
    return safe_line(words, joined=True)


def conversation_from(events: list[AnyEvent]) -> Conversation:
    """Return the conversation that a journal tells."""
    conversation = Conversation(messages=history_from(events), modes=_modes(events))
    for event in events:
        if isinstance(event, SessionTitled):
            conversation.titled = True
        elif isinstance(event, ContextSummarised):
            conversation.summaries.append(event)
        elif isinstance(event, ModelMessage) and event.agent == "root":
            conversation.steps[event.turn] += event.role == "assistant"
        elif isinstance(event, UsageChanged):
            conversation.spent(event)
        _follow(conversation, event)
    if conversation.queued and not conversation.unfinished:
        conversation.unfinished = next(iter(conversation.queued))
        conversation.queued.pop(conversation.unfinished)
    if conversation.unfinished:
        _take_up(conversation, events)
    return conversation


def _modes(events: list[AnyEvent]) -> dict[str, Mode]:
    """Return the mode of each turn; journals of earlier versions have it in the mode changes."""
    modes: dict[str, Mode] = {}
    now: Mode = "chat"
    for event in events:
        if isinstance(event, SessionOpened | ModeChanged):
            now = event.mode
        elif isinstance(event, UserMessage):
            modes[event.turn] = event.mode or now
        elif isinstance(event, TurnStarted) and event.agent == "root":
            modes[event.turn] = event.mode
    return modes


def _retold(event: UserMessage) -> str:
    """Return a message as the model gets it that had not got it before the app ended.

    Attachments are journalled only when the model gets them, so they are missing here, and it says so.
    """
    if not event.attachments:
        return event.words
    names = ", ".join(f"{each.server} › {each.label}" for each in event.attachments)
    lost = f"attached to this message, and lost when the app ended before it was sent: {names}"
    return f"{event.words}\n\n[Omni TUI: {lost}. Read it again if you can, or ask for it.]"


def _follow(conversation: Conversation, event: AnyEvent) -> None:
    """Keep which turn runs, and which messages wait behind it."""
    if isinstance(event, UserMessage):
        conversation.queued[event.turn] = _retold(event)
    elif isinstance(event, TurnStarted):
        conversation.queued.pop(event.turn, None)
        conversation.unfinished = event.turn
    elif isinstance(event, Steered):
        conversation.queued.pop(event.by, None)
    elif isinstance(event, TurnEnded) and event.status != "parked":
        conversation.queued.pop(event.turn, None)
        conversation.ended = event.status
        if conversation.unfinished == event.turn:
            conversation.unfinished = ""


def _take_up(conversation: Conversation, events: list[AnyEvent]) -> None:
    """Read what belongs to the turn that was cut off."""
    turn = conversation.unfinished
    conversation.progress = PlanState(turn)
    for event in events:
        conversation.progress.apply(event)
        if isinstance(event, UserMessage) and event.turn == turn:
            conversation.untold = _retold(event)
        elif isinstance(event, ModelMessage) and (event.turn, event.agent, event.role) == (
            turn,
            "root",
            "user",
        ):
            conversation.untold = ""
