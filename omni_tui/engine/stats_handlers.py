"""Commands about how calls are carried out: what is kept, how they went, how full the pool is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omni_tui.protocol import AnyEvent, UserError
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead
from omni_tui.protocol.events import CommandDone
from omni_tui.security.text import safe

if TYPE_CHECKING:
    from omni_tui.engine.core import Engine


class StatsHandlers:
    """Counting and forgetting."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def table(self) -> dict[type, Any]:
        """Return the handlers by command type."""
        return {ClearCache: self._clear, ReadStats: self._read}

    async def _clear(self, command: ClearCache) -> AnyEvent:
        known = self._engine.registry.names()
        if command.server and command.server not in known:
            names = ", ".join(sorted(known)) or "none"
            raise UserError(f"there is no server named {command.server}; there are: {names}")
        dropped = self._engine.cache.clear(command.server)
        results = "1 result was" if dropped == 1 else f"{dropped} results were"
        return CommandDone(text=safe(f"{results} dropped from the cache"))

    async def _read(self, _command: ReadStats) -> AnyEvent:
        engine = self._engine
        return StatsRead(
            pool=engine.pool.depth(),
            tools=engine.executions.rows(),
            cache_entries=len(engine.cache),
            cache_hits=engine.cache.hits,
        )
