"""Carries out the commands of one client: the table of all handlers."""

from __future__ import annotations

import logging
import time

import msgspec

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine, StartFailed
from omni_tui.engine.handlers.app_log import AppLogHandlers
from omni_tui.engine.handlers.approvals import ApprovalHandlers
from omni_tui.engine.handlers.arrival import ArrivalHandlers, caught_up
from omni_tui.engine.handlers.audit import AuditHandlers
from omni_tui.engine.handlers.base import Handler
from omni_tui.engine.handlers.calls import CallHandlers
from omni_tui.engine.handlers.conversations import ConversationHandlers
from omni_tui.engine.handlers.debug import DebugHandlers
from omni_tui.engine.handlers.health import HealthHandlers
from omni_tui.engine.handlers.host_files import HostFileHandlers
from omni_tui.engine.handlers.media import MediaHandlers
from omni_tui.engine.handlers.memory import MemoryHandlers
from omni_tui.engine.handlers.metrics import MetricsHandlers
from omni_tui.engine.handlers.models import ModelHandlers
from omni_tui.engine.handlers.plugins import PluginHandlers
from omni_tui.engine.handlers.prompts_and_resources import PromptResourceHandlers
from omni_tui.engine.handlers.public_registry import PublicRegistryHandlers
from omni_tui.engine.handlers.remote_sessions import RemoteSessionHandlers
from omni_tui.engine.handlers.rules import RuleHandlers
from omni_tui.engine.handlers.server_settings import ServerSettingsHandlers
from omni_tui.engine.handlers.servers import ServerHandlers
from omni_tui.engine.handlers.session_search import SessionSearchHandlers
from omni_tui.engine.handlers.sessions import SessionHandlers
from omni_tui.engine.handlers.settings import SettingsHandlers
from omni_tui.engine.handlers.tools import ToolHandlers
from omni_tui.engine.handlers.traces import TraceHandlers
from omni_tui.engine.handlers.trust import TrustHandlers
from omni_tui.engine.handlers.wire_log import WireLogHandlers
from omni_tui.engine.turn_runner import TurnInProgress
from omni_tui.memory import JournalBroken
from omni_tui.models.base import ModelError
from omni_tui.observability.debug_recorder import DebugRecorder
from omni_tui.protocol import AnyCommand, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.errors import FileInTheWay
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
        self.outbox = client.outbox
        self._recorder = DebugRecorder()
        calls = CallHandlers(engine, client)
        resources = PromptResourceHandlers(engine, client)
        self._table: dict[type, Handler] = {
            **ArrivalHandlers(engine, client).table(),
            **SessionHandlers(engine, client).table(),
            **ServerHandlers(engine, client).table(),
            **SettingsHandlers(engine, client).table(),
            **HostFileHandlers(engine, client).table(),
            **ServerSettingsHandlers(engine, client).table(),
            **WireLogHandlers(engine, client).table(),
            **ToolHandlers(engine, client).table(),
            **TraceHandlers(engine, client).table(),
            **MetricsHandlers(engine, client).table(),
            **TrustHandlers(engine, client).table(),
            **ApprovalHandlers(engine, client).table(),
            **calls.table(),
            **resources.table(),
            **MediaHandlers(engine, client, calls, resources).table(),
            **ModelHandlers(engine, client).table(),
            **RuleHandlers(engine, client).table(),
            **AuditHandlers(engine, client).table(),
            **SessionSearchHandlers(engine, client).table(),
            **MemoryHandlers(engine, client).table(),
            **RemoteSessionHandlers(engine, client).table(),
            **ConversationHandlers(engine, client).table(),
            **HealthHandlers(engine, client).table(),
            **AppLogHandlers(engine, client).table(),
            **PublicRegistryHandlers(engine, client).table(),
            **PluginHandlers(engine, client).table(),
            **DebugHandlers(engine, client, self._recorder).table(),
        }

    async def leave(self) -> None:
        """Detach the client: its link has ended."""
        await self._engine.leave(self._client)

    async def handle(self, command: AnyCommand) -> None:
        """Carry out one command and answer it; never raises for what it was asked."""
        if not self._recorder.on:
            await self._handle(command)
            return
        started = time.perf_counter()
        failed = await self._handle(command)
        self._recorder.command_done(command, (time.perf_counter() - started) * 1000, failed=failed)

    async def _handle(self, command: AnyCommand) -> bool:
        """Carry out a command and answer it; return whether it was refused or went wrong."""
        sessions, client = self._engine.sessions, self._client
        if client.session in sessions:
            sessions[client.session].used = time.monotonic()
        try:
            if type(command) not in self._table:
                raise UserError("this engine does not know that command")
            if isinstance(command, BEGINS):
                await caught_up(self._engine, client)
            reply = await self._table[type(command)](command)
        except (UserError, TurnInProgress, StartFailed, SignInRefused) as error:
            refusal = failed(str(error))
            reply = msgspec.structs.replace(refusal, exists=isinstance(error, FileInTheWay))
        except ModelError as error:
            reply = failed(error.what, todo=error.todo)
        except JournalBroken as error:
            reply = failed("it could not be written to disk", str(error), "free space, then try again")
        except Exception as error:
            logger.exception("%s broke", type(command).__name__)
            reply = failed(
                "something went wrong inside Omni TUI", type(error).__name__, "the log has the details"
            )
        if reply is not None:
            self.outbox.offer(msgspec.structs.replace(reply, request=command.request))
        return isinstance(reply, CommandFailed)


def failed(what: str, why: str = "", todo: str = "") -> CommandFailed:
    """Return the answer to a command that was refused or went wrong."""
    return CommandFailed(
        what=safe(what, limit=2000), why=safe(why, limit=2000), todo=safe(todo, limit=1000)
    )
