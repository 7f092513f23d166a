"""What all handlers have: the engine, the client whose commands they carry out, and its session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.live_session import LiveSession
from omni_tui.protocol import AnyEvent

_P = ParamSpec("_P")
_T = TypeVar("_T")

Handler = Callable[[Any], Awaitable[AnyEvent | None]]
"""Carries out one command and returns its reply. A refusal is a `UserError`."""


class Handlers:
    """The handlers of one client for the commands about one subject."""

    def __init__(self, engine: Engine, client: Client) -> None:
        self._engine = engine
        self._context = engine.context
        self._client = client

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {}

    @property
    def _session(self) -> LiveSession:
        return self._engine.session(self._client)

    async def _in_pool(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do blocking work in the engine's pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._context.pool, lambda: work(*args, **kwargs))
