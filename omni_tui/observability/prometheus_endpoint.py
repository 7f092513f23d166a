"""The page at which Prometheus reads the metrics: `http://127.0.0.1:PORT/metrics`, for this machine only.

It is made when it is read; counting costs nothing more for it. Importing this module loads the library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from omni_tui.observability.histogram import BOUNDS_S, DurationHistogram
from omni_tui.observability.metrics import Metrics

HOST = "127.0.0.1"
_HERE = frozenset((HOST, "localhost", "[::1]"))
_TOOL = ("server", "tool", "success")


class MetricsCollector(Collector):
    """Makes Prometheus's metrics of ours at each reading."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are looked at when they are read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now."""
        metrics = self._metrics
        with metrics.lock:
            found = [*self._tools(), *self._models(), *self._rest()]
        yield from found

    def _tools(self) -> Iterator[Metric]:
        count = CounterMetricFamily("tool_executions", "Ended tool calls", labels=_TOOL)
        times = HistogramMetricFamily("tool_execution_duration", "Seconds of tool calls", labels=_TOOL)
        for (server, _), totals in self._metrics.tools.items():
            of = ((totals.successes, totals.succeeded, "true"), (totals.failures, totals.failed, "false"))
            for number, durations, success in of:
                labels = (server, totals.label, success)
                if number:
                    count.add_metric(labels, number)
                if durations.count:
                    times.add_metric(labels, _buckets(durations), durations.total)
        yield from (count, times)

    def _models(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("model_requests", "Model requests", labels=("model", "success"))
        times = HistogramMetricFamily("model_request_duration", "Seconds of requests", labels=("model",))
        tokens = CounterMetricFamily("model_tokens", "Tokens of model requests", labels=("model", "type"))
        cost = CounterMetricFamily("model_cost_dollars", "Known cost of model requests", labels=("model",))
        for name, totals in self._metrics.models.items():
            requests.add_metric((name, "true"), totals.requests)
            requests.add_metric((name, "false"), totals.failed.total())
            times.add_metric((name,), _buckets(totals.durations), totals.durations.total)
            tokens.add_metric((name, "input"), totals.input)
            tokens.add_metric((name, "output"), totals.output)
            cost.add_metric((name,), totals.cost)
        yield from (requests, times, tokens, cost)

    def _rest(self) -> Iterator[Metric]:
        metrics = self._metrics
        talks = GaugeMetricFamily("user_interaction", "Messages that were worked on", labels=("mode",))
        for mode, count in metrics.interactions.items():
            talks.add_metric((mode,), count)
        turns = CounterMetricFamily("turns", "Turns that ended", labels=("status",))
        for status, count in metrics.turns.items():
            turns.add_metric((status,), count)
        decisions = CounterMetricFamily("call_decisions", "Decisions on calls", labels=("decision",))
        for decision, count in metrics.decisions.items():
            decisions.add_metric((decision,), count)
        errors = CounterMetricFamily("errors", "What failed", labels=("source", "kind"))
        for (source, kind), count in metrics.errors.items():
            errors.add_metric((source, kind), count)
        waited = HistogramMetricFamily("approval_wait_duration", "Seconds that approved calls waited")
        waited.add_metric((), _buckets(metrics.waited), metrics.waited.total)
        yield from (talks, turns, decisions, errors, waited)


def _buckets(found: DurationHistogram) -> list[tuple[str, float]]:
    """Return the counts as Prometheus has them: each with all those below it."""
    bounds = (*(str(bound) for bound in BOUNDS_S), "+Inf")
    return list(zip(bounds, accumulate(found.counts), strict=True))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    """Writes nothing: the terminal belongs to the face."""

    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class PrometheusEndpoint:
    """Serves the metrics. Raises `OSError` if the port cannot be had."""

    def __init__(self, metrics: Metrics, port: int) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(MetricsCollector(metrics))
        self._page = make_wsgi_app(registry)
        self._server = _Server((HOST, port), _QuietHandler)
        self._server.set_app(self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, name="prometheus", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self._server.server_port)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # A page in a browser may reach this port under another name.
        host = str(environ.get("HTTP_HOST", "")).rsplit(":", 1)[0] if environ.get("HTTP_HOST") else HOST
        if host not in _HERE:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"only for this machine, under the name 127.0.0.1 or localhost\n"]
        if environ.get("PATH_INFO") != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"the metrics are at /metrics\n"]
        page: Iterable[bytes] = self._page(environ, start_response)
        return page

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
