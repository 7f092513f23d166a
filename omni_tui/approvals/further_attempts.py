"""The next attempt of a call whose last attempt failed and may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from omni_tui.approvals.cards import CardContent, request_approval
from omni_tui.approvals.pending import PendingCall
from omni_tui.approvals.subject import Subject, has_changed
from omni_tui.memory import CallRow, Journal, Transaction, call_table
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.calls import AttemptFailed, AttemptRefused
from omni_tui.protocol.events import CallChanged, CallState
from omni_tui.security.text import safe

MAX_FURTHER = 10
"""Further attempts that one approval can serve for, whoever asks for them."""

CHANGED = "the tool or its server changed while the server refused the first attempt"


def attempts_exhausted(item: PendingCall | None, event: AttemptRefused | AttemptFailed) -> bool:
    """Whether an approval has no attempts left. A refused token allows one further attempt."""
    if item is None:
        return True
    if isinstance(event, AttemptRefused):
        return item.tried_again
    return item.repeated >= MAX_FURTHER


async def start_next_attempt(
    journal: Journal,
    item: PendingCall,
    subject: Subject,
    failed: AttemptRefused | AttemptFailed,
    *,
    shown: Callable[[CallRow], str],
    headless: bool,
) -> None:
    """Journal the next attempt of a call and update `item`.

    Raises `UserError` if what was approved has changed and the last attempt may have run: the call ends
    with that one.
    """
    if isinstance(failed, AttemptFailed) and has_changed(item.row, subject):
        raise UserError(CHANGED)
    row, card = next_attempt(item, subject, headless=headless)
    digest = shown(row)
    await journal.commit(
        failed, attempt_event(row, card, digest, failed), change=lambda tx: record_attempt(tx, row)
    )
    item.row, item.card, item.digest = row, card, digest
    item.tried_again = item.tried_again or isinstance(failed, AttemptRefused)
    item.repeated += isinstance(failed, AttemptFailed)


def next_attempt(item: PendingCall, subject: Subject, *, headless: bool) -> tuple[CallRow, CardContent]:
    """Return the next attempt of a call: approved if nothing changed, else held for the person."""
    row = replace(item.row, attempt=item.row.attempt + 1, nonce="", state="approved")
    if not has_changed(row, subject):
        return row, item.card
    state: CallState = "withheld" if headless else "held"
    row = replace(row, state=state, server_fp=subject.server_fp, def_hash=subject.def_hash)
    return row, replace(item.card, subject=subject, why=(CHANGED,), held=True)


def attempt_event(
    row: CallRow, card: CardContent, digest: str, failed: AttemptRefused | AttemptFailed
) -> AnyEvent:
    """Return the event that tells the state of the next attempt."""
    if row.state == "held":
        return request_approval(card, row, digest)
    words = "sent again with a new token"
    if isinstance(failed, AttemptFailed):
        words = f"tried again, attempt {row.attempt} of {failed.of}, after: {failed.reason}"
    reason = safe(CHANGED) if row.state == "withheld" else safe(words, limit=1000)
    decider = "headless" if row.state == "withheld" else row.decider
    return CallChanged(call=row.call, state=row.state, decider=decider, reason=reason, attempt=row.attempt)


def record_attempt(tx: Transaction, row: CallRow) -> None:
    """Record the next attempt in the table. Raises `CallMoved` if the one before is not running."""
    call_table.move(tx, row.call, "approved", expect=("dispatching",), attempt=row.attempt)
    if row.state != "approved":
        fp, def_hash = row.server_fp, row.def_hash
        call_table.move(tx, row.call, row.state, expect=("approved",), server_fp=fp, def_hash=def_hash)


def record_cached(tx: Transaction, row: CallRow, result: bytes, *, new: bool) -> None:
    """End an approved call with a result from the cache. It never was `dispatching`."""
    if new:
        call_table.insert(tx, row)
    call_table.move(tx, row.call, "cached", expect=("approved",))
    call_table.put_result(tx, row.call, row.attempt, result)
