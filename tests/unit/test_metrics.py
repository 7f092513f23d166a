"""The metrics of an engine: each call, request and turn counted once, by server, tool and model."""

from __future__ import annotations

import statistics
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.observability import metrics as m
from omni_tui.observability.histogram import BOUNDS_S, DurationHistogram
from omni_tui.observability.metrics import Metrics
from omni_tui.protocol import SafeText
from omni_tui.protocol.calls import AttemptFailed, CallChanged
from omni_tui.protocol.conversation import ModelRequestFailed, UsageChanged
from omni_tui.protocol.values import Usage
from tests.unit.test_trace_fold import (
    MODEL,
    asked,
    changed,
    ended,
    finished,
    proposed,
    requested,
    started,
)


def counted(*events: Any, now: float = 100.0) -> Metrics:
    metrics = Metrics(lambda: now)
    metrics.take_all(events)
    return metrics


def test_calls_are_counted_by_outcome_with_their_times() -> None:
    metrics = counted(
        proposed("a", 90.0), requested("a", 90.0),
        CallChanged(call="a", state="approved", decider="user", ts=94.0), finished("a", 95.0, 250.0),
        proposed("b", 95.0), CallChanged(call="b", state="approved", decider="mode", ts=95.0),
        AttemptFailed(call="b", attempt=1, of=2, cut=False, elapsed_ms=9.0),
        changed("b", "uncertain", 96.0),
        proposed("c", 96.0), changed("c", "rejected", 97.0),
        proposed("d", 97.0), finished("d", 98.0, 0.0, cached_s=3.0),
        finished("a", 99.0, 250.0), finished("nobody", 99.0, 250.0),
    )  # fmt: skip
    (row,) = metrics.tool_rows()
    assert (row.server, row.tool, row.total, row.failed, row.cached) == ("files", "read", 3, 1, 1)
    assert row.mean == 0.25
    assert metrics.waited.mean == 4.0
    assert metrics.decisions == {"approved by you": 1, "approved by a rule or the mode": 1, "rejected": 1}
    (error,) = metrics.error_rows()
    assert (error.source, error.kind, error.count) == ("files", "uncertain", 1)
    (totals,) = metrics.of_server("files")
    assert (totals.successes, totals.failures, totals.attempts_failed) == (2, 1, 1)
    assert metrics.of_server("other") == []


def test_models_and_turns_are_counted_and_a_failed_request_once() -> None:
    metrics = counted(
        started(80.0), asked(81.0, 83.0),
        ModelRequestFailed(turn="t", model=MODEL, began=84.0, elapsed_ms=500.0, kind="transient", ts=85.0),
        UsageChanged(turn="t", usage=Usage(input=7, cost=0.5), model=MODEL, began=84.0, ts=85.0),
        ended(86.0), ended(87.0, status="parked"), ended(88.0, status="failed"),
    )  # fmt: skip
    (row,) = metrics.model_rows()
    assert (row.requests, row.failed, row.input, row.output, row.cost) == (1, 1, 17, 5, 0.5)
    assert row.p50 == pytest.approx(2.0, abs=1.1)
    assert metrics.turns == {"done": 1, "failed": 1}
    assert metrics.interactions == {"chat": 1}
    assert {(each.source, each.kind) for each in metrics.error_rows()} == {
        ("some/model", "transient"), ("turn", "failed"),
    }  # fmt: skip


def test_the_points_reach_up_to_now_with_empty_ones_between() -> None:
    metrics = counted(
        proposed("a", 71.0), finished("a", 71.0, 100.0), asked(80.0, 81.0), proposed("b", 99.0),
        changed("b", "uncertain", 99.0),
    )  # fmt: skip
    points = metrics.points()
    assert len(points) == m.POINTS
    assert [point.calls for point in points[-7:]] == [1, 0, 0, 0, 0, 1, 0]
    assert points[-2].failed == 1
    assert points[-5].tokens == 15


def test_names_and_open_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m, "_MOST_NAMES", 3)
    monkeypatch.setattr(m, "_MOST_OPEN", 5)
    metrics = Metrics()
    for number in range(10):
        call = proposed(f"c{number}", 1.0)
        metrics.take_all([type(call)(**{f: getattr(call, f) for f in call.__struct_fields__} | {
            "tool": f"t{number}", "label": SafeText("t")})])  # fmt: skip
    assert len(metrics.tools) == 4, "three by their names and the others together"
    assert len(metrics._open) == 5
    metrics.take_all([finished("c9", 2.0, 10.0), finished("c0", 2.0, 10.0)])
    (row,) = metrics.tool_rows()
    assert (row.server, row.tool, row.total) == ("", "(others)", 1)


def test_it_is_read_by_threads_while_it_counts() -> None:
    metrics, over, wrong = Metrics(), threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not over.is_set():
                metrics.tool_rows()
                metrics.model_rows()
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(2_000):
        metrics.take_all([proposed(f"{number}", 1.0), finished(f"{number}", 2.0, 1.0)])
    over.set()
    thread.join(10)
    assert not wrong
    assert metrics.tool_rows()[0].total == 2_000


@given(st.lists(st.floats(0.0, 400.0), min_size=1, max_size=60), st.sampled_from((0.5, 0.95)))
def test_a_quantile_lies_between_the_bounds_around_the_exact_one(times: list[float], share: float) -> None:
    found = DurationHistogram()
    for seconds in times:
        found.add(seconds)
    about = found.quantile(share)
    exact = sorted(times)[max(0, -(-int(share * len(times) * 1000) // 1000) - 1)]
    low = max((bound for bound in BOUNDS_S if bound < exact), default=0.0)
    high = min((bound for bound in BOUNDS_S if bound >= exact), default=found.longest)
    assert min(low, about) <= about <= max(high, found.longest)
    assert about <= found.longest
    assert found.mean == pytest.approx(statistics.fmean(times))


def test_a_histogram_without_durations_is_zero() -> None:
    assert (DurationHistogram().quantile(0.5), DurationHistogram().mean) == (0.0, 0.0)
