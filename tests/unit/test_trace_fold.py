"""What a turn spent its time on, made of its events: every span in its place, no moment counted twice."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.observability.time_spent import time_spent
from omni_tui.observability.trace_fold import KEPT_SPANS, KEPT_TRACES, TraceFold
from omni_tui.protocol import AnyEvent, JsonText, SafeText
from omni_tui.protocol.calls import (
    ApprovalRequested,
    AttemptFailed,
    CallChanged,
    CallFinished,
    CallProposed,
)
from omni_tui.protocol.conversation import (
    ModelRequestFailed,
    Steered,
    TurnEnded,
    TurnStarted,
    UsageChanged,
    UserMessage,
)
from omni_tui.protocol.plan import PlanDecided, PlanPhase, PlanProposed, PlanTask, PlanTaskChanged
from omni_tui.protocol.traces import SpanKind, Trace, TraceSpan
from omni_tui.protocol.values import Usage

T = SafeText("")
MODEL = SafeText("some/model")


def said(ts: float, turn: str = "t") -> UserMessage:
    return UserMessage(turn=turn, text=SafeText("do it"), ts=ts)


def started(ts: float, turn: str = "t") -> TurnStarted:
    return TurnStarted(turn=turn, mode="chat", model=MODEL, ts=ts)


def asked(began: float, ts: float, turn: str = "t", **more: Any) -> UsageChanged:
    return UsageChanged(
        turn=turn, usage=Usage(input=10, output=5), model=MODEL, began=began, ts=ts, first_ms=250.0, **more
    )


def proposed(call: str, ts: float, turn: str = "t", **more: Any) -> CallProposed:
    return CallProposed(
        call=call, server="files", tool="read", label=SafeText("read"), arguments=T, size=2, digest="d",
        origin="agent" if turn else "hand", turn=turn, ts=ts, **more,
    )  # fmt: skip


def requested(call: str, ts: float) -> ApprovalRequested:
    return ApprovalRequested(
        call=call, server="files", tool="read", label=SafeText("read"), digest="d", risk="read", why=(),
        arguments=T, arguments_json=JsonText("{}"), size=2, complete=True, differs=False, held=False,
        description=T, title=T, target=T, transport="stdio", trust=T, ts=ts,
    )  # fmt: skip


def changed(call: str, state: Any, ts: float, attempt: int = 1) -> CallChanged:
    return CallChanged(call=call, state=state, ts=ts, attempt=attempt)


def finished(call: str, ts: float, ms: float, **more: Any) -> CallFinished:
    return CallFinished(call=call, state="succeeded", parts=(), elapsed_ms=ms, size=1, ts=ts, **more)


def ended(ts: float, turn: str = "t", status: Any = "done", **more: Any) -> TurnEnded:
    return TurnEnded(turn=turn, status=status, ts=ts, **more)


def trace_of(*events: AnyEvent, turn: str = "t", now: float = 1_000.0) -> Trace:
    fold = TraceFold()
    fold.take_all(events)
    return fold.traces[turn].whole(now)


def shape(trace: Trace) -> list[tuple[str, float, float, str]]:
    start = trace.summary.began
    return [(s.kind, round(s.began - start, 3), round(s.ended - start, 3), s.state) for s in trace.spans]


CALL = (
    proposed("c", 103.0), requested("c", 103.1), changed("c", "approved", 107.1),
    changed("c", "dispatching", 107.2), finished("c", 108.2, 900.0),
)  # fmt: skip


def test_a_turn_with_a_call_has_its_spans_in_order_and_says_where_its_time_went() -> None:
    trace = trace_of(
        said(100.0), started(100.0), asked(100.5, 103.0), *CALL, asked(108.5, 110.0), ended(110.0)
    )
    assert shape(trace) == [
        ("model", 0.5, 3.0, "done"),
        ("call", 3.0, 8.2, "succeeded"),
        ("approval", 3.1, 7.1, "approved"),
        ("queue", 7.1, 7.2, ""),
        ("attempt", 7.2, 8.2, "succeeded"),
        ("server", 7.2, 8.1, "succeeded"),
        ("model", 8.5, 10.0, "done"),
    ]
    by_id = {span.id: span for span in trace.spans}
    (server,) = (span for span in trace.spans if span.kind == "server")
    attempt = by_id[server.parent]
    assert (attempt.kind, by_id[attempt.parent].kind, by_id[attempt.parent].parent) == (
        "attempt",
        "call",
        "",
    )
    spent = {each.kind: round(each.seconds, 3) for each in trace.spent}
    assert spent == {"model": 4.0, "person": 4.0, "server": 0.9, "queue": 0.1, "own": 1.0}
    assert [each.kind for each in trace.spent][:2] == ["model", "person"]
    assert next(each.name for each in trace.spent if each.kind == "person") == "files › read"
    assert trace.spans[0].detail == "10 tokens in, 5 out, first word after 250 ms"
    assert (trace.summary.state, trace.summary.ended) == ("done", 110.0)


def test_failed_attempts_and_requests_stand_beside_the_pauses_after_them() -> None:
    failed = ModelRequestFailed(
        turn="t", model=MODEL, began=100.0, elapsed_ms=1_000.0, kind="transient", ts=101.0
    )
    first = AttemptFailed(call="c", attempt=1, of=3, cut=False, elapsed_ms=500.0, ts=106.0)
    trace = trace_of(
        said(100.0), started(100.0), failed, asked(102.0, 103.0), proposed("c", 103.0),
        changed("c", "approved", 103.0), changed("c", "dispatching", 103.0), first,
        changed("c", "approved", 106.0, 2), changed("c", "dispatching", 106.0, 2),
        finished("c", 107.0, 1_000.0, attempt=2), ended(107.0),
    )  # fmt: skip
    assert shape(trace) == [
        ("model", 0.0, 1.0, "failed"),
        ("pause", 1.0, 2.0, ""),
        ("model", 2.0, 3.0, "done"),
        ("call", 3.0, 7.0, "succeeded"),
        ("attempt", 3.0, 3.5, "failed"),
        ("server", 3.0, 3.5, "failed"),
        ("pause", 3.5, 6.0, "approved"),
        ("attempt", 6.0, 7.0, "succeeded"),
        ("server", 6.0, 7.0, "succeeded"),
    ]


def test_what_a_broken_off_answer_used_is_no_second_request() -> None:
    failed = ModelRequestFailed(turn="t", model=MODEL, began=100.0, elapsed_ms=900.0, kind="cut", ts=101.0)
    trace = trace_of(
        said(100.0), started(100.0), failed, asked(100.0, 101.0), ended(101.0, status="failed")
    )
    assert shape(trace) == [("model", 0.0, 0.9, "failed")]


def test_a_call_by_hand_is_a_trace_of_its_own_and_a_cached_one_asks_no_server() -> None:
    events = (proposed("h", 50.0, turn=""), changed("h", "dispatching", 50.1), finished("h", 50.4, 250.0))
    trace = trace_of(*events, turn="h")
    assert (trace.summary.kind, trace.summary.name) == ("call", "files › read")
    assert [span.kind for span in trace.spans] == ["call", "attempt", "server"]
    cached = trace_of(
        said(1.0), started(1.0), proposed("c", 2.0), finished("c", 2.1, 0.0, cached_s=4.0), ended(3.0)
    )
    assert [(span.kind, span.state) for span in cached.spans] == [("call", "cached")]


def test_waiting_for_the_turn_before_for_servers_and_for_the_app_is_told() -> None:
    trace = trace_of(
        said(100.0), started(103.0), ended(110.0, status="parked"), started(200.0),
        ended(205.0, connecting_s=1.5),
    )  # fmt: skip
    assert shape(trace) == [
        ("queue", 0.0, 3.0, ""), ("away", 10.0, 100.0, ""), ("connecting", 100.0, 101.5, ""),
    ]  # fmt: skip
    assert trace.summary.state == "done"


def test_a_message_that_waits_behind_a_turn_is_a_trace_until_that_turn_takes_it() -> None:
    fold = TraceFold()
    fold.take_all((said(100.0), started(100.0), said(101.0, "u")))
    waits = fold.traces["u"].whole(111.0)
    assert {each.kind: each.seconds for each in waits.spent} == {"queue": 10.0}
    fold.take(Steered(turn="t", by="u", ts=112.0))
    assert list(fold.traces) == ["t"]


def test_the_work_of_a_sub_agent_belongs_to_its_task() -> None:
    task = PlanTask(id="t1", title=SafeText("Read it"), goal=T, agent="root/p1/t1")
    plan = PlanProposed(
        plan="p", turn="t", digest="d", analysis=T, plan_json=JsonText("{}"), ts=101.0,
        phases=(PlanPhase(id="p1", title=T, tasks=(task,)),),
    )  # fmt: skip

    def moved(state: Any, ts: float) -> PlanTaskChanged:
        return PlanTaskChanged(plan="p", turn="t", task="t1", state=state, agent="root/p1/t1", ts=ts)

    trace = trace_of(
        said(100.0), started(100.0), plan,
        PlanDecided(plan="p", turn="t", verdict="approved", decider="user", ts=105.0),
        moved("running", 105.0),
        asked(105.0, 107.0, agent="root/p1/t1"), proposed("c", 107.0, agent="root/p1/t1"),
        changed("c", "denied", 107.5), moved("done", 108.0), ended(108.0),
    )  # fmt: skip
    spans = {span.kind: span for span in trace.spans}
    assert spans["approval"].name == "the plan"
    assert (spans["task"].name, spans["task"].state) == ("Read it", "done")
    assert spans["model"].parent == spans["call"].parent == spans["task"].id
    assert spans["call"].state == "denied"


def test_what_runs_lasts_until_now_and_an_unknown_beginning_is_said() -> None:
    trace = trace_of(proposed("c", 103.0), requested("c", 103.0), now=113.0)
    assert trace.summary.partial
    assert [span.ended for span in trace.spans] == [0.0, 0.0]
    assert {each.kind: each.seconds for each in trace.spent} == {"person": 10.0}


def test_traces_and_spans_are_bounded() -> None:
    fold = TraceFold()
    for number in range(KEPT_TRACES + 20):
        fold.take(said(float(number), turn=f"t{number}"))
    assert len(fold.traces) == KEPT_TRACES
    assert "t0" not in fold.traces
    for _ in range(KEPT_SPANS + 6):
        fold.take(asked(100.0, 101.0, turn="t60"))
    trace = fold.traces["t60"].whole(200.0)
    assert (len(trace.spans), trace.left_out) == (KEPT_SPANS, 7)


KINDS = st.sampled_from(msgspec.json.schema(TraceSpan)["$defs"]["TraceSpan"]["properties"]["kind"]["enum"])


@given(st.lists(st.tuples(KINDS, st.integers(0, 50), st.integers(0, 50)), max_size=12))
def test_no_moment_is_counted_twice_or_lost(parts: list[tuple[SpanKind, int, int]]) -> None:
    spans = [
        TraceSpan(id=str(n), parent="", kind=kind, name=T, began=float(a), ended=float(a + b))
        for n, (kind, a, b) in enumerate(parts)
    ]
    spent = time_spent(spans, 10.0, 60.0)
    assert sum(each.seconds for each in spent) == pytest.approx(50.0)
    assert all(each.seconds > 0 for each in spent)
    assert all(a.seconds >= b.seconds for a, b in itertools.pairwise(spent))
