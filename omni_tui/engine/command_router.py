"""What each command does. A handler answers with a reply event; a refusal is a `CommandFailed`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec

from omni_tui.approvals import COVERS
from omni_tui.engine.call_content_handlers import CallContentHandlers
from omni_tui.engine.core import Engine, StartFailed
from omni_tui.engine.fanout import EventBuffer
from omni_tui.engine.media_handlers import MediaHandlers
from omni_tui.engine.model_handlers import ModelHandlers
from omni_tui.engine.plan_handlers import PlanHandlers
from omni_tui.engine.prompt_resource_handlers import PromptResourceHandlers, read_attachments
from omni_tui.engine.server_handlers import ServerHandlers
from omni_tui.engine.server_request_handlers import ServerRequestHandlers
from omni_tui.engine.server_settings_handlers import ServerSettingsHandlers
from omni_tui.engine.session_branch import branch_session
from omni_tui.engine.signin_handlers import SignInHandlers
from omni_tui.engine.stats_handlers import StatsHandlers
from omni_tui.engine.system_prompt_handlers import SystemPromptHandlers
from omni_tui.engine.tool_handlers import ToolHandlers
from omni_tui.engine.turn_runner import TurnInProgress
from omni_tui.engine.welcome import caught_up, replay, welcome
from omni_tui.engine.wire_log_handlers import WireLogHandlers
from omni_tui.memory import JournalBroken, list_sessions
from omni_tui.models.attachments import with_attachments
from omni_tui.models.base import ModelError
from omni_tui.protocol import AnyCommand, AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CommandDone, CommandFailed, SessionsListed
from omni_tui.security.text import safe

logger = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[AnyEvent | None]]

BEGINS = (c.SendMessage, c.ContinueRun, c.CallTool)
"""Commands that begin something a face must show."""


class CommandRouter:
    """The command table of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        servers, tools, view = ServerHandlers(engine), ToolHandlers(engine), CallContentHandlers(engine)
        offers = PromptResourceHandlers(engine)
        self._table: dict[type, Handler] = {
            c.SendMessage: self._send,
            c.StopRun: self._stop,
            c.ContinueRun: self._continue,
            c.SendNow: self._send_now,
            c.SetMode: self._set_mode,
            c.SetModel: self._set_model,
            c.NewSession: self._new_session,
            c.OpenSession: self._open_session,
            c.ListSessions: self._list_sessions,
            **servers.table(),
            **SignInHandlers(engine).table(),
            **ServerSettingsHandlers(engine).table(),
            **WireLogHandlers(engine).table(),
            **tools.table(),
            **view.table(),
            **offers.table(),
            **ServerRequestHandlers(engine).table(),
            **StatsHandlers(engine).table(),
            **MediaHandlers(engine, view, offers).table(),
            **PlanHandlers(engine).table(),
            **SystemPromptHandlers(engine).table(),
            **ModelHandlers(engine).table(),
        }

    async def handle(self, command: AnyCommand, outbox: EventBuffer) -> None:
        """Carry out one command and answer it; never raises for what it was asked."""
        reply = await self._answer(command, outbox)
        if reply is not None:
            outbox.offer(msgspec.structs.replace(reply, request=command.request))

    async def _answer(self, command: AnyCommand, outbox: EventBuffer) -> AnyEvent | None:
        try:
            if isinstance(command, c.Hello):
                await self._hello(command, outbox)
                return None
            if isinstance(command, c.Replay):
                await replay(self._engine, outbox, command.after, command.request)
                return None
            if isinstance(command, c.BranchSession):
                return await self._branch(command, outbox)
            handler = self._table.get(type(command))
            if handler is None:
                return failed("this engine does not know that command")
            if isinstance(command, BEGINS):
                await caught_up(self._engine, outbox)
            return await handler(command)
        except (UserError, TurnInProgress, StartFailed) as error:
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

    async def _hello(self, command: c.Hello, outbox: EventBuffer) -> None:
        await welcome(self._engine, outbox, command.cursor, command.request)
        for notice in self._engine.notices:
            outbox.offer(notice)

    async def _send(self, command: c.SendMessage) -> AnyEvent:
        if not command.text.strip():
            raise UserError("an empty message was not sent")
        if not command.attachments:
            turn = await self._engine.session.runner.send(command.text)
            return CommandDone(id=turn)
        limit = self._engine.loaded.config.tools.result_limit
        quoted, shown = await read_attachments(self._engine, command.attachments, limit)
        told = with_attachments(command.text, quoted, limit)
        images = tuple(image for one in quoted for image in one.images)
        runner = self._engine.session.runner
        turn = await runner.send(command.text, told=told, attachments=shown, images=images)
        return CommandDone(id=turn)

    async def _stop(self, command: c.StopRun) -> AnyEvent:
        stopped = await self._engine.session.runner.stop()
        return CommandDone(text=safe("stopped" if stopped else "nothing was running"))

    async def _continue(self, command: c.ContinueRun) -> AnyEvent:
        await self._engine.session.runner.go_on()
        return CommandDone()

    async def _send_now(self, command: c.SendNow) -> AnyEvent:
        self._engine.gathering.send_at_once()
        return CommandDone()

    async def _set_mode(self, command: c.SetMode) -> AnyEvent:
        await self._engine.session.set_mode(command.mode, COVERS[command.mode])
        words, runs = COVERS[command.mode], self._engine.session.runner.mode
        if runs is not None and runs != command.mode:
            words += f"; what was sent before stays in {runs} mode, and gets no freer by this change"
        return CommandDone(text=safe(words))

    async def _set_model(self, command: c.SetModel) -> AnyEvent:
        self._engine.models.breakers.reset(command.name)
        await self._engine.session.set_model(command.name)
        return CommandDone(text=safe(f"{command.name} answers from your next message on"))

    async def _new_session(self, command: c.NewSession) -> AnyEvent:
        await self._engine.switch_session()
        return CommandDone()

    async def _open_session(self, command: c.OpenSession) -> AnyEvent:
        await self._engine.switch_session(command.session)
        return CommandDone()

    async def _branch(self, command: c.BranchSession, outbox: EventBuffer) -> AnyEvent:
        session = await branch_session(
            self._engine, command.turn, command.text, lambda: caught_up(self._engine, outbox)
        )
        return CommandDone(
            id=session, text=safe("this goes on in a session of its own; the former one stays")
        )

    async def _list_sessions(self, command: c.ListSessions) -> AnyEvent:
        engine = self._engine
        state = engine.loaded.paths.state_dir
        import asyncio

        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(engine.pool, list_sessions, state, engine.vault)
        return SessionsListed(sessions=tuple(found.sessions[:500]), unreadable=len(found.unreadable))


def failed(what: str, why: str = "", todo: str = "") -> CommandFailed:
    """Return the answer to a command that was refused or went wrong."""
    return CommandFailed(
        what=safe(what, limit=2000), why=safe(why, limit=2000), todo=safe(todo, limit=1000)
    )
