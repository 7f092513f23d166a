"""Writes a turn to the journal: every commit is completed, even while the turn is being stopped."""

from __future__ import annotations

import asyncio

import msgspec

from omni_tui.agents.agent_host import AgentHost
from omni_tui.models.base import Message
from omni_tui.protocol.events import AnyEvent, ModelMessage, TurnLimit, TurnStatus
from omni_tui.security.text import exact_json


class TurnStopped(Exception):
    """The turn must end. The person is told the reason; `limit` names the limit that was reached."""

    def __init__(self, status: TurnStatus, reason: str, todo: str = "", limit: TurnLimit = "") -> None:
        super().__init__(reason)
        self.status: TurnStatus = status
        self.reason = reason
        self.todo = todo
        self.limit: TurnLimit = limit


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
        task = asyncio.ensure_future(self.host.commit(*events))
        interrupted: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                interrupted = error
        task.result()
        if interrupted is not None and not last:
            raise interrupted

    def message(self, message: Message) -> ModelMessage:
        """Return the event that adds a message to the model's history."""
        body = exact_json(msgspec.to_builtins(message))
        return ModelMessage(
            turn=self.turn, role=message.role, body_json=body, call=message.call_id, agent=self.agent
        )
