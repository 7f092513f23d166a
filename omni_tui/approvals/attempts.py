"""What carries over from an attempt that failed, and may be made again, to the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from omni_tui.approvals.cards import Card, request_approval
from omni_tui.approvals.queue import OpenCall, Refused
from omni_tui.approvals.subject import Subject, moved_on
from omni_tui.memory import CallRow, Journal, Tx, calls
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.attempts import AttemptFailed, AttemptRefused
from omni_tui.protocol.events import CallChanged, CallState
from omni_tui.security.text import safe

MOST = 10
"""Further attempts that one approval can serve for, whoever asks for them."""

CHANGED = "the tool or its server changed while the server refused the first attempt"


def barred(item: OpenCall | None, event: AttemptRefused | AttemptFailed) -> bool:
    """Whether an approval has served for all the attempts it can: one further one for a refused token."""
    if item is None:
        return True
    if isinstance(event, AttemptRefused):
        return item.tried_again
    return item.repeated >= MOST


async def again(
    journal: Journal,
    item: OpenCall,
    subject: Subject,
    failed: AttemptRefused | AttemptFailed,
    *,
    shown: Callable[[CallRow], str],
    headless: bool,
) -> None:
    """Journal the next attempt of a call; `item` says then where that stands.

    Raises `Refused` where what was approved has changed and the last attempt was not turned away unseen:
    the call then ends with that one.
    """
    if isinstance(failed, AttemptFailed) and moved_on(item.row, subject):
        raise Refused(CHANGED)
    row, card = further(item, subject, headless=headless)
    digest = shown(row)
    await journal.commit(failed, announced(row, card, digest, failed), change=lambda tx: enter(tx, row))
    item.row, item.card, item.digest = row, card, digest
    item.tried_again = item.tried_again or isinstance(failed, AttemptRefused)
    item.repeated += isinstance(failed, AttemptFailed)


def further(item: OpenCall, subject: Subject, *, headless: bool) -> tuple[CallRow, Card]:
    """Return a call as its next attempt: approved if all is as it was, else put before the person."""
    row = replace(item.row, attempt=item.row.attempt + 1, nonce="", state="approved")
    if not moved_on(row, subject):
        return row, item.card
    state: CallState = "withheld" if headless else "held"
    row = replace(row, state=state, server_fp=subject.server_fp, def_hash=subject.def_hash)
    return row, replace(item.card, subject=subject, why=(CHANGED,), held=True)


def announced(row: CallRow, card: Card, digest: str, failed: AttemptRefused | AttemptFailed) -> AnyEvent:
    """Return the event that says where the next attempt stands."""
    if row.state == "held":
        return request_approval(card, row, digest)
    words = "sent again with a new token"
    if isinstance(failed, AttemptFailed):
        words = f"tried again, attempt {row.attempt} of {failed.of}, after: {failed.reason}"
    reason = safe(CHANGED) if row.state == "withheld" else safe(words, limit=1000)
    decider = "headless" if row.state == "withheld" else row.decider
    return CallChanged(call=row.call, state=row.state, decider=decider, reason=reason, attempt=row.attempt)


def enter(tx: Tx, row: CallRow) -> None:
    """Make the next attempt in the table. Raises `CallMoved` if the attempt before it is not under way."""
    calls.move(tx, row.call, "approved", expect=("dispatching",), attempt=row.attempt)
    if row.state != "approved":
        fp, def_hash = row.server_fp, row.def_hash
        calls.move(tx, row.call, row.state, expect=("approved",), server_fp=fp, def_hash=def_hash)


def enter_cached(tx: Tx, row: CallRow, result: bytes, *, new: bool) -> None:
    """End an approved call with a result that was there already. Nothing of it was ever `dispatching`."""
    if new:
        calls.insert(tx, row)
    calls.move(tx, row.call, "cached", expect=("approved",))
    calls.put_result(tx, row.call, row.attempt, result)
