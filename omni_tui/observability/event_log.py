"""What the log tells of the events of sessions and servers: turns, calls, decisions, connections.

Without contents, unless the config asks for them. Made in the log's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from omni_tui.protocol import Event
from omni_tui.protocol.calls import (
    AttemptFailed,
    AttemptRefused,
    CallChanged,
    CallFinished,
    CallProposed,
)
from omni_tui.protocol.conversation import (
    Answer,
    ModelRequestFailed,
    TurnEnded,
    TurnStarted,
    UsageChanged,
    UserMessage,
)
from omni_tui.protocol.events import ModeChanged, ModelChanged, ServerChanged, ServerRemoved
from omni_tui.protocol.models import ModelFellBack
from omni_tui.protocol.plan import PlanDecided, PlanTaskChanged
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened

_MOST_OPEN = 2_000
_MOST_CONTENT = 4_000
_CONNECTED = frozenset(("active", "idle"))
_TROUBLE = frozenset(("failed", "degraded"))
_DECIDED = frozenset(("approved", "rejected", "denied", "withheld", "expired", "cancelled"))


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of a session ("" for the engine's) on their way to the log, at a Unix time."""

    session: str
    events: Sequence[Event]
    at: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: its level as in `logging`, what happened, and facts."""

    level: int
    event: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _OpenTurn:
    mode: str
    text: str = ""
    answered: int = 0


class EventLog:
    """Turns events into lines. With `contents` messages, answers, arguments and reasons are in them."""

    def __init__(self, *, contents: bool = False) -> None:
        self._contents = contents
        self._calls: dict[str, tuple[str, str]] = {}
        self._turns: dict[str, _OpenTurn] = {}
        self._texts: dict[str, str] = {}
        self._servers: dict[str, str] = {}

    def lines(self, batch: EventBatch) -> Iterator[LogLine]:
        """Yield the lines for some events."""
        for event in batch.events:
            tells = _TELLS.get(type(event))
            if tells is not None:
                yield from tells(self, event)

    def _with(self, facts: dict[str, Any], **contents: str) -> dict[str, Any]:
        if self._contents:
            facts |= {name: text[:_MOST_CONTENT] for name, text in contents.items() if text}
        return facts

    # --- turns ----------------------------------------------------------------------------------

    def _said(self, event: UserMessage) -> Iterator[LogLine]:
        if not event.loaded:
            _keep(self._texts, event.turn, event.text if self._contents else "")
            facts = {"turn": event.turn, "length": len(event.text)}
            yield LogLine(logging.DEBUG, "message", self._with(facts, text=event.text))

    def _turn_started(self, event: TurnStarted) -> Iterator[LogLine]:
        if event.agent == "root":
            _keep(self._turns, event.turn, _OpenTurn(event.mode, self._texts.pop(event.turn, "")))
            facts = {"turn": event.turn, "mode": event.mode, "model": event.model}
            yield LogLine(logging.INFO, "turn started", facts)

    def _answer(self, event: Answer) -> Iterator[LogLine]:
        if not event.loaded and event.agent == "root" and (turn := self._turns.get(event.turn)) is not None:
            turn.answered += len(event.text)
        yield from ()

    def _turn_ended(self, event: TurnEnded) -> Iterator[LogLine]:
        facts: dict[str, Any] = {"turn": event.turn, "status": event.status, "steps": event.steps}
        if event.limit:
            facts["limit"] = event.limit
        level = logging.WARNING if event.status == "failed" else logging.INFO
        yield LogLine(level, "turn ended", self._with(facts, reason=event.reason))
        if (turn := self._turns.pop(event.turn, None)) is not None and event.status != "parked":
            connected = sum(state in _CONNECTED for state in self._servers.values())
            facts = {
                "mode": turn.mode,
                "servers_connected": connected,
                "response_length": turn.answered,
            }
            yield LogLine(logging.INFO, "user_interaction", self._with(facts, input=turn.text))

    def _mode(self, event: ModeChanged) -> Iterator[LogLine]:
        yield LogLine(logging.INFO, "mode changed", {"mode": event.mode})

    def _model_changed(self, event: ModelChanged) -> Iterator[LogLine]:
        yield LogLine(logging.INFO, "model changed", {"model": event.name})

    # --- models ---------------------------------------------------------------------------------

    def _used(self, event: UsageChanged) -> Iterator[LogLine]:
        facts: dict[str, Any] = {
            "turn": event.turn,
            "model": event.model,
            "input_tokens": event.usage.input,
            "output_tokens": event.usage.output,
        }
        if event.began:
            facts["seconds"] = round(event.ts - event.began, 3)
        yield LogLine(logging.INFO, "model answered", facts)

    def _request_failed(self, event: ModelRequestFailed) -> Iterator[LogLine]:
        facts = {
            "turn": event.turn,
            "model": event.model,
            "kind": event.kind,
            "ms": round(event.elapsed_ms),
        }
        yield LogLine(logging.WARNING, "model request failed", self._with(facts, reason=event.reason))

    def _fell_back(self, event: ModelFellBack) -> Iterator[LogLine]:
        facts = {"turn": event.turn, "model": event.model, "to": event.to}
        yield LogLine(logging.WARNING, "model fell back", self._with(facts, reason=event.reason))

    # --- calls ----------------------------------------------------------------------------------

    def _proposed(self, event: CallProposed) -> Iterator[LogLine]:
        _keep(self._calls, event.call, (event.server, event.label))
        facts = {**self._call(event.call), "origin": event.origin, "risk": event.risk, "size": event.size}
        yield LogLine(logging.DEBUG, "call proposed", self._with(facts, arguments=event.arguments))

    def _call(self, call: str) -> dict[str, Any]:
        server, tool = self._calls.get(call, ("", ""))
        return {"call": call, "server": server, "tool": tool} if server else {"call": call}

    def _call_changed(self, event: CallChanged) -> Iterator[LogLine]:
        facts = self._call(event.call)
        if event.state in _DECIDED:
            facts |= {"decision": event.state, "decider": event.decider}
            yield LogLine(logging.INFO, "decision", self._with(facts, reason=event.reason))
            if event.state != "approved":
                self._calls.pop(event.call, None)
        elif event.state == "uncertain":
            facts |= {"decider": event.decider, "attempt": event.attempt}
            yield LogLine(logging.WARNING, "call uncertain", self._with(facts, reason=event.reason))
            self._calls.pop(event.call, None)
        else:
            facts |= {"state": event.state, "attempt": event.attempt}
            yield LogLine(logging.DEBUG, "call changed", facts)

    def _attempt_failed(self, event: AttemptFailed | AttemptRefused) -> Iterator[LogLine]:
        facts = self._call(event.call) | {"attempt": event.attempt, "ms": round(event.elapsed_ms)}
        yield LogLine(logging.WARNING, "attempt failed", self._with(facts, reason=event.reason))

    def _finished(self, event: CallFinished) -> Iterator[LogLine]:
        facts = self._call(event.call) | {
            "state": event.state,
            "ms": round(event.elapsed_ms, 1),
            "size": event.size,
            "attempt": event.attempt,
        }
        if event.cached_s is not None:
            facts["cached"] = True
        level = logging.INFO if event.state == "succeeded" else logging.WARNING
        text = "\n".join(part.text for part in event.parts)
        yield LogLine(level, "call ended", self._with(facts, result=text, reason=event.reason))
        self._calls.pop(event.call, None)

    # --- plans, server requests, servers --------------------------------------------------------

    def _plan_decided(self, event: PlanDecided) -> Iterator[LogLine]:
        facts = {"plan": event.plan, "decision": event.verdict, "decider": event.decider}
        yield LogLine(logging.INFO, "plan decided", facts)

    def _task(self, event: PlanTaskChanged) -> Iterator[LogLine]:
        facts = {"plan": event.plan, "task": event.task, "state": event.state}
        yield LogLine(logging.INFO, "plan task", facts)

    def _asked(self, event: ServerRequestOpened) -> Iterator[LogLine]:
        facts = {"request": event.ask, "server": event.server, "kind": event.kind, "stage": event.stage}
        yield LogLine(logging.INFO, "server request", facts)

    def _closed(self, event: ServerRequestClosed) -> Iterator[LogLine]:
        facts = {"request": event.ask, "outcome": event.outcome, "decider": event.decider}
        yield LogLine(logging.INFO, "server request closed", facts)

    def _server(self, event: ServerChanged) -> Iterator[LogLine]:
        before = self._servers.get(event.name, "")
        self._servers[event.name] = event.state
        # Active or idle, it is connected: each call changes that.
        if before == event.state or {before, event.state} <= _CONNECTED:
            return
        facts: dict[str, Any] = {"server": event.name, "state": event.state, "transport": event.transport}
        if event.state in _CONNECTED:
            facts["protocol"] = event.protocol
        level = logging.WARNING if event.state in _TROUBLE else logging.INFO
        yield LogLine(level, "connection", self._with(facts, reason=event.reason))

    def _server_removed(self, event: ServerRemoved) -> Iterator[LogLine]:
        self._servers.pop(event.name, None)
        yield LogLine(logging.INFO, "server removed", {"server": event.name})


def _keep(found: dict[str, Any], key: str, value: Any) -> None:
    found[key] = value
    if len(found) > _MOST_OPEN:
        del found[next(iter(found))]


_TELLS: dict[type[Event], Callable[[EventLog, Any], Iterator[LogLine]]] = {
    UserMessage: EventLog._said,
    TurnStarted: EventLog._turn_started,
    Answer: EventLog._answer,
    TurnEnded: EventLog._turn_ended,
    ModeChanged: EventLog._mode,
    ModelChanged: EventLog._model_changed,
    UsageChanged: EventLog._used,
    ModelRequestFailed: EventLog._request_failed,
    ModelFellBack: EventLog._fell_back,
    CallProposed: EventLog._proposed,
    CallChanged: EventLog._call_changed,
    AttemptFailed: EventLog._attempt_failed,
    AttemptRefused: EventLog._attempt_failed,
    CallFinished: EventLog._finished,
    PlanDecided: EventLog._plan_decided,
    PlanTaskChanged: EventLog._task,
    ServerRequestOpened: EventLog._asked,
    ServerRequestClosed: EventLog._closed,
    ServerChanged: EventLog._server,
    ServerRemoved: EventLog._server_removed,
}
