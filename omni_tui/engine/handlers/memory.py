"""The command about the memory in Redis."""

from __future__ import annotations

from omni_tui.engine.handlers.base import Handlers
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.memory import SetMemory
from omni_tui.security.text import safe


class MemoryHandlers(Handlers):
    """`/memory on` and `off`."""

    async def _set_memory(self, command: SetMemory) -> AnyEvent:
        """Mirror every open session to Redis from now on, or none. What is stored stays."""
        self._check_person()
        memory = self._context.redis
        if command.on:
            await self._in_pool(memory.sealers)
        memory.on, memory.wanted = command.on, memory.wanted or command.on
        for session in list(self._engine.sessions.values()):
            await session.memory.follow()
        memory.catch_up(self._engine.sessions.__contains__)
        if command.on:
            return CommandDone(text=safe(f"sessions are mirrored to {memory.where} until the app ends"))
        return CommandDone(text=safe("sessions are saved in their journals only; what is in Redis stays"))
