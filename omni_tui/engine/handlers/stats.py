"""Commands about how calls are carried out: what is kept, how they went, how full the pool is."""

from __future__ import annotations

from omni_tui.engine.handlers.base import Handler, Handlers
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead
from omni_tui.protocol.events import CommandDone
from omni_tui.security.text import safe


class StatsHandlers(Handlers):
    """Counting and forgetting."""

    def table(self) -> dict[type, Handler]:
        """Return the handlers by command."""
        return {ClearCache: self._clear, ReadStats: self._read}

    async def _clear(self, command: ClearCache) -> AnyEvent:
        if command.server:
            self._context.connection(command.server)
        dropped = self._context.cache.clear(command.server)
        results = "1 result was" if dropped == 1 else f"{dropped} results were"
        return CommandDone(text=safe(f"{results} dropped from the cache"))

    async def _read(self, _command: ReadStats) -> AnyEvent:
        return StatsRead(
            pool=self._context.pool.depth(),
            tools=self._session.feed.stats.rows(),
            cache_entries=len(self._context.cache),
            cache_hits=self._context.cache.hits,
        )
