"""Carries out the commands of one client: the table of all handlers."""

from __future__ import annotations

import logging

import msgspec

from omni_tui.engine.clients import Client, EventBuffer
from omni_tui.engine.core import Engine, StartFailed
from omni_tui.engine.handlers.approvals import ApprovalHandlers
from omni_tui.engine.handlers.arrival import ArrivalHandlers, caught_up
from omni_tui.engine.handlers.base import Handler
from omni_tui.engine.handlers.calls import CallHandlers
from omni_tui.engine.handlers.media import MediaHandlers
from omni_tui.engine.handlers.models import ModelHandlers
from omni_tui.engine.handlers.prompts_and_resources import PromptResourceHandlers
from omni_tui.engine.handlers.server_settings import ServerSettingsHandlers
from omni_tui.engine.handlers.servers import ServerHandlers
from omni_tui.engine.handlers.sessions import SessionHandlers
from omni_tui.engine.handlers.tools import ToolHandlers
from omni_tui.engine.handlers.wire_log import WireLogHandlers
from omni_tui.engine.turn_runner import TurnInProgress
from omni_tui.memory import JournalBroken
from omni_tui.models.base import ModelError
from omni_tui.protocol import AnyCommand, AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CommandFailed
from omni_tui.security.text import safe
from omni_tui.servers.auth import SignInRefused

logger = logging.getLogger(__name__)

BEGINS = (c.SendMessage, c.ContinueRun, c.CallTool)
"""Commands that begin something a client must show."""


class CommandRouter:
    """The engine's end of one client's link: commands in by `handle`, events out by `outbox`."""

    def __init__(self, engine: Engine, client: Client) -> None:
        self._engine = engine
        self._client = client
        calls = CallHandlers(engine, client)
        resources = PromptResourceHandlers(engine, client)
        self._table: dict[type, Handler] = {
            **ArrivalHandlers(engine, client).table(),
            **SessionHandlers(engine, client).table(),
            **ServerHandlers(engine, client).table(),
            **ServerSettingsHandlers(engine, client).table(),
            **WireLogHandlers(engine, client).table(),
            **ToolHandlers(engine, client).table(),
            **ApprovalHandlers(engine, client).table(),
            **calls.table(),
            **resources.table(),
            **MediaHandlers(engine, client, calls, resources).table(),
            **ModelHandlers(engine, client).table(),
        }

    @property
    def outbox(self) -> EventBuffer:
        """The events on their way to the client."""
        return self._client.outbox

    async def leave(self) -> None:
        """Detach the client: its link has ended."""
        await self._engine.leave(self._client)

    async def handle(self, command: AnyCommand) -> None:
        """Carry out one command and answer it; never raises for what it was asked."""
        self._engine.sessions.touch(self._client.session)
        reply = await self._answer(command)
        if reply is not None:
            self.outbox.offer(msgspec.structs.replace(reply, request=command.request))

    async def _answer(self, command: AnyCommand) -> AnyEvent | None:
        try:
            handler = self._table.get(type(command))
            if handler is None:
                return failed("this engine does not know that command")
            if isinstance(command, BEGINS):
                await caught_up(self._engine, self._client)
            return await handler(command)
        except (UserError, TurnInProgress, StartFailed, SignInRefused) as error:
            return failed(str(error))
        except ModelError as error:
            return failed(error.what, todo=error.todo)
        except JournalBroken as error:
            return failed("it could not be written to disk", str(error), "free space, then try again")
        except Exception as error:
            logger.exception("%s broke", type(command).__name__)
            return failed(
                "something went wrong inside Omni TUI", type(error).__name__, "the log has the details"
            )


def failed(what: str, why: str = "", todo: str = "") -> CommandFailed:
    """Return the answer to a command that was refused or went wrong."""
    return CommandFailed(
        what=safe(what, limit=2000), why=safe(why, limit=2000), todo=safe(todo, limit=1000)
    )
