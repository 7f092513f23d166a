"""What is said about tasks at servers: their states, what can be asked, and how asking fails.

Source: extension `io.modelcontextprotocol/tasks` for protocol 2026-07-28 (SEP-2663; repository
modelcontextprotocol/ext-tasks, schema/draft/schema.ts). Nothing here loads the SDK.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from omni_tui.protocol.calls import TaskStatus
from omni_tui.servers.base import CallError, RawResult

AnswerInputs = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Answers what a task asks: requests by key (as the server wrote them) to results by the same keys.

Raises `CallError` where they are not answered; cancelled if the server no longer waits for them."""

TERMINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ServerTask:
    """A task as its server describes it. `poll` and `ttl` are seconds, None if unsaid or senseless.

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
    """The server answered a call with a task: there is no result yet. The call is not to be sent again."""

    def __init__(self, task: ServerTask) -> None:
        super().__init__("the call goes on as a task")
        self.task = task


class TaskCancelled(Exception):
    """The server says that the task was cancelled; `asked` tells whether we had asked for it."""

    def __init__(self, what: str, *, asked: bool) -> None:
        super().__init__(what)
        self.what = what
        self.asked = asked


class ServerUnavailable(Exception):
    """The server cannot be asked now. That says nothing of the task."""


class UnknownTask(Exception):
    """The server does not know the task, in its words."""


class UnusableTaskAnswer(Exception):
    """An answer, or none, that says nothing of the task; asking again may help."""


class TaskClient(Protocol):
    """What can be asked about a task over one life of a connection; `timeout` is in seconds.

    All raise `ServerUnavailable`, `UnknownTask` and `UnusableTaskAnswer`; `get` also `CallError` for a
    result that cannot be taken.
    """

    async def get(self, task: str, timeout: float) -> ServerTask:
        """Return the task as it is now, with its result if it has one."""
        ...

    async def update(self, task: str, answers: Mapping[str, Any], timeout: float) -> None:
        """Give answers to what the task asked."""
        ...

    async def cancel(self, task: str, timeout: float) -> None:
        """Ask for the task to be cancelled; the answer only says that this was heard."""
        ...


async def refuse_inputs(requests: dict[str, Any]) -> dict[str, Any]:
    """Answer nothing: what stands where nobody is there to be asked. Raises `CallError`."""
    methods = {str(asked.get("method", "")) for asked in requests.values() if isinstance(asked, dict)}
    what = ", ".join(sorted(filter(None, methods))) or "unspecified"
    raise CallError(
        f"the server asks for input ({what[:120]}), which nobody can give here",
        sent=True,
        answered=True,
        todo="Call it with arguments that leave nothing to ask.",
    )


def seconds(value: object) -> float | None:
    """Return milliseconds of a server as seconds, None for what is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value < math.inf:
        return None
    return min(value, 1e15) / 1000
