"""How far the agents of a turn may go: the limits of each mode, and the meter of what is used."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from omni_tui.agents.turn_writer import TurnStopped
from omni_tui.models.base import Purpose
from omni_tui.models.budget import GO_ON, Budget
from omni_tui.models.message_history import RESULT_LIMIT
from omni_tui.resilience.retry import RetryPolicy

GOAL = """\
You work by yourself in this mode: the person has given you a goal and may not be watching. Work towards \
it step by step without asking back; where something is unclear, choose what changes least and say so. \
Stop when the goal is reached, or when it cannot be reached with these tools.

Call `track_goal` together with your first calls, with the parts of the goal, and once more before your \
last answer, with the state of each part and the calls that show it.

End with a report in Markdown: what was done, by which calls; what failed or was refused; what is left."""

_TICK_S = 1.0
_LEAST_S = 0.01


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """The limits and the prompt of a turn.

    `max_steps`: model requests in one turn. `system_prompt`: the person's own words, added to ours.
    `result_limit`: characters of one result that the model gets. `instructions`: those of the servers,
    by name. `offered`: tools in one request; of more, the best matches. `pinned`: model names of tools
    that are always among them. `budget`: what may be used, None for no limit. `max_calls`: calls of one
    answer that are carried out; the model is told about the rest.

    For the agents of a plan: `system` replaces our system prompt, `purpose` is what the answers are
    for, `spoken` says whether an answer is shown as one, `scope` is what the model is told when it
    calls a tool that it does not have, and `admit` is called before each request and raises
    `TurnStopped` where no more are allowed.

    For autonomous turns: `goal` goes before the person's words, `max_seconds` is the time of work for
    display, and `late` tells a cancelled turn whether its time was up.

    `proposes`: each answer with calls is told as a list of proposed actions before the first is decided.
    """

    max_steps: int = 25
    system_prompt: str = ""
    result_limit: int = RESULT_LIMIT
    instructions: Mapping[str, str] = field(default_factory=dict)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    offered: int = 40
    pinned: tuple[str, ...] = ()
    budget: Budget | None = None
    malformed_tries: int = 2
    same_calls: int = 3
    max_calls: int = 32
    max_rejections: int = 5
    stop_grace_s: float = 5.0
    system: str = ""
    purpose: Purpose = "answer"
    spoken: bool = True
    scope: str = ""
    admit: Callable[[], None] | None = None
    late: Callable[[], TurnStopped | None] | None = None
    goal: str = ""
    max_seconds: float = 0.0
    proposes: bool = False


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """How plans are handled: whether they are asked about, and the limits of a turn (minutes of work).

    `calls`: what is done with a call of a plan's agent where nothing else decides.
    """

    plan: Literal["ask", "allow"] = "ask"
    calls: Literal["allow", "ask", "deny"] = "allow"
    parallel: int = 4
    max_requests: int = 200
    max_minutes: float = 60.0


class TurnMeter:
    """Counts what all agents of a turn have used: requests, and minutes of work (`clock` in seconds).

    Time in which `waits` is true is not counted: the turn waits for the person.
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
        """Cancel the task in this block once the time is used up. `late` then says that this was why."""
        owner = asyncio.current_task()
        assert owner is not None
        clock = asyncio.create_task(self._watch(owner), name="the clock of a turn")
        try:
            yield
        finally:
            clock.cancel()

    async def _watch(self, owner: asyncio.Task[Any]) -> None:
        while self.late() is None:
            left = self._max_minutes * 60 - self._spent
            await asyncio.sleep(min(_TICK_S, max(_LEAST_S, left)))
        owner.cancel()

    def admit(self) -> None:
        """Count a request. Raises `TurnStopped` if no more are allowed."""
        over = self.late()
        if self.requests >= self._max_requests:
            over = TurnStopped(
                "limit",
                f"all {self._max_requests} model requests of this turn are used",
                f"{GO_ON} to continue with what is left, or raise max_requests under [agent]",
                "requests",
            )
        if over is not None:
            raise over
        self.requests += 1

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = self._clock()
        if not (self._paused or self._waits()):
            self._spent += now - self._last
        self._last = now

    def late(self) -> TurnStopped | None:
        """Return why the turn must end now because its time is used up, None if it is not."""
        self.tick()
        if self._spent >= self._max_minutes * 60:
            return TurnStopped(
                "limit",
                f"the {self._max_minutes:g} minutes of this turn are over",
                f"{GO_ON} to continue with what is left, or raise max_minutes under [agent]",
                "time",
            )
        return None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Count no time in this block: the person decides."""
        self.tick()
        self._paused = True
        try:
            yield
        finally:
            self.tick()
            self._paused = False


@contextlib.asynccontextmanager
async def autonomous(
    settings: TurnSettings, limits: PlanLimits, waits: Callable[[], bool]
) -> AsyncIterator[TurnSettings]:
    """Yield the settings of an autonomous turn, which lasts as long as the block.

    The requests and the time of `limits` end the turn as "limit", the time also in the middle of a call
    or an answer. Time in which `waits` is true is not counted.
    """
    meter = TurnMeter(limits.max_requests, limits.max_minutes, waits)
    seconds = limits.max_minutes * 60
    async with meter.watching():
        yield replace(settings, goal=GOAL, admit=meter.admit, late=meter.late, max_seconds=seconds)
