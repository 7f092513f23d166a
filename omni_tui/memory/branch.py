"""A session that goes another way from one of its messages on: what came before is copied, nothing changed.

The copy has the events before the message, with their times, and the calls and results they tell of.
What was still open there has its end in the other session, and is closed in this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from omni_tui.memory import call_table
from omni_tui.memory.call_table import CallRow
from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.sqlite import Transaction
from omni_tui.protocol import AnyEvent, ProtocolError, decode_event
from omni_tui.protocol.events import (
    CallChanged,
    CallFinished,
    CallProposed,
    CallState,
    ModelMessage,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from omni_tui.security.text import safe

_OVER: frozenset[CallState] = frozenset(
    ("succeeded", "failed", "result_rejected", "rejected", "denied", "withheld", "expired", "cancelled",
     "uncertain", "cached")
)  # fmt: skip
_WHY = "it was still open where this session was branched off; the other one tells how it went on"


@dataclass(slots=True)
class Branch:
    """What a branch begins with, and the message it begins at: as it was shown, and as the model got it."""

    message: UserMessage
    told: ModelMessage | None = None
    events: list[AnyEvent] = field(default_factory=list)
    rows: list[CallRow] = field(default_factory=list)
    results: list[tuple[str, int, bytes]] = field(default_factory=list)


class NoSuchMessage(Exception):
    """The session has no message of that turn that could be read."""


def branch_before(tx: Transaction, turn: str) -> Branch:
    """Return what came before the message that began a turn. Raises `NoSuchMessage`.

    What cannot be read any more is left out, as it is when the session is opened.
    """
    before: list[AnyEvent] = []
    since: list[AnyEvent] = []
    ends: list[AnyEvent] = []
    message: UserMessage | None = None
    told: ModelMessage | None = None
    begun = False
    for seq, body in tx.execute("SELECT seq, body FROM events ORDER BY seq"):
        try:
            event = decode_event(tx.open(body, f"events/{seq}/body"))
        except (SealBroken, ProtocolError):
            continue
        if message is None:
            if isinstance(event, UserMessage) and event.turn == turn:
                message = event
            else:
                before.append(event)
        elif begun:
            if isinstance(event, CallChanged | CallFinished):
                ends.append(event)
        elif begun := _begins(event, turn):
            told = event if isinstance(event, ModelMessage) else None
        elif not isinstance(event, UserMessage):  # said while another turn was still being worked on
            since.append(event)
    if message is None:
        raise NoSuchMessage(f"this session has no message {turn[:40]}")
    events = [*before, *since] if begun else before
    known = {event.call for event in events if isinstance(event, CallProposed)}
    # How a call ended that was still running is true here too.
    events += [event for event in ends if getattr(event, "call", "") in known]
    return _with_calls(tx, Branch(message, told, events))


def _begins(event: AnyEvent, turn: str) -> bool:
    """Whether the model is told the message of a turn here, or the message was dropped here untold."""
    if isinstance(event, ModelMessage):
        return event.turn == turn and event.role == "user"
    return isinstance(event, TurnEnded) and event.turn == turn


def _open_turn(events: list[AnyEvent]) -> str:
    """Return the turn that was still being worked on, "" if none was."""
    turn = ""
    for event in events:
        if isinstance(event, TurnStarted):
            turn = event.turn
        elif isinstance(event, TurnEnded) and event.turn == turn:
            turn = ""
    return turn


def _with_calls(tx: Transaction, branch: Branch) -> Branch:
    states: dict[str, CallState] = {}
    if open_turn := _open_turn(branch.events):
        branch.events.append(TurnEnded(turn=open_turn, status="stopped", reason=safe(_WHY)))
    for event in branch.events:
        if isinstance(event, CallProposed):
            states[event.call] = "pending"
        elif isinstance(event, CallChanged | CallFinished) and event.call in states:
            cached = isinstance(event, CallFinished) and event.cached_s is not None
            states[event.call] = "cached" if cached else event.state
    for call, state in states.items():
        if state not in _OVER:
            state = "uncertain" if state == "dispatching" else "cancelled"
            branch.events.append(CallChanged(call=call, state=state, decider="branch", reason=safe(_WHY)))
        try:
            row = call_table.load(tx, call)
            if row is None:
                continue
            branch.rows.append(replace(row, state=state, nonce=""))
            if data := call_table.get_result(tx, call, row.attempt):
                branch.results.append((call, row.attempt, data))
        except SealBroken:
            continue
    return branch


def copy_branch_calls(tx: Transaction, branch: Branch) -> None:
    """Put the calls and results of a branch into a session that has none of them yet."""
    for row in branch.rows:
        call_table.adopt(tx, row)
    for call, attempt, data in branch.results:
        call_table.put_result(tx, call, attempt, data)
