"""The limits of a turn of auto or orchestrator: requests and time of work, of all its agents together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from omni_tui.agents.turn_writer import TurnStopped
from omni_tui.models.budget import GO_ON

_TICK_S = 1.0
_LEAST_S = 0.01


class TurnMeter:
    """How much the agents of a turn have used together: requests, and time (minutes, `clock` in seconds).

    `waits` says whether everything stands still for the person; that time is not counted.
    """

    def __init__(
        self,
        max_requests: int,
        max_minutes: float,
        waits: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests = 0
        self._max_requests = max_requests
        self._max_minutes = max_minutes
        self._waits = waits
        self._clock = clock
        self._last = clock()
        self._spent = 0.0
        self._paused = False

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Cancel the task that is in this block once the time is used, whatever it is at by then.

        `late` tells it afterwards that it was this and no person's Esc.
        """
        owner = asyncio.current_task()
        assert owner is not None
        clock = asyncio.create_task(self._watch(owner), name="the clock of a turn")
        try:
            yield
        finally:
            clock.cancel()

    async def _watch(self, owner: asyncio.Task[Any]) -> None:
        while self.late() is None:  # noqa: ASYNC110
            await asyncio.sleep(min(_TICK_S, max(_LEAST_S, self.left_s)))
        owner.cancel()

    def admit(self) -> None:
        """Count a request. Raises `TurnStopped` where there may be no more."""
        if (over := self.over()) is not None:
            raise over
        self.requests += 1

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = self._clock()
        if not (self._paused or self._waits()):
            self._spent += now - self._last
        self._last = now

    def over(self) -> TurnStopped | None:
        """Return why there may be no further request, None if there may."""
        if self.requests >= self._max_requests:
            return TurnStopped(
                "limit",
                f"all {self._max_requests} model requests of this turn are used",
                f"{GO_ON} to go on with what is left, or raise max_requests under [agent]",
                "requests",
            )
        return self.late()

    def late(self) -> TurnStopped | None:
        """Return what ends the work now because its time is used, None if it is not."""
        self.tick()
        if self._spent >= self._max_minutes * 60:
            return TurnStopped(
                "limit",
                f"the {self._max_minutes:g} minutes of this turn are over",
                f"{GO_ON} to go on with what is left, or raise max_minutes under [agent]",
                "time",
            )
        return None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Count no time within this block: the person is thinking."""
        self.tick()
        self._paused = True
        try:
            yield
        finally:
            self.tick()
            self._paused = False

    @property
    def left_s(self) -> float:
        """Seconds of work left."""
        return max(0.0, self._max_minutes * 60 - self._spent)
