"""Traces made of a session's events: what each turn, and each call by hand, spent its time on.

Nothing is measured for it while work is done: the events have their times, and a few say how long
something took. It can be made long afterwards, of a journal as well as of events as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from omni_tui.observability.time_spent import time_spent
from omni_tui.protocol import AnyEvent, Event, SafeText
from omni_tui.protocol.calls import (
    ApprovalRequested,
    AttemptFailed,
    AttemptRefused,
    CallChanged,
    CallFinished,
    CallProposed,
    CallTask,
)
from omni_tui.protocol.conversation import (
    Answer,
    ModelRequestFailed,
    Steered,
    TurnEnded,
    TurnStarted,
    UsageChanged,
    UserMessage,
)
from omni_tui.protocol.plan import PlanDecided, PlanProposed, PlanTaskChanged
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened
from omni_tui.protocol.traces import SpanKind, Trace, TraceKind, TraceSpan, TraceSummary
from omni_tui.protocol.values import Usage
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe_line

KEPT_TRACES, KEPT_SPANS = 50, 2_000
"""How many traces are kept, and how many spans of each."""
_NAME = 80
_SOON_S = 0.005
"""A wait in the queue that is shorter than this is none."""
_WAITS = frozenset(("pending", "held"))
_MOST_CONTENT = 8_000
"""Characters of one text that a span keeps."""


class OpenSpan(msgspec.Struct):
    """A span that may still last; see `TraceSpan`."""

    id: str
    parent: str
    kind: SpanKind
    name: SafeText
    began: float
    ended: float = 0.0
    state: str = ""
    detail: SafeText = SafeText("")
    call: str = ""
    server: str = ""
    tool: SafeText = SafeText("")
    error: str = ""
    """The kind of a failed model request."""
    usage: Usage | None = None
    first_ms: float = 0.0
    contents: dict[str, str] = msgspec.field(default_factory=dict)
    """What was said and sent, by the attribute of an exported span; only if that is wanted."""

    def close(self, moment: float, state: str = "") -> None:
        """End it, unless it has ended."""
        if not self.ended:
            self.ended = max(moment, self.began)
            self.state = state


class OpenCallTrace(msgspec.Struct):
    """The spans of a call: the whole, what waits now, the attempt that is on its way."""

    trace: OpenTrace
    whole: OpenSpan
    waits: OpenSpan | None = None
    attempt: OpenSpan | None = None


class OpenTrace(msgspec.Struct):
    """A trace that may still grow."""

    id: str
    kind: TraceKind
    name: SafeText
    began: float
    ended: float = 0.0
    state: str = ""
    partial: bool = False
    started: float = 0.0
    """When its turn began, which may be after its message."""
    spans: list[OpenSpan] = msgspec.field(default_factory=list)
    made: int = 0
    left_out: int = 0
    agents: dict[str, OpenSpan] = msgspec.field(default_factory=dict)
    """The task that each sub-agent works on."""
    titles: dict[str, SafeText] = msgspec.field(default_factory=dict)
    failed: dict[str, float] = msgspec.field(default_factory=dict)
    """When the last model request of an agent failed."""
    contents: dict[str, str] = msgspec.field(default_factory=dict)

    def add(
        self, kind: SpanKind, name: SafeText, began: float, *, parent: str = "", ended: float = 0.0
    ) -> OpenSpan:
        """Add a span; one too many is counted and not kept."""
        self.made += 1
        span = OpenSpan(f"{self.id}/{self.made}", parent, kind, name, began)
        if ended:
            span.close(ended)
        if len(self.spans) < KEPT_SPANS:
            self.spans.append(span)
        else:
            self.left_out += 1
        return span

    def parent(self, agent: str) -> str:
        """Return the span that an agent's work belongs to, "" for the trace itself."""
        task = self.agents.get(agent)
        return task.id if task is not None else ""

    def close(self, moment: float, state: str) -> None:
        """End it with all that lasts."""
        self.ended, self.state = max(moment, self.began), state
        for span in self.spans:
            span.close(moment, state)

    def summary(self) -> TraceSummary:
        """Return it without its spans."""
        return TraceSummary(
            id=self.id,
            kind=self.kind,
            name=self.name,
            began=self.began,
            ended=self.ended,
            state=self.state,
            partial=self.partial,
        )

    def whole(self, now: float) -> Trace:
        """Return it with its spans; one that runs lasts until `now`."""
        spans = sorted(self.spans, key=_began)
        shown = tuple(
            TraceSpan(
                id=span.id,
                parent=span.parent,
                kind=span.kind,
                name=span.name,
                began=span.began,
                ended=span.ended,
                state=span.state,
                detail=span.detail,
            )
            for span in spans
        )
        end = self.ended or max(now, self.began)
        spent = time_spent(shown, self.began, end)
        return Trace(summary=self.summary(), spans=shown, spent=spent, left_out=self.left_out)


def _began(span: OpenSpan) -> float:
    return span.began


class TraceFold:
    """The last traces of one session. `take` its events once each, in order.

    `over` holds the traces that have ended since it was emptied last. With `contents` the spans keep what
    was said and sent, for an export that is to have it.
    """

    def __init__(self, *, contents: bool = False) -> None:
        self._contents = contents
        self.traces: dict[str, OpenTrace] = {}
        self.over: list[OpenTrace] = []
        self._calls: dict[str, OpenCallTrace] = {}
        self._asked: dict[str, tuple[OpenTrace, OpenSpan]] = {}
        self._plans: dict[str, OpenSpan] = {}

    def take(self, event: AnyEvent) -> None:
        """Take the next event."""
        takes = _TAKES.get(type(event))
        if takes is not None:
            takes(self, event)

    def take_all(self, events: Iterable[AnyEvent]) -> None:
        """Take several events."""
        for event in events:
            self.take(event)

    def _begin(self, ident: str, kind: TraceKind, name: SafeText, began: float) -> OpenTrace:
        trace = self.traces[ident] = OpenTrace(ident, kind, name, began)
        while len(self.traces) > KEPT_TRACES:
            gone = self.traces.pop(next(iter(self.traces)))
            self._calls = {call: each for call, each in self._calls.items() if each.trace is not gone}
        return trace

    def _turn(self, turn: str, moment: float) -> OpenTrace:
        """Return the trace of a turn, also of one whose beginning is not known."""
        trace = self.traces.get(turn)
        if trace is None:
            trace = self._begin(turn, "turn", SafeText("a turn that began earlier"), moment)
            trace.partial, trace.started = True, moment
        return trace

    # --- turns ----------------------------------------------------------------------------------

    def _said(self, event: UserMessage) -> None:
        if not event.loaded:
            trace = self._begin(event.turn, "turn", safe_line(event.text.strip(), limit=_NAME), event.ts)
            trace.add("queue", SafeText("behind the turn before"), event.ts)
            if self._contents:
                trace.contents["gen_ai.input.messages"] = event.text[:_MOST_CONTENT]

    def _spoken(self, event: Answer) -> None:
        trace = self.traces.get(event.turn)
        if self._contents and trace is not None and not event.loaded:
            trace.contents["gen_ai.output.messages"] = event.text[:_MOST_CONTENT]

    def _steered(self, event: Steered) -> None:
        self.traces.pop(event.by, None)  # its message is part of the other turn

    def _started(self, event: TurnStarted) -> None:
        trace = self._turn(event.turn, event.ts)
        if event.agent != "root":
            return
        if trace.ended:  # it was parked, and goes on
            trace.add("away", SafeText("the app was closed"), trace.ended, ended=event.ts)
            trace.ended, trace.state = 0.0, ""
            for call in self._calls.values():
                if call.trace is trace:
                    call.whole.ended, call.whole.state = 0.0, ""
        elif not trace.started and trace.spans:
            trace.spans[0].close(event.ts)
            if event.ts - trace.began < _SOON_S:
                del trace.spans[0]
        trace.started = event.ts

    def _ended(self, event: TurnEnded) -> None:
        trace = self._turn(event.turn, event.ts)
        if event.connecting_s > _SOON_S and trace.started:
            until = min(trace.started + event.connecting_s, event.ts)
            trace.add("connecting", SafeText("servers"), trace.started, ended=until)
        trace.close(event.ts, event.status)
        if event.status != "parked":
            self.over.append(trace)

    # --- models ---------------------------------------------------------------------------------

    def _answered(self, event: UsageChanged) -> None:
        trace = self.traces.get(event.turn)
        if trace is None or not event.began:
            return  # a model answered a server, or the journal is of an earlier version
        if (before := trace.spans[-1] if trace.spans else None) is not None and (
            before.kind == "model" and before.state == "failed" and before.began == event.began
        ):
            # What the failed request used all the same.
            before.detail, before.usage = _tokens(event), event.usage
            return
        span = self._request(trace, event.agent, event.model, event.began, event.ts)
        span.state, span.detail = "done", _tokens(event)
        span.usage, span.first_ms = event.usage, event.first_ms

    def _request_failed(self, event: ModelRequestFailed) -> None:
        trace = self._turn(event.turn, event.ts)
        ended = event.began + event.elapsed_ms / 1000
        span = self._request(trace, event.agent, event.model, event.began, ended)
        span.state, span.detail, span.error = "failed", event.reason, event.kind
        trace.failed[event.agent] = span.ended

    def _request(
        self, trace: OpenTrace, agent: str, model: SafeText, began: float, ended: float
    ) -> OpenSpan:
        parent = trace.parent(agent)
        failed = trace.failed.pop(agent, 0.0)
        if failed and began > failed:
            trace.add("pause", SafeText("before asking again"), failed, parent=parent, ended=began)
        return trace.add("model", model, began, parent=parent, ended=ended)

    # --- plans ----------------------------------------------------------------------------------

    def _planned(self, event: PlanProposed) -> None:
        trace = self._turn(event.turn, event.ts)
        trace.titles |= {task.agent: task.title for phase in event.phases for task in phase.tasks}
        if event.asks and event.plan not in self._plans:
            self._plans[event.plan] = trace.add("approval", SafeText("the plan"), event.ts)

    def _plan_decided(self, event: PlanDecided) -> None:
        if (span := self._plans.pop(event.plan, None)) is not None:
            span.close(event.ts, event.verdict)

    def _task_changed(self, event: PlanTaskChanged) -> None:
        trace = self._turn(event.turn, event.ts)
        span = trace.agents.get(event.agent)
        if event.state == "running":
            name = trace.titles.get(event.agent) or safe_line(event.task, limit=_NAME)
            trace.agents[event.agent] = trace.add("task", safe_line(name, limit=_NAME), event.ts)
        elif event.state != "waiting" and span is not None:
            span.close(event.ts, event.state)

    # --- calls ----------------------------------------------------------------------------------

    def _proposed(self, event: CallProposed) -> None:
        name = safe_line(f"{identifier(event.server)} › {event.label}", limit=_NAME)
        if event.turn:
            trace = self._turn(event.turn, event.ts)
        else:
            trace = self._begin(event.call, "call", name, event.ts)
        whole = trace.add("call", name, event.ts, parent=trace.parent(event.agent))
        whole.call, whole.server, whole.tool = event.call, event.server, event.label
        if self._contents:
            whole.contents["gen_ai.tool.call.arguments"] = event.arguments[:_MOST_CONTENT]
        self._calls[event.call] = OpenCallTrace(trace, whole)

    def _asks(self, event: ApprovalRequested) -> None:
        call = self._calls.get(event.call)
        if call is None:
            return
        if call.waits is None or call.waits.kind != "approval" or call.waits.ended:
            self._wait(call, "approval", event.ts)

    def _wait(self, call: OpenCallTrace, kind: SpanKind, moment: float) -> None:
        if call.waits is not None:
            call.waits.close(moment)
        call.waits = call.trace.add(kind, call.whole.name, moment, parent=call.whole.id)

    def _changed(self, event: CallChanged) -> None:
        call = self._calls.get(event.call)
        if call is None:
            return
        if event.state == "approved":
            if call.waits is not None:
                call.waits.close(event.ts, "approved")
            self._wait(call, "queue", event.ts)
        elif event.state == "dispatching":
            self._sent(call, event)
        elif event.state in _WAITS:
            self._stop_attempt(call, event.ts, event.state)
        else:
            self._over(event.call, call, event.ts, event.state)

    def _sent(self, call: OpenCallTrace, event: CallChanged) -> None:
        waits = call.waits
        if waits is not None:
            waits.close(event.ts)
            if waits.kind == "queue" and waits.ended - waits.began < _SOON_S and waits in call.trace.spans:
                call.trace.spans.remove(waits)
            call.waits = None
        name = safe_line(f"attempt {event.attempt}")
        call.attempt = call.trace.add("attempt", name, event.ts, parent=call.whole.id)

    def _stop_attempt(
        self, call: OpenCallTrace, moment: float, state: str, elapsed_ms: float = 0.0
    ) -> None:
        """End the attempt on its way; the server had it for `elapsed_ms`, 0 where that is not known."""
        attempt, call.attempt = call.attempt, None
        if attempt is None:
            return
        until = min(moment, attempt.began + elapsed_ms / 1000) if elapsed_ms else moment
        attempt.close(moment, state)
        server = call.trace.add("server", call.whole.name, attempt.began, parent=attempt.id, ended=until)
        server.state = state

    def _attempt_failed(self, event: AttemptFailed | AttemptRefused) -> None:
        call = self._calls.get(event.call)
        if call is not None and call.attempt is not None:
            ended = min(event.ts, call.attempt.began + event.elapsed_ms / 1000)
            self._stop_attempt(call, ended, "failed", event.elapsed_ms)
            self._wait(call, "pause", ended)

    def _as_task(self, event: CallTask) -> None:
        if (call := self._calls.get(event.call)) is not None:
            call.whole.detail = SafeText("ran as a task")

    def _finished(self, event: CallFinished) -> None:
        call = self._calls.get(event.call)
        if call is None:
            return
        cached = event.cached_s is not None
        if self._contents:
            text = "\n".join(part.text for part in event.parts)
            call.whole.contents["gen_ai.tool.call.result"] = text[:_MOST_CONTENT]
        if not cached:
            self._stop_attempt(call, event.ts, event.state, event.elapsed_ms)
        self._over(event.call, call, event.ts, "cached" if cached else event.state)

    def _over(self, ident: str, call: OpenCallTrace, moment: float, state: str) -> None:
        if call.waits is not None:
            call.waits.close(moment, state)
        self._stop_attempt(call, moment, state)
        call.whole.close(moment, state)
        # An uncertain call may be settled later, which changes nothing here.
        self._calls.pop(ident, None)
        if call.trace.kind == "call":
            call.trace.close(moment, state)
            self.over.append(call.trace)

    # --- what servers ask -----------------------------------------------------------------------

    def _server_asked(self, event: ServerRequestOpened) -> None:
        call = self._calls.get(event.call)
        known = self._asked.get(event.ask)
        kind: SpanKind = "model" if event.stage == "answering" else "input"
        if known is not None:
            if known[1].kind == kind:
                return
            known[1].close(event.ts, "accepted")
            trace, parent = known[0], known[1].parent
        elif call is not None:
            trace, parent = call.trace, call.whole.id
        else:
            return
        name = event.model if kind == "model" else safe_line(f"asked by {identifier(event.server)}")
        self._asked[event.ask] = trace, trace.add(kind, name, event.ts, parent=parent)

    def _server_answered(self, event: ServerRequestClosed) -> None:
        if (known := self._asked.pop(event.ask, None)) is not None:
            known[1].close(event.ts, event.outcome)


def _tokens(event: UsageChanged) -> SafeText:
    after = f"{event.first_ms:.0f} ms" if event.first_ms < 1000 else f"{event.first_ms / 1000:.1f} s"
    first = f", first word after {after}" if event.first_ms else ""
    about = "about " if event.usage.estimated else ""
    return safe_line(f"{about}{event.usage.input:,} tokens in, {event.usage.output:,} out{first}")


_TAKES: dict[type[Event], Callable[[TraceFold, Any], None]] = {
    UserMessage: TraceFold._said,
    Answer: TraceFold._spoken,
    Steered: TraceFold._steered,
    TurnStarted: TraceFold._started,
    TurnEnded: TraceFold._ended,
    UsageChanged: TraceFold._answered,
    ModelRequestFailed: TraceFold._request_failed,
    PlanProposed: TraceFold._planned,
    PlanDecided: TraceFold._plan_decided,
    PlanTaskChanged: TraceFold._task_changed,
    CallProposed: TraceFold._proposed,
    ApprovalRequested: TraceFold._asks,
    CallChanged: TraceFold._changed,
    CallFinished: TraceFold._finished,
    CallTask: TraceFold._as_task,
    AttemptFailed: TraceFold._attempt_failed,
    AttemptRefused: TraceFold._attempt_failed,
    ServerRequestOpened: TraceFold._server_asked,
    ServerRequestClosed: TraceFold._server_answered,
}
CONTENTS: tuple[type[Event], ...] = (Answer,)
"""The events that are only needed for contents."""
TRACED: tuple[type[Event], ...] = tuple(kind for kind in _TAKES if kind not in CONTENTS)
"""The events that traces are made of."""
