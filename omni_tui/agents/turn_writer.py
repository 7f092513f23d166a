"""Writes a turn to the journal: every commit is completed, even while the turn is being stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from omni_tui.agents.agent_host import AgentHost
from omni_tui.models.base import Message
from omni_tui.protocol.events import AnyEvent, ModelMessage, TurnEnded, TurnLimit, TurnStatus
from omni_tui.security.text import exact_json, safe

logger = logging.getLogger(__name__)


class TurnStopped(Exception):
    """The turn must end. The person is told the reason; `limit` names the limit that was reached."""

    def __init__(self, status: TurnStatus, reason: str, todo: str = "", limit: TurnLimit = "") -> None:
        super().__init__(reason)
        self.status: TurnStatus = status
        self.reason = reason
        self.todo = todo
        self.limit: TurnLimit = limit


def turn_ended(turn: str, steps: int, over: TurnStopped | None = None) -> TurnEnded:
    """Return the last event of a turn; without `over`, it is done."""
    over = over or TurnStopped("done", "")
    return TurnEnded(
        turn=turn,
        status=over.status,
        reason=safe(over.reason, limit=1_000),
        todo=safe(over.todo, limit=1_000),
        steps=steps,
        limit=over.limit,
    )


async def run_to_end(
    turn: str, work: Awaitable[TurnStopped | None], stopped: Callable[[], Awaitable[TurnStopped]]
) -> TurnStopped | None:
    """Do the work of a turn; return why it ended, None if it is done.

    Cancelling the task is the person's Esc: `stopped` then closes what is open. Only the `CancelledError`
    of a parked host is raised.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await work
    except asyncio.CancelledError:
        over = await stopped()
        # The cancellation is done; the rest of this task is not cancelled.
        while task and task.cancelling() > before:
            task.uncancel()
        return over
    except Exception as error:
        logger.exception("turn %s broke", turn)
        what = f"something went wrong inside Omni TUI: {type(error).__name__}"
        return TurnStopped("failed", what, "the log has the details")


async def uninterrupted(task: asyncio.Future[None]) -> None:
    """Wait until a task is done. If cancelled meanwhile, raise `CancelledError` only then."""
    interrupted: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            interrupted = error
    task.result()
    if interrupted is not None:
        raise interrupted


class TurnWriter:
    """The journal of one turn."""

    def __init__(self, host: AgentHost, turn: str, agent: str = "root") -> None:
        self.host = host
        self.turn = turn
        self.agent = agent

    async def commit(self, *events: AnyEvent, last: bool = False) -> None:
        """Commit events. If cancelled meanwhile, wait until they are on disk, then raise `CancelledError`.

        The `last` events of a turn that is being stopped raise nothing. The `CancelledError` of a
        parked host is passed on.
        """
        if not events:
            return
        try:
            await uninterrupted(task := asyncio.ensure_future(self.host.commit(*events)))
        except asyncio.CancelledError:
            if not last or task.cancelled():
                raise

    def message(self, message: Message) -> ModelMessage:
        """Return the event that adds a message to the model's history."""
        body = exact_json(msgspec.to_builtins(message))
        return ModelMessage(
            turn=self.turn, role=message.role, body_json=body, call=message.call_id, agent=self.agent
        )
