"""The table of calls, the authority of the gate.

A call reaches `dispatching` only through `consume`, which compares everything that its grant is bound to
and uses the grant up in the same statement. Nothing leaves a final state. After a crash, `dispatching`
becomes `uncertain` and `approved` becomes `pending`, or `uncertain` if an attempt before it was cut off; a
dispatching call that runs as a task keeps its
state, since its server can be asked.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, Unpack, cast

from omni_tui.memory import task_table
from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.sqlite import Transaction, Value
from omni_tui.memory.writer import OPEN_STATES
from omni_tui.protocol.values import CallOrigin, CallState

logger = logging.getLogger(__name__)

FIRST: frozenset[CallState] = frozenset(
    ("pending", "held", "approved", "rejected", "denied", "withheld", "expired", "cancelled", "failed")
)
"""States in which a call may enter the table: nothing was sent."""

_NOT_SENT: frozenset[CallState] = FIRST
_SENT: frozenset[CallState] = frozenset(
    ("succeeded", "failed", "result_rejected", "cancelled", "uncertain")
)
MOVES: dict[CallState, frozenset[CallState]] = {
    "pending": _NOT_SENT,
    "held": _NOT_SENT,
    "approved": _NOT_SENT | {"cached", "uncertain"},
    "dispatching": _SENT | {"approved"},
    "uncertain": _SENT - {"uncertain"},
    "failed": frozenset(("approved",)),
}
"""The moves of `move`. `dispatching` and `failed` become `approved` only as a further attempt. Only
`consume` leads to `dispatching`. A `cached` call was approved and never sent. An approved call becomes
`uncertain` only as a further attempt: one before it may have run."""


class CallMoved(Exception):
    """The call is not in the expected state: another change was first."""


class GrantSpent(Exception):
    """The grant does not fit the call: it was used, changed, withdrawn, or is for another attempt."""


@dataclass(frozen=True, slots=True)
class TurnCall:
    """What is known of a call of a turn without opening its body."""

    call: str
    server: str
    tool: str
    state: str
    provider_call_id: str


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call. `args` is the exact canonical JSON to send; `created` is in Unix seconds."""

    call: str
    turn: str
    step: int
    agent: str
    origin: Literal["agent", "hand"]
    server: str
    tool: str
    server_fp: str
    def_hash: str
    args: bytes
    args_hash: str
    state: CallState
    attempt: int = 1
    nonce: str = ""
    decider: str = ""
    provider_call_id: str = ""
    created: float = 0.0

    @property
    def made_by(self) -> CallOrigin:
        """Which call of a model it is."""
        return CallOrigin(self.turn, self.agent, self.step, self.provider_call_id)


class CallFields(TypedDict, total=False):
    """The fields of a call that may change with its state."""

    args: bytes
    args_hash: str
    server_fp: str
    def_hash: str
    attempt: int
    nonce: str
    decider: str


_NAMES = tuple(CallRow.__dataclass_fields__)
_COLUMNS = ", ".join(_NAMES)
_INSERT = f"INSERT INTO calls ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
_FIELDS = frozenset(CallFields.__annotations__)


def insert(tx: Transaction, row: CallRow) -> None:
    """Add a call for which nothing was sent.

    Raises `ValueError` for a state that a call cannot begin in, `CallMoved` if it exists.
    """
    if row.state not in FIRST:
        raise ValueError(f"a call cannot begin as {row.state}")
    _insert(tx, row)


def adopt(tx: Transaction, row: CallRow) -> None:
    """Add a finished call of another session. Raises `ValueError` for one that is not finished."""
    if row.state in OPEN_STATES:
        raise ValueError(f"a call that is {row.state} cannot be copied")
    _insert(tx, row)


def _insert(tx: Transaction, row: CallRow) -> None:
    sealed = tx.seal(row.args, _place(row.call, row.args_hash))
    values = [sealed if name == "args" else getattr(row, name) for name in _NAMES]
    try:
        tx.execute(_INSERT, values)
    except sqlite3.IntegrityError:
        raise CallMoved(f"call {row.call} exists already") from None


def load(tx: Transaction, call: str) -> CallRow | None:
    """Return a call, None if there is none. Raises `SealBroken` if its arguments are damaged."""
    found = tx.execute(f"SELECT {_COLUMNS} FROM calls WHERE call = ?", (call,)).fetchone()
    return _row(tx, found) if found else None


def find(tx: Transaction, origin: CallOrigin) -> CallRow | None:
    """Return the last call of an origin. Raises `SealBroken` if its arguments are damaged."""
    found = tx.execute(
        f"SELECT {_COLUMNS} FROM calls WHERE turn = ? AND step = ? AND provider_call_id = ? "
        "AND agent = ? ORDER BY rowid DESC LIMIT 1",
        (origin.turn, origin.step, origin.id, origin.agent),
    ).fetchone()
    return _row(tx, found) if found else None


def known(tx: Transaction, calls: Iterable[str]) -> frozenset[str]:
    """Return those of some calls that have a row."""
    found = (tx.execute("SELECT call FROM calls WHERE call = ?", (call,)).fetchone() for call in calls)
    return frozenset(row[0] for row in found if row is not None)


def recent(tx: Transaction, limit: int) -> list[CallRow]:
    """Return the last calls of the session, newest first, except those with damaged arguments."""
    found = tx.execute(f"SELECT {_COLUMNS} FROM calls ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
    readable = []
    for each in found:
        with contextlib.suppress(SealBroken):
            readable.append(_row(tx, each))
    return readable


@dataclass(frozen=True, slots=True)
class KeptResult:
    """Where a result is: `size` in bytes; `made_by` is the call of a model that it answers."""

    call: str
    attempt: int
    server: str
    made_by: CallOrigin
    size: int


def kept_results(tx: Transaction) -> list[KeptResult]:
    """Return all results of the session, newest first; `get_result` reads one."""
    found = tx.execute(
        "SELECT c.call, r.attempt, c.server, c.turn, c.agent, c.step, c.provider_call_id, r.size "
        "FROM results r JOIN calls c ON c.call = r.call ORDER BY c.rowid DESC, r.attempt DESC"
    ).fetchall()
    return [
        KeptResult(call, attempt, server, CallOrigin(turn, agent, step, number), size)
        for call, attempt, server, turn, agent, step, number, size in found
    ]


def origins(tx: Transaction) -> dict[str, tuple[str, CallOrigin]]:
    """Return of every call the server, and which call of a model it is."""
    found = tx.execute("SELECT call, server, turn, agent, step, provider_call_id FROM calls")
    return {
        call: (server, CallOrigin(turn, agent, step, number))
        for call, server, turn, agent, step, number in found
    }


def of_turn(tx: Transaction, turn: str) -> list[TurnCall]:
    """Return every call of a turn, in order."""
    found = tx.execute(
        "SELECT call, server, tool, state, provider_call_id FROM calls WHERE turn = ? ORDER BY rowid",
        (turn,),
    )
    return [TurnCall(*row) for row in found]


def rejected_of(tx: Transaction, turn: str) -> list[tuple[str, str, str]]:
    """Return server, tool and hash of the arguments of each call of an agent that a person rejected."""
    found = tx.execute(
        "SELECT server, tool, args_hash FROM calls "
        "WHERE turn = ? AND state = 'rejected' AND decider = 'user' AND origin = 'agent'",
        (turn,),
    )
    return [(row[0], row[1], row[2]) for row in found]


def move(
    tx: Transaction, call: str, to: CallState, *, expect: Iterable[CallState], **fields: Unpack[CallFields]
) -> None:
    """Move a call from one of the states `expect` to another, and change `fields` with it.

    New arguments need their new hash. Raises `CallMoved` if the call is in another state or the move is not
    allowed, `ValueError` for unknown or incomplete fields.
    """
    if unknown := fields.keys() - _FIELDS:
        raise ValueError(f"{', '.join(sorted(unknown))} of a call cannot change")
    if ("args" in fields) != ("args_hash" in fields):
        raise ValueError("arguments and their hash change together")
    found = tx.execute("SELECT state, attempt FROM calls WHERE call = ?", (call,)).fetchone()
    state: CallState = found[0] if found else "cancelled"
    if found is None or state not in tuple(expect):
        raise CallMoved(f"call {call} is {state if found else 'not known'}")
    if to not in MOVES.get(state, frozenset()):
        raise CallMoved(f"a call that is {state} cannot become {to}")
    if to == "approved" and state in ("dispatching", "failed") and fields.get("attempt", 0) != found[1] + 1:
        raise CallMoved(f"call {call} was tried {found[1]} times; it continues only as the next attempt")
    if to == "uncertain" and state == "approved" and found[1] == 1:
        raise CallMoved(f"call {call} was not tried yet; its outcome is known")
    changes: dict[str, Value] = {"state": to, **({} if to == "approved" else {"nonce": ""})}
    changes.update(cast("dict[str, Value]", fields))
    if "args" in fields:
        changes["args"] = tx.seal(fields["args"], _place(call, fields["args_hash"]))
    assignments = ", ".join(f"{name} = ?" for name in changes)
    tx.execute(f"UPDATE calls SET {assignments} WHERE call = ?", (*changes.values(), call))


def consume(
    tx: Transaction, call: str, attempt: int, nonce: str, server_fp: str, def_hash: str, args_hash: str
) -> bytes:
    """Use up a grant: move the call from `approved` to `dispatching` and return the bytes to send.

    One statement compares everything the grant is bound to; it succeeds once. Raises `GrantSpent`.
    """
    done = tx.execute(
        "UPDATE calls SET state = 'dispatching', nonce = '' WHERE call = ? AND state = 'approved' "
        "AND attempt = ? AND nonce = ? AND nonce <> '' "
        "AND server_fp = ? AND def_hash = ? AND args_hash = ?",
        (call, attempt, nonce, server_fp, def_hash, args_hash),
    )
    if done.rowcount != 1:
        found = tx.execute("SELECT state FROM calls WHERE call = ?", (call,)).fetchone()
        raise GrantSpent(
            f"the grant does not fit: the call is {found[0] if found else 'not known'}; nothing was sent"
        )
    (sealed,) = tx.execute("SELECT args FROM calls WHERE call = ?", (call,)).fetchone()
    try:
        return tx.open(sealed, _place(call, args_hash))
    except SealBroken as error:
        raise GrantSpent(
            f"the saved arguments of the call cannot be read ({error}); nothing was sent"
        ) from error


def open_calls(tx: Transaction) -> list[CallRow]:
    """Return the unfinished calls, oldest first, except those with damaged arguments.

    Nobody could decide on those; `mark_after_crash` ends them.
    """
    return [row for row, damaged in _open(tx) if not damaged]


def mark_after_crash(tx: Transaction, cut: Container[str] = ()) -> list[CallRow]:
    """After a crash, move dispatching calls to uncertain and approved ones to pending.

    `cut` are the calls of which an earlier attempt may have run: approved, they become uncertain too. A
    call that runs as a task continues. One with damaged arguments fails if nothing was sent. Returns the
    changed calls as they are now; damaged arguments are empty.
    """
    changed = []
    running = task_table.running(tx)
    for row, damaged in list(_open(tx)):
        to: CallState
        if row.state == "dispatching":
            if row.call in running and not damaged:
                continue
            to = "uncertain"
        elif row.state == "approved" and row.call in cut:
            to = "uncertain"
        elif damaged:
            to = "failed"
        elif row.state == "approved":
            to = "pending"
        else:
            continue
        decider = "restart" if damaged else ("" if to == "pending" else row.decider)
        move(tx, row.call, to, expect=(row.state,), decider=decider)
        changed.append(replace(row, state=to, nonce="", decider=decider))
    return changed


def put_result(tx: Transaction, call: str, attempt: int, data: bytes) -> None:
    """Store the whole result of an attempt. A second one raises `CallMoved`."""
    try:
        tx.execute(
            "INSERT INTO results (call, attempt, size, data) VALUES (?, ?, ?, ?)",
            (call, attempt, len(data), tx.seal(data, f"results/{call}/{attempt}/data")),
        )
    except sqlite3.IntegrityError:
        raise CallMoved(f"attempt {attempt} of call {call} has a result already") from None


def get_result(tx: Transaction, call: str, attempt: int) -> bytes:
    """Return the whole result of an attempt, b"" if there is none. Raises `SealBroken`."""
    found = tx.execute(
        "SELECT data FROM results WHERE call = ? AND attempt = ?", (call, attempt)
    ).fetchone()
    return tx.open(found[0], f"results/{call}/{attempt}/data") if found else b""


# --- rows -------------------------------------------------------------------------------------------


def _place(call: str, args_hash: str) -> str:
    return f"calls/{call}/args/{args_hash}"


def _open(tx: Transaction) -> Iterator[tuple[CallRow, bool]]:
    """Yield the unfinished calls, oldest first, and whether the arguments are damaged (then empty)."""
    marks = ", ".join("?" * len(OPEN_STATES))
    for found in tx.execute(
        f"SELECT {_COLUMNS} FROM calls WHERE state IN ({marks}) ORDER BY rowid", OPEN_STATES
    ):
        try:
            row = _row(tx, found)
        except SealBroken as error:
            logger.warning("the arguments of call %s are lost: %s", found[0], error)
            yield replace(CallRow(*found), args=b""), True
        else:
            yield row, False


def _row(tx: Transaction, found: tuple[Any, ...]) -> CallRow:
    row = CallRow(*found)
    return replace(row, args=tx.open(row.args, _place(row.call, row.args_hash)))
