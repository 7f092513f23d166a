"""The conversation of a session, read from its journal: messages, and the turn that was cut off."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field

from omni_tui.agents import PlanState
from omni_tui.engine.model_history import ModelHistory
from omni_tui.engine.session_fold import SessionFold, added, retold
from omni_tui.memory import Journal
from omni_tui.models.base import Message
from omni_tui.models.summary import left_out_message
from omni_tui.protocol import AnyEvent, Mode, SafeText
from omni_tui.protocol.context import ContextSummarised
from omni_tui.protocol.events import (
    ModelMessage,
    SessionRewound,
    Steered,
    TurnStatus,
    Usage,
    UsageChanged,
    UserMessage,
)
from omni_tui.security.text import safe_line

TITLE_WIDTH = 48
"""Characters of a session's title."""
_READ = 2_000
_TOLD = (ModelMessage, Steered, SessionRewound)


@dataclass(slots=True)
class Conversation:
    """Everything the model was told and has said, and where the last turn stands.

    Of a turn that was cut off: its id (`unfinished`), the state of its plan, and the message the model
    has not had yet (`untold`). `queued` are the messages behind it, by turn.
    """

    history: ModelHistory
    titled: bool = False
    unfinished: str = ""
    ended: TurnStatus | None = None
    """How the last turn ended, None before the first."""
    modes: dict[str, Mode] = field(default_factory=dict)
    """The mode in which the message of each open turn was sent."""
    progress: PlanState = field(default_factory=PlanState)
    untold: str = ""
    queued: dict[str, str] = field(default_factory=dict)
    steps: Counter[str] = field(default_factory=Counter)
    used: dict[str, Usage] = field(default_factory=dict)
    """What each open turn has used so far."""
    summaries: list[ContextSummarised] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """What the model knows, oldest first."""
        return self.history.messages

    def rewound(self) -> None:
        """Take note that the last turns are forgotten: nothing of them can be continued."""
        self.unfinished, self.untold, self.ended = "", "", None
        self.queued = {}

    def spent(self, event: UsageChanged) -> None:
        """Add what a request used to its turn."""
        self.used[event.turn] = added(self.used.get(event.turn, Usage()), event.usage)


def title_of(text: str) -> SafeText:
    """Return a session's title: the first words of its first message, on one line."""
    words = textwrap.shorten(text[: 10 * TITLE_WIDTH], TITLE_WIDTH, placeholder=" …")
    if words in ("", "…"):  # its first word alone is longer
        words = text.strip()[: TITLE_WIDTH - 1] + "…"
    return safe_line(words, joined=True)


def conversation_left(fold: SessionFold, history: ModelHistory, left: list[AnyEvent]) -> Conversation:
    """Return the conversation of a session that is opened again.

    `history` are the messages of its models, `left` the events since the first of the turn to continue.
    """
    queued, turns = dict(fold.queued), fold.turns.items()
    conversation = Conversation(
        history=history,
        titled=fold.titled,
        unfinished=fold.turn_left(),
        ended=fold.ended,
        modes={turn: each.mode for turn, each in turns},
        queued=queued,
        steps=Counter({turn: each.steps for turn, each in turns if each.steps}),
        used={turn: each.used for turn, each in turns},
        summaries=list(fold.summaries),
    )
    if conversation.unfinished:
        if not fold.unfinished:
            queued.pop(conversation.unfinished)
        _take_up(conversation, left)
    return conversation


def conversation_from(events: list[AnyEvent]) -> Conversation:
    """Return the conversation that a journal with these events tells when it is opened."""
    fold, history = SessionFold(), ModelHistory()
    fold.take_all(events)
    for event in events:
        history.take(event)
    return conversation_left(fold, history, events)


async def read_history(journal: Journal, fold: SessionFold) -> ModelHistory:
    """Return the messages of a session's root agent, of a very long conversation the last ones.

    Raises `JournalBroken`.
    """
    history = ModelHistory()
    if fold.left_out:
        summary = fold.left_summary
        history.messages.append(left_out_message(fold.left_out, summary.text if summary else ""))
    after = fold.conversation_since - 1
    while page := await journal.read_only(_TOLD, after, fold.seq, _READ):
        for event in page:
            history.take(event)
        after = page[-1].seq
    return history


def _take_up(conversation: Conversation, events: list[AnyEvent]) -> None:
    """Read what belongs to the turn that was cut off."""
    turn = conversation.unfinished
    conversation.progress = PlanState(turn)
    for event in events:
        conversation.progress.apply(event)
        if isinstance(event, UserMessage) and event.turn == turn:
            conversation.untold = retold(event)
        elif isinstance(event, ModelMessage) and (event.turn, event.agent, event.role) == (
            turn,
            "root",
            "user",
        ):
            conversation.untold = ""
