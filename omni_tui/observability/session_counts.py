"""What happened in a session, counted from the journal's events: messages, turns, calls, tokens, money.

The counts of calls are also known as `tool_executions_total` and `tool_execution_duration`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.call_stats import ModelUse, ToolExecutions
from omni_tui.protocol.events import (
    Answer,
    CallChanged,
    CallFinished,
    CallProposed,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageChanged,
    UserMessage,
)
from omni_tui.security.text import safe_line

_ENDED = ("uncertain", "rejected", "denied", "withheld", "expired", "cancelled")


class ToolCounts(msgspec.Struct):
    """How the calls of one tool went. `duration` and `longest` in seconds."""

    label: SafeText
    succeeded: int = 0
    failed: int = 0
    uncertain: int = 0
    cached: int = 0
    duration: float = 0.0
    longest: float = 0.0

    @property
    def total(self) -> int:
        """The calls that were sent, or answered from the cache."""
        return self.succeeded + self.failed + self.uncertain + self.cached


class ModelCounts(msgspec.Struct):
    """What the requests to one model used. `unpriced`: requests without a known price."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float = 0.0
    unpriced: int = 0
    estimated: bool = False

    def add(self, usage: Usage) -> None:
        """Count one request."""
        self.requests += 1
        self.input += usage.input
        self.output += usage.output
        self.cached += usage.cached
        self.cost += usage.cost or 0.0
        self.unpriced += usage.cost is None and usage.input + usage.output > 0
        self.estimated = self.estimated or usage.estimated


class SessionCounts(msgspec.Struct):
    """The counts of one session. `take` its events once each, in order.

    `turns` counts the turns that ended, by how, and `calls` the calls that ended, by outcome.
    """

    messages: int = 0
    answers: int = 0
    turns: dict[str, int] = msgspec.field(default_factory=dict)
    calls: dict[str, int] = msgspec.field(default_factory=dict)
    tools: dict[str, dict[str, ToolCounts]] = msgspec.field(default_factory=dict)
    """By server and tool. Only calls that were sent, or answered from the cache."""
    models: dict[str, ModelCounts] = msgspec.field(default_factory=dict)
    """By the model's name, "" if it is not known."""
    open: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    """Server and tool of each call that has not ended."""
    answering: dict[str, str] = msgspec.field(default_factory=dict)
    """The model of each turn that has not ended: earlier versions did not journal that of a request."""

    def take(self, event: AnyEvent) -> None:
        """Count the session's next event."""
        if isinstance(event, CallProposed):
            self.open[event.call] = (event.server, event.tool)
            self.tools.setdefault(event.server, {}).setdefault(event.tool, ToolCounts(event.label))
        elif isinstance(event, CallFinished):
            self._finished(event)
        elif isinstance(event, CallChanged):
            self._changed(event)
        elif isinstance(event, UsageChanged):
            name = event.model or self.answering.get(event.turn, "")
            self.models.setdefault(name, ModelCounts()).add(event.usage)
        elif isinstance(event, UserMessage):
            self.messages += not event.loaded
        elif isinstance(event, Answer):
            self.answers += not event.loaded
        elif isinstance(event, TurnStarted):
            if event.agent == "root":
                self.answering[event.turn] = event.model
        elif isinstance(event, TurnEnded) and event.status != "parked":
            self.turns[event.status] = self.turns.get(event.status, 0) + 1
            self.answering.pop(event.turn, None)

    def take_all(self, events: Iterable[AnyEvent]) -> None:
        """Count several events."""
        for event in events:
            self.take(event)

    def _changed(self, event: CallChanged) -> None:
        if event.state not in _ENDED:
            return
        pair = self.open.pop(event.call, None)
        if pair is None:
            return
        self._ended(event.state)
        if event.state == "uncertain":
            self._of(pair).uncertain += 1

    def _finished(self, event: CallFinished) -> None:
        pair = self.open.pop(event.call, None)
        if pair is None:
            return
        counts = self._of(pair)
        if event.cached_s is not None:
            counts.cached += 1
            self._ended("cached")
            return
        self._ended(event.state)
        counts.succeeded += event.state == "succeeded"
        counts.failed += event.state != "succeeded"
        counts.duration += event.elapsed_ms / 1000
        counts.longest = max(counts.longest, event.elapsed_ms / 1000)

    def _of(self, pair: tuple[str, str]) -> ToolCounts:
        server, tool = pair
        return self.tools[server][tool]

    def _ended(self, outcome: str) -> None:
        self.calls[outcome] = self.calls.get(outcome, 0) + 1

    def tool_rows(self, limit: int = 100) -> tuple[ToolExecutions, ...]:
        """Return the called tools, the most used first."""
        found = [(server, tool, counts) for server, of in self.tools.items() for tool, counts in of.items()]
        found.sort(key=_most_used)
        return tuple(
            ToolExecutions(
                server=server,
                tool=counts.label,
                total=counts.total,
                succeeded=counts.succeeded,
                failed=counts.failed,
                uncertain=counts.uncertain,
                cached=counts.cached,
                duration=counts.duration,
                longest=counts.longest,
            )
            for server, _, counts in found[:limit]
            if counts.total
        )

    def model_rows(self, limit: int = 20) -> tuple[ModelUse, ...]:
        """Return the models that answered, the most used first."""
        found = sorted(self.models.items(), key=_most_tokens)
        return tuple(
            ModelUse(
                model=safe_line(name),
                requests=counts.requests,
                input=counts.input,
                output=counts.output,
                cached=counts.cached,
                cost=counts.cost,
                unpriced=counts.unpriced,
                estimated=counts.estimated,
            )
            for name, counts in found[:limit]
        )


def _most_used(found: tuple[str, str, ToolCounts]) -> tuple[int, str, str]:
    server, tool, counts = found
    return -counts.total, server, tool


def _most_tokens(found: tuple[str, ModelCounts]) -> tuple[int, str]:
    name, counts = found
    return -(counts.input + counts.output), name
