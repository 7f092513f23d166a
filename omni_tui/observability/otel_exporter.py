"""Makes OpenTelemetry's spans and metrics of what was recorded, and sends them to a collector.

Importing this module loads the SDK; only the thread of `Telemetry` does. Source: OpenTelemetry's semantic
conventions for generative AI and MCP, 0.1.0.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from omni_tui import __version__
from omni_tui.observability.histogram import BOUNDS_S, DurationHistogram
from omni_tui.observability.metrics import Metrics, ModelTotals, ToolTotals
from omni_tui.observability.telemetry import PUSH_S, TelemetrySettings
from omni_tui.observability.trace_fold import OpenSpan, OpenTrace, TraceFold
from omni_tui.observability.trace_ids import span_id, trace_id
from omni_tui.protocol import AnyEvent

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
_REST_S = 30.0
"""Seconds that a collector is left alone after it did not answer."""
_SESSIONS = 20
"""Sessions whose traces are kept while they grow."""
_NANO = 1_000_000_000
_GOOD = frozenset(("", "done", "succeeded", "cached", "approved", "accepted", "stopped", "limit"))
_Attributes = dict[str, str | int | float | bool]


class OtelExporter:
    """Sends the traces that are over, and the metrics. Used from one thread."""

    def __init__(self, settings: TelemetrySettings, metrics: Metrics) -> None:
        address, headers = settings.otlp.rstrip("/"), dict(settings.headers)
        self._spans = OTLPSpanExporter(f"{address}/v1/traces", headers=headers, timeout=TIMEOUT_S)
        self._points = OTLPMetricExporter(f"{address}/v1/metrics", headers=headers, timeout=TIMEOUT_S)
        self._settings = settings
        self._metrics = metrics
        self._resource = Resource({"service.name": "omni-tui", "service.version": __version__})
        self._scope = InstrumentationScope("omni-tui", __version__)
        self._folds: dict[str, TraceFold] = {}
        self._pushed = time.monotonic()
        self._rests_until = 0.0

    def take(self, session: str, events: Sequence[AnyEvent]) -> None:
        """Take events of a session, and send the traces that are over with them."""
        fold = self._folds.setdefault(session, TraceFold(contents=self._settings.contents))
        if len(self._folds) > _SESSIONS:
            del self._folds[next(iter(self._folds))]
        fold.take_all(events)
        over, fold.over = fold.over, []
        for trace in over:
            self._send(spans_of(session, trace, self._resource, self._scope, self._settings))

    def _send(self, spans: Sequence[ReadableSpan]) -> None:
        if time.monotonic() < self._rests_until or not spans:
            return
        if self._spans.export(spans) is not SpanExportResult.SUCCESS:
            self._rest()

    def _rest(self) -> None:
        logger.warning("the OpenTelemetry collector does not answer; it is left alone for %g s", _REST_S)
        self._rests_until = time.monotonic() + _REST_S

    def push_metrics_in_time(self) -> None:
        """Send the metrics if that is due."""
        if time.monotonic() - self._pushed >= PUSH_S:
            self.push_metrics()

    def push_metrics(self) -> None:
        """Send the metrics as they are now."""
        self._pushed = time.monotonic()
        if self._pushed < self._rests_until:
            return
        scope = ScopeMetrics(self._scope, otel_metrics(self._metrics), "")
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        if self._points.export(data, timeout_millis=TIMEOUT_S * 1000).name != "SUCCESS":
            self._rest()


# --- spans ------------------------------------------------------------------------------------------


def spans_of(
    session: str,
    trace: OpenTrace,
    resource: Resource,
    scope: InstrumentationScope,
    settings: TelemetrySettings,
) -> list[ReadableSpan]:
    """Return the spans of a trace that is over. A call by hand has no turn around it."""
    ident, flags = trace_id(session, trace.id), TraceFlags(TraceFlags.SAMPLED)
    contexts = {
        span.id: SpanContext(ident, span_id(session, span.call or span.id), False, flags)
        for span in trace.spans
    }
    spans: list[ReadableSpan] = []
    root: SpanContext | None = None
    if trace.kind == "turn":
        root = SpanContext(ident, span_id(session, trace.id), False, flags)
        attributes: _Attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "omni-tui",
            "gen_ai.conversation.id": session,
            "omni_tui.turn.state": trace.state,
            "omni_tui.spans_left_out": trace.left_out,
        }
        _add_contents(attributes, trace.contents, settings)
        spans.append(
            ReadableSpan(
                "invoke_agent omni-tui",
                context=root,
                resource=resource,
                attributes=attributes,
                status=_status(trace.state),
                start_time=_nano(trace.began),
                end_time=_nano(trace.ended),
                instrumentation_scope=scope,
            )
        )
    for span in trace.spans:
        name, kind, attributes = _described(span)
        attributes["gen_ai.conversation.id"] = session
        _add_contents(attributes, span.contents, settings)
        spans.append(
            ReadableSpan(
                name,
                context=contexts[span.id],
                parent=contexts.get(span.parent, root),
                resource=resource,
                attributes=attributes,
                kind=kind,
                status=_status(span.state),
                start_time=_nano(span.began),
                end_time=_nano(span.ended),
                instrumentation_scope=scope,
            )
        )
    return spans


def _described(span: OpenSpan) -> tuple[str, SpanKind, _Attributes]:
    """Return the name, kind and attributes of a span."""
    if span.kind == "model":
        provider = span.name.partition("/")[0] if "/" in span.name else span.name
        found: _Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": span.name,
        }
        if span.usage is not None:
            found["gen_ai.usage.input_tokens"] = span.usage.input
            found["gen_ai.usage.output_tokens"] = span.usage.output
            found["gen_ai.usage.cache_read.input_tokens"] = span.usage.cached
        if span.first_ms:
            found["gen_ai.response.time_to_first_chunk"] = span.first_ms / 1000
        if span.error:
            found["error.type"] = span.error
        return f"chat {span.name}", SpanKind.CLIENT, found
    if span.kind == "call":
        found = {
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": span.tool,
            "omni_tui.server": span.server,
            "omni_tui.call.state": span.state,
        }
        if span.state not in _GOOD:
            found["error.type"] = "tool_error" if span.state == "failed" else span.state
        return f"tools/call {span.tool}", SpanKind.CLIENT, found
    if span.kind == "task":
        found = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": span.name}
        return f"invoke_agent {span.name}", SpanKind.INTERNAL, found
    return f"{span.kind} {span.name}", SpanKind.INTERNAL, {"omni_tui.span.kind": span.kind}


def _add_contents(
    attributes: _Attributes, contents: Mapping[str, str], settings: TelemetrySettings
) -> None:
    if settings.contents:
        attributes.update({name: settings.redact(text) for name, text in contents.items()})


def _status(state: str) -> Status:
    return Status(StatusCode.UNSET) if state in _GOOD else Status(StatusCode.ERROR, state)


def _nano(seconds: float) -> int:
    return int(seconds * _NANO)


# --- metrics ----------------------------------------------------------------------------------------


def otel_metrics(metrics: Metrics) -> list[Metric]:
    """Return the metrics as they are now, under their own names and those of the conventions."""
    start, now = _nano(metrics.since), time.time_ns()
    with metrics.lock:
        tools, models = list(metrics.tools.items()), list(metrics.models.items())
        calls = [point for (server, _), totals in tools for point in _calls(server, totals, start, now)]
        times = [point for (server, _), totals in tools for point in _times(server, totals, start, now)]
        tokens = [point for name, totals in models for point in _tokens(name, totals, start, now)]
        requests = [
            _durations(
                {"gen_ai.request.model": name, "gen_ai.operation.name": "chat"}, each.durations, start, now
            )
            for name, each in models
        ]
        talks = [
            NumberDataPoint({"mode": mode}, start, now, count)
            for mode, count in metrics.interactions.items()
        ]
        errors = [
            NumberDataPoint({"source": source, "error.type": kind}, start, now, count)
            for (source, kind), count in metrics.errors.items()
        ]
    total = AggregationTemporality.CUMULATIVE
    return [
        Metric("tool_executions_total", "Ended tool calls", "1", Sum(calls, total, True)),
        Metric("tool_execution_duration", "Duration of tool calls", "s", Histogram(times, total)),
        Metric("user_interaction", "Messages that were worked on", "1", Gauge(talks)),
        Metric(
            "gen_ai.client.operation.duration",
            "Duration of model requests",
            "s",
            Histogram(requests, total),
        ),
        Metric("omni_tui.model.tokens", "Tokens of model requests", "{token}", Sum(tokens, total, True)),
        Metric("omni_tui.errors", "What failed", "1", Sum(errors, total, True)),
    ]


def _calls(server: str, totals: ToolTotals, start: int, now: int) -> list[NumberDataPoint]:
    counts = (("true", totals.successes), ("false", totals.failures))
    labels = {"server": server, "tool": totals.label}
    return [
        NumberDataPoint({**labels, "success": how}, start, now, count) for how, count in counts if count
    ]


def _times(server: str, totals: ToolTotals, start: int, now: int) -> list[HistogramDataPoint]:
    found = (("true", totals.succeeded), ("false", totals.failed))
    labels = {"server": server, "tool": totals.label}
    return [_durations({**labels, "success": how}, each, start, now) for how, each in found if each.count]


def _tokens(name: str, totals: ModelTotals, start: int, now: int) -> list[NumberDataPoint]:
    found = (("input", totals.input), ("output", totals.output))
    return [
        NumberDataPoint({"gen_ai.request.model": name, "gen_ai.token.type": kind}, start, now, count)
        for kind, count in found
    ]


def _durations(
    labels: dict[str, str], found: DurationHistogram, start: int, now: int
) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=start,
        time_unix_nano=now,
        count=found.count,
        sum=found.total,
        bucket_counts=list(found.counts),
        explicit_bounds=list(BOUNDS_S),
        min=0.0,
        max=found.longest,
    )
