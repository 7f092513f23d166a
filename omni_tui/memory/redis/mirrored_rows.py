"""What the mirror reads from a journal: events in order, with the calls and results that belong to them.

Functions of a transaction, run by the journal's thread.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from omni_tui.memory import call_table
from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.redis.layout import Entry, MirroredCall, MirroredResult
from omni_tui.memory.saved_session import saved_events
from omni_tui.memory.sqlite import Transaction
from omni_tui.memory.writer import read_title
from omni_tui.protocol import AnyEvent, encode_record
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished, CallProposed

MOST = 50
"""Events of one batch: reading them keeps the journal's thread for a few milliseconds."""
MOST_BYTES = 1 << 20
"""A batch ends with the entry that reaches this."""
_SMALL_ARGS = 4_096


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive entries from number `first` on, and their size in bytes, about."""

    first: int
    entries: list[Entry]
    size: int


def read_batch(tx: Transaction, after: int, head: int) -> Batch:
    """Return the next entries after a number, up to `head`: what is missing before that is lost."""
    entries: list[Entry] = []
    size = 0
    for _seq, event in saved_events(tx, after, head):
        if isinstance(event, str):
            entries.append(Entry(b"", lost=event))
        else:
            entry = _entry(tx, event)
            entries.append(entry)
            size += len(entry.event)
            size += len(entry.call.args or b"") if entry.call else 0
            size += len(entry.result.data) if entry.result else 0
        if len(entries) >= MOST or size >= MOST_BYTES:
            break
    return Batch(after + 1, entries, size)


def _entry(tx: Transaction, event: AnyEvent) -> Entry:
    call, result = None, None
    try:
        if isinstance(event, CallProposed | ApprovalRequested | CallChanged):
            row = call_table.load(tx, event.call)
            if row is not None:
                whole = not isinstance(event, CallChanged) or len(row.args) <= _SMALL_ARGS
                call = MirroredCall.of(row, with_args=whole)
        elif isinstance(event, CallFinished):
            data = call_table.get_result(tx, event.call, event.attempt)
            result = MirroredResult(event.call, event.attempt, data) if data else None
    except (SealBroken, sqlite3.DatabaseError):
        pass  # the event is mirrored alone: what belongs to it is lost here too
    return Entry(encode_record(event), call=call, result=result)


def read_record(tx: Transaction, seq: int) -> bytes:
    """Return an event that the journal has or had, as it is mirrored, b"" if it is lost or unreadable."""
    _number, event = next(saved_events(tx, seq - 1, seq))
    return b"" if isinstance(event, str) else encode_record(event)


def read_heading(tx: Transaction) -> tuple[str, float]:
    """Return the session's title, and when it began in Unix seconds."""
    (created,) = tx.execute("SELECT value FROM meta WHERE name = 'created'").fetchone()
    return read_title(tx), float(created)
