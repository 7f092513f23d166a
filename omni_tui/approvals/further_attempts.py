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


async def start_next_attempt(
    journal: Journal,
    item: PendingCall,
    subject: Subject,
    failed: AttemptRefused | AttemptFailed,
    *,
    shown: Callable[[CallRow, Subject], str],
    headless: bool,
) -> None:
    """Journal the next attempt of a call and update `item`: approved, or held if its tool has changed.

    Raises `UserError` if it has changed and an attempt may have run: the call ends with the last one.
    """
    changed, refused = has_changed(item.row, subject), isinstance(failed, AttemptRefused)
    if changed and (not refused or item.may_have_run):
        raise UserError(CHANGED)
    row, card = replace(item.row, attempt=item.row.attempt + 1, nonce="", state="approved"), item.card
    if changed:
        state: CallState = "withheld" if headless else "held"
        row = replace(row, state=state, server_fp=subject.server_fp, def_hash=subject.def_hash)
        card = replace(card, subject=subject, why=(CHANGED,), held=True)
    digest = shown(row, card.subject)
    await journal.commit(
        failed, _next_state(row, card, digest, failed), change=lambda tx: _record_attempt(tx, row)
    )
    item.row, item.card, item.digest = row, card, digest
    item.tried_again = item.tried_again or refused
    item.repeated += not refused
    item.may_have_run = may_have_run(item, failed)


def may_have_run(item: PendingCall, failed: AttemptRefused | AttemptFailed) -> bool:
    """Whether the attempt that failed, or one before it, may have run."""
    return item.may_have_run or (isinstance(failed, AttemptFailed) and failed.cut)


def _next_state(
    row: CallRow, card: CardContent, digest: str, failed: AttemptRefused | AttemptFailed
) -> AnyEvent:
    if row.state == "held":
        return request_approval(card, row, digest)
    decider, words = row.decider, "sent again with a new token"
    if row.state == "withheld":
        decider, words = "headless", CHANGED
    elif isinstance(failed, AttemptFailed):
        words = f"tried again, attempt {row.attempt} of {failed.of}, after: {failed.reason}"
    reason = safe(words, limit=1000)
    return CallChanged(call=row.call, state=row.state, decider=decider, reason=reason, attempt=row.attempt)


def _record_attempt(tx: Transaction, row: CallRow) -> None:
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
