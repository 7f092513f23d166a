"""A branch of a session: a copy of everything before one of its messages, or of all of it (a fork).

The session stays unchanged. The copy has the events with their times, calls and results. What was still
open then is closed in the copy; its end is in the other session.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from omni_tui.memory import call_table
from omni_tui.memory.call_table import CallRow
from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.saved_session import saved_events
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
_WHY = "it was still open when this session was branched off; the other session has its end"


@dataclass(slots=True)
class Branch:
    """The content of a branch, and the message it begins at: as shown and as the model got it.

    A fork has no such message: it is a copy of everything.
    """

    message: UserMessage | None = None
    model_message: ModelMessage | None = None
    events: list[AnyEvent] = field(default_factory=list)
    rows: list[CallRow] = field(default_factory=list)
    results: list[tuple[str, int, bytes]] = field(default_factory=list)


class NoSuchMessage(Exception):
    """The session has no readable message of that turn."""


def fork_all(tx: Transaction) -> Branch:
    """Return everything in the session, except unreadable events."""
    events = [event for _, event in saved_events(tx) if not isinstance(event, str)]
    return _with_calls(tx, Branch(events=events))


def branch_before(tx: Transaction, turn: str) -> Branch:
    """Return everything before the message that began a turn, except unreadable events.

    Raises `NoSuchMessage`.
    """
    before: list[AnyEvent] = []
    since: list[AnyEvent] = []
    ends: list[CallChanged | CallFinished] = []
    message: UserMessage | None = None
    model_message: ModelMessage | None = None
    started = False
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
        elif started:
            if isinstance(event, CallChanged | CallFinished):
                ends.append(event)
        elif started := _begins(event, turn):
            model_message = event if isinstance(event, ModelMessage) else None
        elif not isinstance(event, UserMessage):  # sent while another turn was running
            since.append(event)
    if message is None:
        raise NoSuchMessage(f"this session has no message {turn[:40]}")
    events = [*before, *since] if started else before
    known = {event.call for event in events if isinstance(event, CallProposed)}
    # The end of a call that was still running holds here too.
    events += [event for event in ends if event.call in known]
    return _with_calls(tx, Branch(message, model_message, events))


def _begins(event: AnyEvent, turn: str) -> bool:
    """Whether the model gets the message of a turn with this event, or the message was dropped here."""
    if isinstance(event, ModelMessage):
        return event.turn == turn and event.role == "user"
    return isinstance(event, TurnEnded) and event.turn == turn


def _with_calls(tx: Transaction, branch: Branch) -> Branch:
    states: dict[str, CallState] = {}
    ended = {event.turn for event in branch.events if isinstance(event, TurnEnded)}
    started = [event.turn for event in branch.events if isinstance(event, TurnStarted)]
    if started and started[-1] not in ended:
        branch.events.append(TurnEnded(turn=started[-1], status="stopped", reason=safe(_WHY)))
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
    """Write the calls and results of a branch into its new session."""
    for row in branch.rows:
        call_table.adopt(tx, row)
    for call, attempt, data in branch.results:
        call_table.put_result(tx, call, attempt, data)
