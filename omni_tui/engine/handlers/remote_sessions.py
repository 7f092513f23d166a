"""The commands about sessions that lie in Redis."""

from __future__ import annotations

from omni_tui.engine.handlers.base import Handlers
from omni_tui.memory import session_path
from omni_tui.memory.redis import RemoteSession, fetch_remarks
from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.remote_sessions import (
    FetchSession,
    ListRemoteSessions,
    RemoteSessionInfo,
    RemoteSessionsListed,
    SessionFetched,
)
from omni_tui.security.text import safe, safe_line

_MOST = 500
"""Sessions of a reply."""


class RemoteSessionHandlers(Handlers):
    """Listing and fetching. Nothing is sent to any server of tools."""

    async def _list_remote(self, _command: ListRemoteSessions) -> AnyEvent:
        """List what is in Redis."""
        self._check_person()
        memory = self._context.redis
        found = await memory.list_remote()
        infos = await self._in_pool(lambda: tuple(map(self._info, found[:_MOST])))
        return RemoteSessionsListed(
            sessions=infos, total=len(found), where=safe_line(memory.where, limit=200)
        )

    async def _fetch_session(self, command: FetchSession) -> AnyEvent:
        """Save a session from Redis here."""
        self._check_person()
        if not command.copy and command.session in self._engine.sessions:
            raise UserError("the session is open here already")
        report = await self._context.redis.fetch(command.session, copy=command.copy)
        remarks = fetch_remarks(report, taken=not command.copy)
        return SessionFetched(
            id=report.session,
            events=report.events,
            remarks=tuple(safe(each, limit=500) for each in remarks),
        )

    def _info(self, found: RemoteSession) -> RemoteSessionInfo:
        info = found.info
        try:
            here = session_path(self._context.loaded.paths.state_dir, found.id).exists()
        except ValueError:
            here = False
        if info is None:
            return RemoteSessionInfo(
                id=safe_line(found.id, limit=80), why=safe(found.why, limit=400), here=here
            )
        return RemoteSessionInfo(
            id=found.id,
            title=safe_line(info.title, limit=400),
            machine=safe_line(info.machine, limit=120),
            updated=info.updated,
            events=found.events,
            open=info.open,
            here=here,
        )
