"""What is exported: spans and metrics to an OpenTelemetry collector, metrics for Prometheus to read.

On the way of a call nothing is done but to put its events into a queue. Everything else happens on daemon
threads, from recorded times: a collector that hangs delays nobody. No global tracer provider is set.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from omni_tui.observability.metrics import Metrics
from omni_tui.observability.trace_fold import CONTENTS, TRACED
from omni_tui.protocol import AnyEvent

if TYPE_CHECKING:
    from omni_tui.observability.prometheus_endpoint import PrometheusEndpoint

logger = logging.getLogger(__name__)

PUSH_S = 15.0
"""Seconds between two exports of metrics."""
LEAVE_S = 1.0
"""The most that the end of the engine waits for what is still to be exported."""
_MOST_QUEUED = 10_000
"""Batches of events that wait; further ones are dropped and counted."""


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """What to export. `otlp` is the address of a collector, `prometheus_port` a port on this machine.

    `headers` are sent to the collector. `contents`: messages, arguments and results are exported too,
    after `redact`.
    """

    otlp: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    prometheus_port: int = 0
    contents: bool = False
    redact: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class _Batch:
    session: str
    events: tuple[AnyEvent, ...]


class Telemetry:
    """The exporters of one engine. `problems` says in a sentence each what cannot be exported, and why."""

    def __init__(self, settings: TelemetrySettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._kinds = frozenset(TRACED + CONTENTS) if settings.contents else frozenset(TRACED)
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._endpoint: PrometheusEndpoint | None = None
        self._attached: Callable[[str, str, str], contextlib.AbstractContextManager[None]] | None = None
        self.dropped = 0
        self.problems: list[str] = []

    @property
    def queued(self) -> int:
        """How many batches of events wait to be exported."""
        return self._queue.qsize()

    def start(self) -> None:
        """Start what the settings ask for. Imports libraries; call it in a thread."""
        settings = self._settings
        if settings.otlp and _installed("otel", self.problems):
            from omni_tui.observability.trace_context import attached

            self._attached = attached
            self._thread = threading.Thread(target=self._export, name="otel", daemon=True)
            self._thread.start()
        if settings.prometheus_port and _installed("prometheus", self.problems):
            from omni_tui.observability.prometheus_endpoint import PrometheusEndpoint

            try:
                self._endpoint = PrometheusEndpoint(self._metrics, settings.prometheus_port)
            except OSError as error:
                self.problems.append(
                    f"Prometheus cannot read metrics at port {settings.prometheus_port}: "
                    f"{error.strerror or error}; choose another telemetry.prometheus_port"
                )

    def take(self, session: str, events: Sequence[AnyEvent]) -> None:
        """Have events of a session exported. Never blocks."""
        if self._thread is None:
            return
        wanted = tuple(event for event in events if type(event) in self._kinds)
        if not wanted:
            return
        if self._queue.qsize() >= _MOST_QUEUED:
            self.dropped += 1
            return
        self._queue.put(_Batch(session, wanted))

    def propagated(self, session: str, turn: str, call: str) -> contextlib.AbstractContextManager[None]:
        """Let requests in this block tell their server the trace of a call (`traceparent` in `_meta`).

        Source: MCP SEP-414.
        """
        if self._attached is None:
            return contextlib.nullcontext()
        return self._attached(session, turn, call)

    def close(self) -> None:
        """Export what is left, for at most `LEAVE_S`."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(LEAVE_S)
        if self._endpoint is not None:
            self._endpoint.close()

    # --- the thread -----------------------------------------------------------------------------

    def _export(self) -> None:
        try:
            from omni_tui.observability.otel_exporter import OtelExporter

            exporter = OtelExporter(self._settings, self._metrics)
        except Exception:
            logger.exception("the exporter for OpenTelemetry does not start")
            return
        while True:
            try:
                batch = self._queue.get(timeout=PUSH_S)
            except queue.Empty:
                self._safely(exporter.push_metrics)
                continue
            if batch is None:
                self._safely(exporter.push_metrics)
                return
            try:
                exporter.take(batch.session, batch.events)
            except Exception:
                logger.exception("spans could not be exported")
            self._safely(exporter.push_metrics_in_time)

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            logger.exception("metrics could not be exported")


_MODULES = {
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
    "prometheus": ("prometheus_client",),
}


def _installed(extra: str, problems: list[str]) -> bool:
    """Return whether the modules of an extra are there; note it as a problem if not."""
    try:
        there = all(find_spec(name) is not None for name in _MODULES[extra])
    except ModuleNotFoundError:
        there = False
    if not there:
        problems.append(
            f"the telemetry that your config asks for needs an extra: pip install 'omni-tui[{extra}]'"
        )
    return there
