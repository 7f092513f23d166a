"""The report of a turn, from its journal: goal, calls, failures, what is open. No model writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from omni_tui.memory import SealBroken, Transaction, call_table
from omni_tui.protocol import ProtocolError, decode_event
from omni_tui.protocol.conversation import ReportedCall, RunReport
from omni_tui.protocol.events import TurnEnded, Usage
from omni_tui.protocol.goals import GoalPart, GoalStated, GoalTracked
from omni_tui.protocol.text import SafeText
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe_line
from omni_tui.tools.tool_names import model_name

_MOST_CALLS = 200
_MOST_OPEN = 20
_DONE = ("succeeded", "cached")
_OPEN = {
    "pending": "waits for approval",
    "held": "waits for approval",
    "approved": "is approved and not sent",
    "dispatching": "was cut off",
    "uncertain": "may or may not have been carried out",
}
"""States of calls that leave something open, in words."""


def turn_report(tx: Transaction, *, ended: TurnEnded, elapsed_s: float, usage: Usage) -> RunReport:
    """Return the report of a turn that is about to end."""
    rows = call_table.of_turn(tx, ended.turn)
    goal, parts = _goal(tx, ended.turn, rows)
    shown = sorted(rows, key=lambda row: row.state in _DONE)[:_MOST_CALLS]
    return RunReport(
        turn=ended.turn,
        states=dict(Counter(row.state for row in rows)),
        calls=tuple(
            ReportedCall(call=row.call, server=row.server, label=identifier(row.tool), state=row.state)
            for row in shown
        ),
        elapsed_s=elapsed_s,
        tokens=usage.input + usage.output,
        cost=usage.cost,
        goal=goal,
        parts=parts,
        open=_left_open(ended, rows),
    )


def _left_open(ended: TurnEnded, rows: Sequence[call_table.TurnCall]) -> tuple[SafeText, ...]:
    left = [
        safe_line(f"{identifier(row.server)} › {identifier(row.tool)} {_OPEN[row.state]}")
        for row in rows
        if row.state in _OPEN
    ]
    if ended.status != "done":
        left.insert(0, safe_line(f"the turn did not end by itself: {ended.reason}"))
    return tuple(left[:_MOST_OPEN])


def _goal(
    tx: Transaction, turn: str, rows: Sequence[call_table.TurnCall]
) -> tuple[SafeText, tuple[GoalPart, ...]]:
    """Return the goal and its parts, each checked against the calls of the turn."""
    stated: GoalStated | None = None
    tracked: GoalTracked | None = None
    for event in _events(tx):
        if event.turn != turn:
            continue
        if isinstance(event, GoalStated):
            stated = stated or event
        elif event.agent == "root":
            tracked = event
    if stated is None:
        return SafeText(""), ()
    parts = tracked.parts if tracked is not None else tuple(GoalPart(text=text) for text in stated.parts)
    return stated.goal, tuple(checked_part(part, rows) for part in parts)


def checked_part(part: GoalPart, rows: Sequence[call_table.TurnCall]) -> GoalPart:
    """Return a part as the journal bears it out: reached only where a call that succeeded shows it."""
    named = [
        row
        for row in rows
        if any(
            name in (row.call, row.provider_call_id, row.tool, model_name(row.server, row.tool))
            for name in part.calls
        )
    ]
    calls = tuple(row.call for row in named)
    if part.state == "reached" and any(row.state in _DONE for row in named):
        return GoalPart(text=part.text, state="reached", calls=calls)
    if part.state == "not_reached":
        return GoalPart(text=part.text, state="not_reached", calls=calls)
    return GoalPart(text=part.text, state="not_checked", calls=calls)


def _events(tx: Transaction) -> list[GoalStated | GoalTracked]:
    """Return the events about goals; one that cannot be read is left out."""
    kinds = [str(kind.__struct_config__.tag) for kind in (GoalStated, GoalTracked)]
    found: list[GoalStated | GoalTracked] = []
    for seq, body in tx.execute("SELECT seq, body FROM events WHERE type IN (?, ?) ORDER BY seq", kinds):
        try:
            event = decode_event(tx.open(body, f"events/{seq}/body"))
        except (SealBroken, ProtocolError):
            continue
        if isinstance(event, GoalStated | GoalTracked):
            found.append(event)
    return found
