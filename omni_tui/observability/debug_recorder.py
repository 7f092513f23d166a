"""Records what passes between a client, the engine, models and servers, while somebody looks at it.

Without contents. While nobody looks nothing is recorded, and nothing is measured.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from omni_tui.protocol import Command, Event
from omni_tui.protocol.context import ContextChanged
from omni_tui.protocol.conversation import ModelRequestFailed, Retrying, UsageChanged
from omni_tui.protocol.debug import DebugEntry, DebugRead, ReadDebug
from omni_tui.protocol.events import CommandFailed
from omni_tui.security.text import safe_line

LOOKS_S = 5.0
"""How long after a reading it goes on recording, in seconds."""
MOST = 2_000
"""How many entries are kept."""


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """One message of a server: its method (of the request that it answers, if it is an answer).

    `size` in bytes is at least that if not `exact`. `ms` is the time since the request that it answers.
    """

    server: str
    sent: bool
    kind: str
    method: str
    size: int
    exact: bool
    ms: float | None


class DebugRecorder:
    """The last entries of one client. `look` starts recording, and keeps it going."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._now = now
        self._until = 0.0
        self._entries: deque[DebugEntry] = deque(maxlen=MOST)
        self._number = 0

    @property
    def on(self) -> bool:
        """Whether somebody looks."""
        if not self._until:
            return False
        if self._clock() >= self._until:
            self._until = 0.0
            self._entries.clear()
        return self._until > 0

    def look(self) -> None:
        """Record from now on, for a while."""
        self._until = self._clock() + LOOKS_S

    def after(self, number: int, limit: int) -> tuple[tuple[DebugEntry, ...], int]:
        """Return up to `limit` entries after one, oldest first, and how many before them are gone."""
        newer = [entry for entry in self._entries if entry.number > number]
        first = newer[0].number if newer else self._number + 1
        return tuple(newer[:limit]), max(0, first - number - 1) if number else 0

    def command_done(self, command: Command, ms: float, *, failed: bool) -> None:
        """Note a command that was carried out."""
        if not isinstance(command, ReadDebug):
            self._add(
                kind="command", what=safe_line(_tag(command)), size=_size(command), ms=ms, failed=failed
            )

    def event_sent(self, event: Event) -> None:
        """Note an event on its way to the client."""
        if isinstance(event, DebugRead):
            return
        self._add(
            kind="event",
            what=safe_line(_tag(event)),
            sent=True,
            size=_size(event),
            failed=isinstance(event, CommandFailed),
        )
        self._model(event)

    def _model(self, event: Event) -> None:
        """Note what an event says about a request to a model."""
        if isinstance(event, ContextChanged):
            asks = safe_line(f"about {event.total:,} tokens, {event.offered:,} tools")
            self._add(kind="model", what=safe_line("request"), sent=True, where=event.model, detail=asks)
        elif isinstance(event, UsageChanged):
            took = (event.ts - event.began) * 1000 if event.began else None
            words = f"{event.usage.input:,} tokens in, {event.usage.output:,} out"
            self._add(
                kind="model", what=safe_line("answer"), where=event.model, ms=took, detail=safe_line(words)
            )
        elif isinstance(event, ModelRequestFailed):
            self._add(
                kind="model",
                what=safe_line("failed"),
                where=event.model,
                ms=event.elapsed_ms,
                failed=True,
                detail=safe_line(event.kind),
            )
        elif isinstance(event, Retrying):
            words = f"attempt {event.attempt} of {event.of} in {event.delay_s:.1f} s"
            self._add(kind="model", what=safe_line("again"), failed=True, detail=safe_line(words))

    def frame_passed(self, facts: FrameFacts) -> None:
        """Note a message to or from a server."""
        what = f"{facts.kind} {facts.method}".strip() if facts.kind != "request" else facts.method
        self._add(
            kind="server",
            what=safe_line(what, limit=80),
            sent=facts.sent,
            where=safe_line(facts.server, limit=80),
            size=facts.size,
            exact=facts.exact,
            ms=facts.ms,
            failed=facts.kind in ("error", "broken"),
        )

    def _add(self, **facts: object) -> None:
        self._number += 1
        entry = DebugEntry(number=self._number, at=self._now(), **facts)  # type: ignore[arg-type]
        self._entries.append(entry)


def _tag(message: Command | Event) -> str:
    return str(message.__struct_config__.tag)


def _size(message: Command | Event) -> int:
    return len(msgspec.json.encode(message))
