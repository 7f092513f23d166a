"""The open sessions of an engine, and which of them a call or a server request belongs to."""

from __future__ import annotations

import time

from omni_tui.engine.live_session import LiveSession
from omni_tui.servers import Dispatch
from omni_tui.servers.base import DispatchRefused
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer


class OpenSessions(dict[str, LiveSession]):
    """The open sessions by id."""

    def is_open(self, dispatch: Dispatch) -> bool:
        """Return whether the gate of one of them has this very dispatch open."""
        return any(session.gate.is_open(dispatch) for session in self.values())

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        """Journal that a call continues with answers, in its own session. Raises `DispatchRefused`."""
        for session in self.values():
            if session.gate.is_open(dispatch):
                return await session.gate.dispatches.goes_on(dispatch, number, methods)
        raise DispatchRefused(f"the call {dispatch.call} is over")

    async def server_request(self, request: ServerRequest) -> ServerRequestAnswer:
        """Put a server request before a person who follows the session it belongs to."""
        session = self._session_of(request)
        if session is None:
            return ServerRequestAnswer("cancel", reason="nobody is there to answer")
        return await session.asks.ask(request)

    def _session_of(self, request: ServerRequest) -> LiveSession | None:
        """Return the session in which a server request is answered, None if nobody is there.

        That is the session of its call. Where the server does not tell the call, it is the session
        that somebody used last.
        """
        attended = [session for session in self.values() if session.attended]
        if request.call:
            attended = [session for session in attended if session.gate.row(request.call) is not None]
        return max(attended, key=lambda session: session.used, default=None)

    async def tools_listed(self, server: str) -> None:
        """Continue what waited in any session for a server's tools."""
        for session in list(self.values()):
            await session.listed(server)

    def server_allowed(self, server: str) -> None:
        """Note in every session that the person allowed a server now: earlier messages do not profit."""
        for session in self.values():
            session.turns.allowed(server)

    def touch(self, session: str) -> None:
        """Note that somebody uses a session now."""
        if session in self:
            self[session].used = time.monotonic()
