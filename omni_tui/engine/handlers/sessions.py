"""Commands about sessions and what is said in them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from omni_tui.approvals import COVERS
from omni_tui.engine.handlers.arrival import caught_up
from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.engine.handlers.prompts_and_resources import read_attachments
from omni_tui.memory import (
    Branch,
    Journal,
    NoSuchMessage,
    branch_before,
    copy_branch_calls,
    list_sessions,
    new_session_id,
    session_path,
)
from omni_tui.models.attachments import with_attachments
from omni_tui.models.base import Message
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol.events import CommandDone, SessionBranched, SessionsListed
from omni_tui.security.text import safe

_MOST_LISTED = 500


class SessionHandlers(Handlers):
    """Sending, stopping and continuing turns; modes; new, opened and branched sessions."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {
            c.SendMessage: self._send,
            c.StopRun: self._stop,
            c.ContinueRun: self._continue,
            c.SendNow: self._send_now,
            c.SetMode: self._set_mode,
            c.NewSession: self._new_session,
            c.OpenSession: self._open_session,
            c.BranchSession: self._branch,
            c.ListSessions: self._list_sessions,
        }

    async def _send(self, command: c.SendMessage) -> AnyEvent:
        if not command.text.strip():
            raise UserError("an empty message was not sent")
        runner = self._session.runner
        if not command.attachments:
            return CommandDone(id=await runner.send(command.text))
        limit = self._context.loaded.config.tools.result_limit
        quoted, shown = await read_attachments(self._context, command.attachments, limit)
        told = with_attachments(command.text, quoted, limit)
        images = tuple(image for one in quoted for image in one.images)
        turn = await runner.send(command.text, told=told, attachments=shown, images=images)
        return CommandDone(id=turn)

    async def _stop(self, _command: c.StopRun) -> AnyEvent:
        stopped = await self._session.runner.stop()
        return CommandDone(text=safe("stopped" if stopped else "nothing was running"))

    async def _continue(self, _command: c.ContinueRun) -> AnyEvent:
        await self._session.runner.continue_turn()
        return CommandDone()

    async def _send_now(self, _command: c.SendNow) -> AnyEvent:
        self._session.startup_wait.send_at_once()
        return CommandDone()

    async def _set_mode(self, command: c.SetMode) -> AnyEvent:
        words = COVERS[command.mode]
        await self._session.set_mode(command.mode, words)
        runs = self._session.runner.mode
        if runs is not None and runs != command.mode:
            words += f"; what was sent before stays in {runs} mode, and gets no freer by this change"
        return CommandDone(text=safe(words))

    async def _new_session(self, _command: c.NewSession) -> AnyEvent:
        await self._engine.switch(self._client)
        return CommandDone()

    async def _open_session(self, command: c.OpenSession) -> AnyEvent:
        await self._engine.switch(self._client, command.session)
        return CommandDone()

    async def _list_sessions(self, _command: c.ListSessions) -> AnyEvent:
        state, vault = self._context.loaded.paths.state_dir, self._context.vault
        found = await self._in_pool(list_sessions, state, vault)
        sessions = tuple(found.sessions[:_MOST_LISTED])
        return SessionsListed(sessions=sessions, unreadable=len(found.unreadable))

    # --- edit and resend ------------------------------------------------------------------------

    async def _branch(self, command: c.BranchSession) -> AnyEvent:
        """Send an earlier message again, as it was or edited, in a new session that branches off there."""
        source = self._session
        if source.runner.running:
            raise UserError("a turn is running; stop it first (Esc)")
        try:
            found: Branch = await source.journal.run(lambda tx: branch_before(tx, command.turn))
        except NoSuchMessage as error:
            raise UserError(str(error)) from None
        session = new_session_id()
        path = session_path(self._context.loaded.paths.state_dir, session)
        journal = await Journal.open(path, session, self._context.vault, _ignore)
        try:
            began = SessionBranched(origin=source.journal.session, turn=command.turn)
            await journal.adopt([*found.events, began], lambda tx: copy_branch_calls(tx, found))
        finally:
            await journal.close(clean=True)
        await self._engine.switch(self._client, session)
        # Nothing is sent before the client shows the new session.
        await caught_up(self._engine, self._client)
        runner = self._session.runner
        if command.text.strip():
            await runner.send(command.text)
        else:
            shown, exact = found.message, Message(role="user")
            if found.told is not None:
                exact = msgspec.json.decode(found.told.body_json, type=Message)
            await runner.send(
                shown.words, told=exact.text, attachments=shown.attachments, images=exact.images
            )
        return CommandDone(
            id=session, text=safe("this goes on in a session of its own; the former one stays")
        )


def _ignore(_events: Sequence[AnyEvent]) -> None:
    """Nobody listens to a session before it is opened."""
