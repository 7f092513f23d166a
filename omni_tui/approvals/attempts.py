"""What carries over from an attempt that the server refused unseen to the next one."""

from __future__ import annotations

from dataclasses import replace

from omni_tui.approvals.cards import Card, request_approval
from omni_tui.approvals.queue import OpenCall
from omni_tui.approvals.subject import Subject
from omni_tui.memory import CallRow, Tx, calls
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CallChanged, CallState
from omni_tui.security.text import safe

CHANGED = "the tool or its server changed while the server refused the first attempt"


def further(item: OpenCall, subject: Subject, *, headless: bool) -> tuple[CallRow, Card]:
    """Return a call as its next attempt: approved if all is as it was, else put before the person."""
    row = replace(item.row, attempt=item.row.attempt + 1, nonce="", state="approved")
    if (row.server_fp, row.def_hash) == (subject.server_fp, subject.def_hash):
        return row, item.card
    state: CallState = "withheld" if headless else "held"
    row = replace(row, state=state, server_fp=subject.server_fp, def_hash=subject.def_hash)
    return row, replace(item.card, subject=subject, why=(CHANGED,), held=True)


def announced(row: CallRow, card: Card, digest: str) -> AnyEvent:
    """Return the event that says where the next attempt stands."""
    if row.state == "held":
        return request_approval(card, row, digest)
    reason = safe(CHANGED) if row.state == "withheld" else safe("sent again with a new token")
    decider = "headless" if row.state == "withheld" else row.decider
    return CallChanged(call=row.call, state=row.state, decider=decider, reason=reason, attempt=row.attempt)


def enter(tx: Tx, row: CallRow) -> None:
    """Make the next attempt in the table. Raises `CallMoved` if the attempt before it is not under way."""
    calls.move(tx, row.call, "approved", expect=("dispatching",), attempt=row.attempt)
    if row.state != "approved":
        fp, def_hash = row.server_fp, row.def_hash
        calls.move(tx, row.call, row.state, expect=("approved",), server_fp=fp, def_hash=def_hash)
