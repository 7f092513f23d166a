"""The metrics of an engine: one fold over the events of all its sessions, since it started.

Exporters read it from their own threads, so it is locked; an event costs a microsecond or two. The names
`tool_executions_total`, `tool_execution_duration` and `user_interaction` are those of MCPOmni Connect.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omni_tui.observability.histogram import DurationHistogram
from omni_tui.protocol import AnyEvent, Event, SafeText
from omni_tui.protocol.calls import (
    ApprovalRequested,
    AttemptFailed,
    AttemptRefused,
    CallChanged,
    CallFinished,
    CallProposed,
)
from omni_tui.protocol.conversation import (
    ModelRequestFailed,
    TurnEnded,
    TurnStarted,
    UsageChanged,
)
from omni_tui.protocol.metrics import ErrorCount, MetricsPoint, ModelMetrics, ToolMetrics
from omni_tui.security.text import safe_line

INTERVAL_S, POINTS = 5.0, 60
_MOST_NAMES = 500
"""Tools, and models, that are counted apart; further ones are counted together."""
_MOST_OPEN = 5_000
OTHERS = SafeText("(others)")
_FAILED = frozenset(("failed", "result_rejected", "uncertain"))
_UNSENT = frozenset(("rejected", "denied", "withheld", "expired", "cancelled"))
_OF_A_PERSON = "user"


@dataclass(slots=True)
class ToolTotals:
    """The calls of one tool: durations of those that succeeded and of those that did not, and the rest."""

    label: SafeText
    succeeded: DurationHistogram = field(default_factory=DurationHistogram)
    failed: DurationHistogram = field(default_factory=DurationHistogram)
    uncertain: int = 0
    """Those whose outcome is not known; they have no duration."""
    cached: int = 0
    attempts_failed: int = 0

    @property
    def successes(self) -> int:
        """How many succeeded, from the cache too."""
        return self.succeeded.count + self.cached

    @property
    def failures(self) -> int:
        """How many did not."""
        return self.failed.count + self.uncertain

    @property
    def durations(self) -> DurationHistogram:
        """The durations of all."""
        return self.succeeded.merged(self.failed)


@dataclass(slots=True)
class ModelTotals:
    """The requests to one model. `failed`: by the kind of error. Money in US dollars."""

    durations: DurationHistogram = field(default_factory=DurationHistogram)
    first: DurationHistogram = field(default_factory=DurationHistogram)
    requests: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float = 0.0
    failed: Counter[str] = field(default_factory=Counter)
    failed_at: float = 0.0
    """When the last one that failed was sent: what it used all the same is no other request."""


@dataclass(slots=True)
class _Interval:
    number: int
    calls: int = 0
    failed: int = 0
    requests: int = 0
    tokens: int = 0
    call_s: float = 0.0
    request_s: float = 0.0


@dataclass(slots=True)
class _OpenCall:
    totals: ToolTotals
    server: str
    asked: float = 0.0


class Metrics:
    """Counts what happened. `take_all` gets the events of every session; `lock` guards every field."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.lock = threading.Lock()
        self.since = clock()
        self._clock = clock
        self.tools: dict[tuple[str, str], ToolTotals] = {}
        self.models: dict[str, ModelTotals] = {}
        self.turns: Counter[str] = Counter()
        self.interactions: Counter[str] = Counter()
        """Messages that were worked on, by mode: `user_interaction`."""
        self.decisions: Counter[str] = Counter()
        self.waited = DurationHistogram()
        """How long approved calls waited for the person."""
        self.errors: Counter[tuple[SafeText, str]] = Counter()
        self._intervals: deque[_Interval] = deque(maxlen=POINTS)
        self._open: dict[str, _OpenCall] = {}

    def take_all(self, events: Iterable[AnyEvent]) -> None:
        """Count the next events of a session."""
        with self.lock:
            for event in events:
                takes = _TAKES.get(type(event))
                if takes is not None:
                    takes(self, event)

    # --- calls ----------------------------------------------------------------------------------

    def _proposed(self, event: CallProposed) -> None:
        pair = (event.server, event.tool)
        if pair not in self.tools and len(self.tools) >= _MOST_NAMES:
            pair = ("", "")
        totals = self.tools.get(pair)
        if totals is None:
            totals = self.tools[pair] = ToolTotals(event.label if pair[0] else OTHERS)
        self._open[event.call] = _OpenCall(totals, pair[0])
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]

    def _asked(self, event: ApprovalRequested) -> None:
        call = self._open.get(event.call)
        if call is not None and not call.asked:
            call.asked = event.ts

    def _changed(self, event: CallChanged) -> None:
        call = self._open.get(event.call)
        if call is None:
            return
        if event.state == "approved":
            who = "by you" if event.decider.startswith(_OF_A_PERSON) else "by a rule or the mode"
            self.decisions[f"approved {who}"] += 1
            if call.asked and event.decider.startswith(_OF_A_PERSON):
                self.waited.add(max(0.0, event.ts - call.asked))
            call.asked = 0.0
        elif event.state in _UNSENT:
            self.decisions[event.state] += 1
            self._open.pop(event.call, None)
        elif event.state == "uncertain":
            self._open.pop(event.call, None)
            call.totals.uncertain += 1
            self._call_ended(call, event.ts, "uncertain", 0.0)

    def _attempt_failed(self, event: AttemptFailed | AttemptRefused) -> None:
        if (call := self._open.get(event.call)) is not None:
            call.totals.attempts_failed += 1

    def _finished(self, event: CallFinished) -> None:
        call = self._open.pop(event.call, None)
        if call is None:
            return
        if event.cached_s is not None:
            call.totals.cached += 1
            return
        seconds = event.elapsed_ms / 1000
        (call.totals.succeeded if event.state == "succeeded" else call.totals.failed).add(seconds)
        self._call_ended(call, event.ts, event.state, seconds)

    def _call_ended(self, call: _OpenCall, moment: float, state: str, seconds: float) -> None:
        now = self._interval(moment)
        now.calls += 1
        now.call_s += seconds
        if state in _FAILED:
            now.failed += 1
            self.errors[safe_line(call.server or OTHERS), state] += 1

    # --- models and turns -----------------------------------------------------------------------

    def _model(self, name: str) -> ModelTotals:
        if name not in self.models and len(self.models) >= _MOST_NAMES:
            name = OTHERS
        return self.models.setdefault(name, ModelTotals())

    def _used(self, event: UsageChanged) -> None:
        totals, usage = self._model(event.model), event.usage
        totals.input += usage.input
        totals.output += usage.output
        totals.cached += usage.cached
        totals.cost += usage.cost or 0.0
        now = self._interval(event.ts)
        now.tokens += usage.input + usage.output
        if event.began and event.began == totals.failed_at:
            return
        totals.requests += 1
        now.requests += 1
        if event.began:
            seconds = max(0.0, event.ts - event.began)
            totals.durations.add(seconds)
            now.request_s += seconds
        if event.first_ms:
            totals.first.add(event.first_ms / 1000)

    def _request_failed(self, event: ModelRequestFailed) -> None:
        totals = self._model(event.model)
        totals.failed[event.kind] += 1
        totals.failed_at = event.began
        self.errors[event.model, event.kind] += 1

    def _turn_started(self, event: TurnStarted) -> None:
        if event.agent == "root":
            self.interactions[event.mode] += 1

    def _turn_ended(self, event: TurnEnded) -> None:
        if event.status != "parked":
            self.turns[event.status] += 1
        if event.status == "failed":
            self.errors[SafeText("turn"), "failed"] += 1

    # --- reading --------------------------------------------------------------------------------

    def _interval(self, moment: float) -> _Interval:
        """Return the interval of a moment; one from before counts for the last one there is."""
        number = int(moment // INTERVAL_S)
        last = self._intervals[-1] if self._intervals else None
        if last is not None and number <= last.number:
            return last
        self._intervals.append(_Interval(number))
        return self._intervals[-1]

    def points(self) -> tuple[MetricsPoint, ...]:
        """Return the last intervals, oldest first, up to now, with empty ones between them."""
        with self.lock:
            known = {each.number: each for each in self._intervals}
        now = int(self._clock() // INTERVAL_S)
        found = (known.get(number) for number in range(now - POINTS + 1, now + 1))
        return tuple(
            MetricsPoint()
            if each is None
            else MetricsPoint(
                calls=each.calls,
                failed=each.failed,
                requests=each.requests,
                tokens=each.tokens,
                call_s=each.call_s,
                request_s=each.request_s,
            )
            for each in found
        )

    def tool_rows(self, limit: int = 100) -> tuple[ToolMetrics, ...]:
        """Return the tools with calls, the most used first."""
        with self.lock:
            rows = [
                _tool_row(server, totals)
                for (server, _), totals in self.tools.items()
                if totals.successes + totals.failures
            ]
        return tuple(sorted(rows, key=_most_calls)[:limit])

    def model_rows(self, limit: int = 20) -> tuple[ModelMetrics, ...]:
        """Return the models that were asked, the most used first."""
        with self.lock:
            rows = [_model_row(name, totals) for name, totals in self.models.items()]
        return tuple(sorted(rows, key=_most_requests)[:limit])

    def error_rows(self, limit: int = 50) -> tuple[ErrorCount, ...]:
        """Return what failed, the most frequent first."""
        with self.lock:
            common = self.errors.most_common(limit)
        return tuple(ErrorCount(source=source, kind=kind, count=count) for (source, kind), count in common)

    def of_server(self, server: str) -> Sequence[ToolTotals]:
        """Return the totals of a server's tools."""
        with self.lock:
            return [totals for (name, _), totals in self.tools.items() if name == server]


def _tool_row(server: str, totals: ToolTotals) -> ToolMetrics:
    durations = totals.durations
    return ToolMetrics(
        server=server,
        tool=totals.label,
        total=totals.successes + totals.failures,
        failed=totals.failures,
        cached=totals.cached,
        mean=durations.mean,
        p50=durations.quantile(0.5),
        p95=durations.quantile(0.95),
    )


def _model_row(name: str, totals: ModelTotals) -> ModelMetrics:
    return ModelMetrics(
        model=safe_line(name),
        requests=totals.requests,
        failed=totals.failed.total(),
        input=totals.input,
        output=totals.output,
        cached=totals.cached,
        cost=totals.cost,
        first=totals.first.quantile(0.5),
        p50=totals.durations.quantile(0.5),
        p95=totals.durations.quantile(0.95),
    )


def _most_calls(row: ToolMetrics) -> tuple[int, str, str]:
    return -row.total, row.server, row.tool


def _most_requests(row: ModelMetrics) -> tuple[int, str]:
    return -row.requests - row.failed, row.model


_TAKES: dict[type[Event], Callable[[Metrics, Any], None]] = {
    CallProposed: Metrics._proposed,
    ApprovalRequested: Metrics._asked,
    CallChanged: Metrics._changed,
    AttemptFailed: Metrics._attempt_failed,
    AttemptRefused: Metrics._attempt_failed,
    CallFinished: Metrics._finished,
    UsageChanged: Metrics._used,
    ModelRequestFailed: Metrics._request_failed,
    TurnStarted: Metrics._turn_started,
    TurnEnded: Metrics._turn_ended,
}
