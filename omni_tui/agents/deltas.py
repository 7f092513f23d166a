"""Streamed text on its way to the screen: at most thirty events a second, never held back for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from omni_tui.protocol.events import AnswerDelta, Event, ThoughtDelta
from omni_tui.security.text import safe

INTERVAL_S = 1 / 30


class Deltas:
    """The deltas of one message. What comes while less than `interval` passed waits until it has."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        turn: str,
        message: str,
        *,
        agent: str = "root",
        interval: float = INTERVAL_S,
    ) -> None:
        self._emit = emit
        self._turn = turn
        self._message = message
        self._agent = agent
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._kind: type[ThoughtDelta] | type[AnswerDelta] = AnswerDelta
        self._waiting: list[str] = []
        self._last = -interval
        self._timer: asyncio.TimerHandle | None = None

    def thought(self, text: str) -> None:
        """Add text of the reasoning."""
        self._add(ThoughtDelta, text)

    def answer(self, text: str) -> None:
        """Add text of the answer."""
        self._add(AnswerDelta, text)

    def flush(self) -> None:
        """Send what waits, at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        text = "".join(self._waiting)
        self._waiting.clear()
        self._last = self._loop.time()
        self._emit(self._kind(turn=self._turn, message=self._message, text=safe(text), agent=self._agent))

    def _add(self, kind: type[ThoughtDelta] | type[AnswerDelta], text: str) -> None:
        if not text:
            return
        if kind is not self._kind:
            self.flush()
            self._kind = kind
        self._waiting.append(text)
        if self._timer is not None:
            return
        wait = self._last + self._interval - self._loop.time()
        if wait <= 0:
            self.flush()
        else:
            self._timer = self._loop.call_later(wait, self.flush)
