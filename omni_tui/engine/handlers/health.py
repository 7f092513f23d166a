"""Commands about health: read it, and try again what failed."""

from __future__ import annotations

import asyncio

from omni_tui.engine.handlers.base import Handlers
from omni_tui.engine.health import read_health
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.health import HealthRead, ReadHealth, TryAgain
from omni_tui.security.text import safe


class HealthHandlers(Handlers):
    """Tells how everything does that the client's session depends on."""

    async def _read(self, _command: ReadHealth) -> AnyEvent:
        return HealthRead(checks=tuple(read_health(self._context, self._session)))

    async def _try_again(self, _command: TryAgain) -> AnyEvent:
        registry, breakers = self._context.registry, self._context.models.breakers
        failed = [server.name for server in registry.snapshot() if server.state == "failed"]
        models = breakers.troubled()
        for name in models:
            breakers.succeeded(name)
        self._session.pauses.skip()
        await asyncio.gather(*(registry.get(name).reconnect() for name in failed))
        if self._context.redis.on:
            await self._session.memory.follow()
        names = ", ".join((*failed, *models))
        return CommandDone(text=safe(f"trying again: {names}" if names else "nothing has failed"))
