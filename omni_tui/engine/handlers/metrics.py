"""The command about metrics: everything counted since the engine started."""

from __future__ import annotations

from omni_tui.engine.handlers.base import Handlers
from omni_tui.observability.histogram import DurationHistogram
from omni_tui.observability.metrics import INTERVAL_S
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ServerChanged
from omni_tui.protocol.metrics import MetricsRead, ReadMetrics, ServerMetrics


class MetricsHandlers(Handlers):
    """Returns the metrics of the engine, of all its sessions together."""

    async def _read(self, _command: ReadMetrics) -> AnyEvent:
        context, metrics = self._context, self._context.metrics
        with metrics.lock:
            turns, decisions = dict(metrics.turns), dict(metrics.decisions)
            waited = metrics.waited.mean
        return MetricsRead(
            since=metrics.since,
            interval=INTERVAL_S,
            points=metrics.points(),
            tools=metrics.tool_rows(),
            servers=tuple(self._server(event) for event in context.registry.snapshot()[:100]),
            models=metrics.model_rows(),
            errors=metrics.error_rows(),
            turns=turns,
            decisions=decisions,
            waited=waited,
            cache_entries=len(context.cache),
            cache_hits=context.cache.hits,
            pool=context.pool.depth(),
        )

    def _server(self, event: ServerChanged) -> ServerMetrics:
        tools = self._context.metrics.of_server(event.name)
        durations = DurationHistogram()
        for each in tools:
            durations = durations.merged(each.durations)
        return ServerMetrics(
            server=event.name,
            state=event.state,
            latency_ms=event.latency_ms,
            calls=sum(each.successes + each.failures for each in tools),
            failed=sum(each.failures for each in tools),
            attempts_failed=sum(each.attempts_failed for each in tools),
            mean=durations.mean,
        )
