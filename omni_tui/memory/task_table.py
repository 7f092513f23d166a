"""The table of tasks: which call runs as which task at its server, so that polling continues after a
restart.

The id of a task may give access to its result (SEP-2663, security considerations): it is sealed like the
arguments.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass

import msgspec

from omni_tui.memory.crypto import SealBroken
from omni_tui.memory.sqlite import Transaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SavedTask:
    """The task of a call. `began` is in Unix seconds; `ttl` and `poll` are in seconds, None if unknown."""

    id: str
    began: float
    ttl: float | None = None
    poll: float | None = None


def put(tx: Transaction, call: str, attempt: int, task: SavedTask) -> None:
    """Store the task of an attempt. Raises `ValueError` if it has one or is not dispatching."""
    found = tx.execute("SELECT state, attempt FROM calls WHERE call = ?", (call,)).fetchone()
    if found is None or tuple(found) != ("dispatching", attempt):
        raise ValueError(f"attempt {attempt} of call {call} is not under way")
    body = tx.seal(msgspec.json.encode(task), _place(call, attempt))
    try:
        tx.execute("INSERT INTO tasks (call, attempt, body) VALUES (?, ?, ?)", (call, attempt, body))
    except sqlite3.IntegrityError:
        raise ValueError(f"attempt {attempt} of call {call} runs as a task already") from None


def load(tx: Transaction, call: str, attempt: int) -> SavedTask | None:
    """Return the task of an attempt, None if there is none or it is damaged."""
    found = tx.execute("SELECT body FROM tasks WHERE call = ? AND attempt = ?", (call, attempt)).fetchone()
    if found is None:
        return None
    try:
        return msgspec.json.decode(tx.open(found[0], _place(call, attempt)), type=SavedTask)
    except (SealBroken, ValueError) as error:
        logger.warning("the task of call %s is lost: %s", call, error)
        return None


def running(tx: Transaction) -> dict[str, SavedTask]:
    """Return the tasks of dispatching calls, by call; damaged ones are left out."""
    rows = tx.execute(
        "SELECT calls.call, calls.attempt FROM calls JOIN tasks "
        "ON tasks.call = calls.call AND tasks.attempt = calls.attempt WHERE calls.state = 'dispatching'"
    ).fetchall()
    found = {call: load(tx, call, attempt) for call, attempt in rows}
    return {call: task for call, task in found.items() if task is not None}


def _place(call: str, attempt: int) -> str:
    return f"tasks/{call}/{attempt}/body"
