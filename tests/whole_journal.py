"""The conversation that a whole journal tells, turn by turn: what a session must know again when it opens.

It is worked out here in another way than the engine does it, which forgets turns that are over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from omni_tui.engine.conversation import Conversation, conversation_from
from omni_tui.engine.session_fold import SessionFold
from omni_tui.protocol import AnyEvent, Mode
from omni_tui.protocol.context import ContextSummarised
from omni_tui.protocol.events import (
    ModeChanged,
    ModelMessage,
    SessionOpened,
    TurnStarted,
    UsageChanged,
    UserMessage,
)


def fold_of(events: Sequence[AnyEvent]) -> SessionFold:
    """Return what events come to."""
    fold = SessionFold()
    fold.take_all(events)
    return fold


def whole_conversation(events: Sequence[AnyEvent]) -> Conversation:
    """Return the conversation with all its turns, also those that are over."""
    found = conversation_from(list(events))
    found.modes, found.steps, found.used, found.summaries = _modes(events), Counter(), {}, []
    for event in events:
        if isinstance(event, ContextSummarised):
            found.summaries.append(event)
        elif isinstance(event, ModelMessage) and event.agent == "root":
            found.steps[event.turn] += event.role == "assistant"
        elif isinstance(event, UsageChanged):
            found.spent(event)
    return found


def _modes(events: Sequence[AnyEvent]) -> dict[str, Mode]:
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
