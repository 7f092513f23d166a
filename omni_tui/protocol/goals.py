"""What an agent is about to do in chat, and the goal of an autonomous turn with its parts."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Journalled
from omni_tui.protocol.text import SafeText

GoalState = Literal["open", "reached", "not_reached", "not_checked"]


class ProposedAction(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the model proposes: the tool's name for people, and its arguments in one line."""

    label: SafeText
    arguments: SafeText = SafeText("")


class ActionsProposed(Journalled):
    """What the model said that it is about to do, before any of these calls is decided.

    `intent` is the beginning of its own words, "" if it gave none. Nothing in it is ours.
    """

    turn: str
    intent: SafeText
    actions: tuple[ProposedAction, ...]
    agent: str = "root"


class GoalPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a goal. `calls` are ids of calls of the turn that show its state.

    `open`: the model has not judged it yet. In a report it is `not_checked` then, as it is where no call
    that succeeded shows that it was reached.
    """

    text: SafeText
    state: GoalState = "open"
    calls: tuple[str, ...] = ()


class GoalStated(Journalled):
    """The goal of a turn of auto or orchestrator: the person's words, and the parts that they listed."""

    turn: str
    goal: SafeText
    parts: tuple[SafeText, ...]


class GoalTracked(Journalled):
    """What the model says of the goal's parts. `calls` of a part are as the model named them."""

    turn: str
    parts: tuple[GoalPart, ...]
    agent: str = "root"
