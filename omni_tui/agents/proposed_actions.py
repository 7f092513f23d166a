"""The short list of what a model is about to do, from its own answer."""

from __future__ import annotations

from collections.abc import Sequence

from omni_tui.models.base import Message, ToolSpec
from omni_tui.models.builtin_tool_specs import BUILTIN_TOOL_NAMES
from omni_tui.protocol.goals import ActionsProposed, ProposedAction
from omni_tui.security.text import safe_line

MOST = 32
_INTENT = 300
_ARGUMENTS = 120


def actions_proposed(
    turn: str, message: Message, tools: Sequence[ToolSpec], *, agent: str = "root"
) -> ActionsProposed | None:
    """Return what an answer proposes to do, None if it calls no server.

    The intent is the answer's first paragraph, and nothing if it has no text.
    """
    calls = [call for call in message.calls if call.name not in BUILTIN_TOOL_NAMES]
    if not calls:
        return None
    labels = {tool.name: tool.shown for tool in tools}
    first = message.text.strip().partition("\n\n")[0]
    return ActionsProposed(
        turn=turn,
        intent=safe_line(" ".join(first.split()), limit=_INTENT),
        actions=tuple(
            ProposedAction(
                label=safe_line(labels.get(call.name, call.name)),
                arguments=safe_line(" ".join(call.arguments[:2_000].split()), limit=_ARGUMENTS),
            )
            for call in calls[:MOST]
        ),
        agent=agent,
    )
