"""The goal of an autonomous turn: its parts in the person's words, and what the model says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast, get_args

from omni_tui.agents.agent_host import ToolOutcome
from omni_tui.agents.turn_writer import TurnWriter
from omni_tui.protocol.goals import GoalPart, GoalState, GoalStated, GoalTracked
from omni_tui.security.text import safe, safe_line

MOST_PARTS = 20
_GOAL = 2_000
_PART = 300
_CALLS = 20
_NAME = 200
_ITEM = re.compile(r"[ \t]{0,12}(?:[-*•]|\d{1,3}[.)])[ \t]+(\S.*)")
_STATES = frozenset(get_args(GoalState)) - {"not_checked"}


def goal_stated(turn: str, words: str) -> GoalStated:
    """Return the goal of a turn. Its parts are the items of the person's list; without one, the whole."""
    items = [found[1] for line in words.splitlines() if (found := _ITEM.match(line))]
    parts = items[:MOST_PARTS] if len(items) > 1 else [words]
    return GoalStated(
        turn=turn,
        goal=safe(words.strip(), limit=_GOAL),
        parts=tuple(safe_line(" ".join(part.split()), limit=_PART) for part in parts),
    )


async def track_goal(writer: TurnWriter, arguments: Mapping[str, object]) -> ToolOutcome:
    """Journal what the model says of the parts of its goal. Nothing is believed before the report."""
    given = arguments.get("parts")
    parts = [_part(each) for each in given[:MOST_PARTS]] if isinstance(given, Sequence) else []
    if isinstance(given, str) or not parts or None in parts:
        what = "`parts` must be a list of objects with `text` and `state`: open, reached or not_reached."
        return ToolOutcome(what, "invalid")
    known = tuple(part for part in parts if part is not None)
    await writer.commit(GoalTracked(turn=writer.turn, parts=known, agent=writer.agent))
    unshown = [part.text for part in known if part.state == "reached" and not part.calls]
    if unshown:
        return ToolOutcome(f"Noted. Name in `calls` the calls that show: {'; '.join(unshown)}", "done")
    return ToolOutcome("Noted.", "done")


def _part(value: object) -> GoalPart | None:
    if not isinstance(value, Mapping):
        return None
    text, state, calls = value.get("text"), value.get("state", "open"), value.get("calls", [])
    if not isinstance(text, str) or not text.strip() or state not in _STATES or not isinstance(calls, list):
        return None
    names = tuple(str(safe_line(each, limit=_NAME)) for each in calls[:_CALLS] if isinstance(each, str))
    line = safe_line(" ".join(text.split()), limit=_PART)
    return GoalPart(text=line, state=cast("GoalState", state), calls=names)
