"""What an agent below the root sees of the engine: its own history, the tools it may use, nothing more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from omni_tui.agents.host import AgentHost, KeepsContext, StoredResult, ToolOutcome
from omni_tui.agents.writer import TurnOver
from omni_tui.models.base import Message, ToolCall, ToolSpec
from omni_tui.models.context import steps_since_user
from omni_tui.models.window import Window
from omni_tui.protocol.events import AnyEvent, Event


class Lane:
    """An `AgentHost` for one agent of a plan. `allotted` gives the model names of its tools, now.

    A call of any other tool is refused here, before the engine hears of it, whatever the model was
    offered or talked into.
    """

    def __init__(
        self,
        host: AgentHost,
        agent: str,
        history: Callable[[], Sequence[Message]],
        allotted: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._host = host
        self._agent = agent
        self._history = history
        self._allotted = allotted
        self._window = Window()

    def window(self, agent: str) -> Window:
        """The window of this agent's conversation, which is as long as its task."""
        return self._window

    async def stored(self, call: str) -> StoredResult | None:
        """Return the result of a call of this session, to be read again; None if there is none."""
        return await self._host.stored(call) if isinstance(self._host, KeepsContext) else None

    def tools(self) -> tuple[ToolSpec, ...]:
        """The allotted tools that are there now."""
        allotted = self._allotted()
        return tuple(tool for tool in self._host.tools() if tool.name in allotted)

    async def call(self, turn: str, step: int, call: ToolCall, agent: str = "root") -> ToolOutcome:
        """Carry a call of an allotted tool through the gate, under the path of this agent.

        A further attempt at a task counts its steps on from the former one, so that a step of an
        agent is never counted twice: the engine knows calls from before a restart by it.
        """
        if call.name not in self._allotted():
            return ToolOutcome("This tool is not allotted to this task. Nothing was sent.", "denied")
        history = self._history()
        before = sum(message.role == "assistant" for message in history) - steps_since_user(history)
        return await self._host.call(turn, before + step, call, self._agent)

    async def commit(self, *events: AnyEvent) -> None:
        """Journal events."""
        await self._host.commit(*events)

    def post(self, *events: AnyEvent) -> None:
        """Journal events soon."""
        self._host.post(*events)

    def live(self, event: Event) -> None:
        """Show something that is true for the moment only."""
        self._host.live(event)

    def history(self) -> tuple[Message, ...]:
        """What this agent was told and has said."""
        return tuple(self._history())


class Meter:
    """How much the agents of a plan have used together: requests, and time (minutes, `clock` in seconds).

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

    def admit(self) -> None:
        """Count a request. Raises `TurnOver` where there may be no more."""
        if (over := self.over()) is not None:
            raise over
        self.requests += 1

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = self._clock()
        if not self._waits():
            self._spent += now - self._last
        self._last = now

    def over(self) -> TurnOver | None:
        """Return why there may be no further request, None if there may."""
        if self.requests >= self._max_requests:
            return TurnOver(
                "limit",
                f"all {self._max_requests} model requests of this turn are used",
                "say “continue” to go on with what is left, or raise max_requests under [agent]",
            )
        return self.late()

    def late(self) -> TurnOver | None:
        """Return what ends the work now because its time is used, None if it is not."""
        self.tick()
        if self._spent >= self._max_minutes * 60:
            return TurnOver(
                "limit",
                f"the {self._max_minutes:g} minutes of this turn are over",
                "say “continue” to go on with what is left, or raise max_minutes under [agent]",
            )
        return None

    def pass_over(self) -> None:
        """Leave out the time since the last tick: the person was thinking."""
        self._last = self._clock()

    @property
    def left_s(self) -> float:
        """Seconds of work left."""
        return max(0.0, self._max_minutes * 60 - self._spent)
