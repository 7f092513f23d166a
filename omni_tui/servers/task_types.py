"""Tasks at servers, without the SDK: their state, the requests about them, and their errors.

Source: extension `io.modelcontextprotocol/tasks` for protocol 2026-07-28 (SEP-2663; repository
modelcontextprotocol/ext-tasks, schema/draft/schema.ts).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from omni_tui.protocol.calls import TaskStatus
from omni_tui.servers.base import RawResult

AnswerInputs = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Answers a task's requests: by key, as the server wrote them, to results by the same keys.

Raises `CallError` if they are not answered; cancelled when the server no longer waits for them."""

TERMINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ServerTask:
    """A task as its server describes it. `poll` and `ttl` are seconds, None if missing or invalid.

    `result` belongs to `completed`, `error` (words) to `failed`, `inputs` to `input_required`.
    """

    id: str
    status: TaskStatus
    message: str = ""
    poll: float | None = None
    ttl: float | None = None
    result: RawResult | None = None
    error: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether its state is final."""
        return self.status in TERMINAL


class TaskStarted(Exception):
    """The server answered a call with a task, which has no result yet. Do not send the call again."""

    def __init__(self, task: ServerTask) -> None:
        super().__init__("the call continues as a task")
        self.task = task


class TaskCancelled(Exception):
    """The server says that the task was cancelled; `asked`: we had asked for that."""

    def __init__(self, what: str, *, asked: bool) -> None:
        super().__init__(what)
        self.what = what
        self.asked = asked


class ServerUnavailable(Exception):
    """The server cannot be reached now. The task may still run."""


class UnknownTask(Exception):
    """The server does not know the task; the text is the server's."""


class UnusableTaskAnswer(Exception):
    """A missing or invalid answer about a task; asking again may help."""


def seconds(value: object) -> float | None:
    """Return milliseconds of a server as seconds, None if invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value < math.inf:
        return None
    return min(value, 1e15) / 1000
