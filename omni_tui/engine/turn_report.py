"""What an autonomous turn did, from the journal's own tables."""

from __future__ import annotations

from collections import Counter

from omni_tui.memory import Journal, call_table
from omni_tui.protocol.conversation import ReportedCall, RunReport
from omni_tui.protocol.events import Usage
from omni_tui.security.identifiers import identifier

MOST = 200


async def turn_report(journal: Journal, turn: str, elapsed_s: float, usage: Usage) -> RunReport | None:
    """Return the report of a turn, None if it made no call."""
    rows = await journal.run(lambda tx: call_table.of_turn(tx, turn))
    if not rows:
        return None
    shown = sorted(rows, key=lambda row: row[3] == "succeeded")[:MOST]
    return RunReport(
        turn=turn,
        states=dict(Counter(state for *_, state in rows)),
        calls=tuple(
            ReportedCall(call=call, server=server, label=identifier(tool), state=state)
            for call, server, tool, state in shown
        ),
        elapsed_s=elapsed_s,
        tokens=usage.input + usage.output,
        cost=usage.cost,
    )
