"""Statistics of calls per tool, from the journal's events.

Also known as `tool_executions_total` and `tool_execution_duration`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.call_stats import ToolExecutions
from omni_tui.protocol.events import CallChanged, CallFinished, CallProposed


@dataclass(slots=True)
class _Counts:
    label: SafeText
    succeeded: int = 0
    failed: int = 0
    uncertain: int = 0
    cached: int = 0
    duration: float = 0.0
    longest: float = 0.0

    @property
    def total(self) -> int:
        return self.succeeded + self.failed + self.uncertain + self.cached


class ToolStats:
    """Counts calls by tool; only calls that were sent, or answered from the cache."""

    def __init__(self) -> None:
        self._session = ""
        self._forget()

    def _forget(self) -> None:
        self._tools: dict[tuple[str, str], _Counts] = {}
        self._open: dict[str, tuple[str, str]] = {}
        self._sent: set[str] = set()

    def begin(self, events: Iterable[AnyEvent]) -> None:
        """Start to count a session that was opened with these events."""
        self._forget()
        self.take(events)

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Count further events. Another session resets the counts."""
        for event in events:
            if event.session != self._session:
                self._forget()
                self._session = event.session
            if isinstance(event, CallProposed):
                self._open[event.call] = (event.server, event.tool)
                self._tools.setdefault((event.server, event.tool), _Counts(event.label))
            elif isinstance(event, CallFinished):
                self._finished(event)
            elif isinstance(event, CallChanged):
                self._changed(event)

    def _changed(self, event: CallChanged) -> None:
        if event.state == "dispatching":
            self._sent.add(event.call)
        elif event.state == "uncertain" and event.call in self._sent:
            if (pair := self._open.pop(event.call, None)) is not None:
                self._tools[pair].uncertain += 1
            self._sent.discard(event.call)
        elif event.state in ("rejected", "denied", "withheld", "expired", "cancelled"):
            self._open.pop(event.call, None)
            self._sent.discard(event.call)

    def _finished(self, event: CallFinished) -> None:
        pair = self._open.pop(event.call, None)
        self._sent.discard(event.call)
        if pair is None:
            return
        counts = self._tools[pair]
        if event.cached_s is not None:
            counts.cached += 1
            return
        counts.succeeded += event.state == "succeeded"
        counts.failed += event.state != "succeeded"
        counts.duration += event.elapsed_ms / 1000
        counts.longest = max(counts.longest, event.elapsed_ms / 1000)

    def rows(self, limit: int = 100) -> tuple[ToolExecutions, ...]:
        """Return the called tools, the most used first."""
        used = sorted(self._tools.items(), key=lambda item: (-item[1].total, item[0]))
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
            for (server, _), counts in used[:limit]
            if counts.total
        )
