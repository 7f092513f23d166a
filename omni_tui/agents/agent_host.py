"""All that an agent may ask of the engine: its only way to a tool and to the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from omni_tui.agents.plan import PlannableTools
from omni_tui.agents.plan_state import PlanState
from omni_tui.models.base import Image, Message, ToolCall, ToolSpec
from omni_tui.models.message_history import steps_since_user
from omni_tui.models.window import Window
from omni_tui.protocol.events import AnyEvent, Event
from omni_tui.protocol.values import CallOrigin


class ToolOutcome(msgspec.Struct, frozen=True):
    """What became of a call. `status` is a call's state, or "invalid" if it never became one.

    `text` is whole and as it came: the loop bounds and frames it for the model. With `stop` the
    person refused and wants no further word from the model. `call` is the id under which the host
    keeps the whole result, "" if it does not; `note` is what the host has to say behind it; `images`
    are the pictures of a result.
    """

    text: str
    status: str
    stop: bool = False
    call: str = ""
    note: str = ""
    images: tuple[Image, ...] = ()


class EarlierResult(msgspec.Struct, frozen=True):
    """The whole of an earlier result, as a model would be told it; `status` is its call's state."""

    text: str
    status: str


class AgentHost(Protocol):
    """The engine, as an agent sees it.

    A host that parks a turn raises `CancelledError` from `call` and `commit`: the loop then writes
    nothing more, so that the turn can be gone on with later.
    """

    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer now."""
        ...

    async def call(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        """Carry one call through the gate; takes as long as the person takes.

        Never raises but `CancelledError`. Called again for a call that was made before a restart,
        it returns what became of that one.
        """
        ...

    async def commit(self, *events: AnyEvent) -> None:
        """Journal events in one transaction; returns when they are on disk."""
        ...

    def live(self, event: Event) -> None:
        """Show something that is true for the moment only."""
        ...

    def history(self) -> tuple[Message, ...]:
        """Return all committed messages. At the start of a turn the last one is the person's."""
        ...

    def window(self, agent: str) -> Window:
        """Return the window of an agent's conversation, the same one every time."""
        ...

    async def stored(self, call: str) -> EarlierResult | None:
        """Return the whole result of a call that an agent of this session made, None if there is none."""
        ...

    async def take_in(self, turn: str) -> None:
        """Put what the person said meanwhile before the model, as part of this turn."""
        ...

    def steps(self, turn: str) -> int:
        """Return how many answers a model has given in this turn."""
        ...


class PlanHost(Protocol):
    """What the orchestrator may ask of the engine beyond `AgentHost`."""

    @property
    def progress(self) -> PlanState:
        """What is known of this turn's plans; kept up to date with every commit."""
        ...

    def offer(self) -> PlannableTools:
        """Return the tools a plan may name, now."""
        ...

    def digest(self, plan: str, plan_json: str) -> str:
        """Return what a verdict on exactly this plan must name."""
        ...

    def waits(self) -> bool:
        """Whether a call waits for the person."""
        ...

    async def settled(self, tools: frozenset[str]) -> None:
        """Return when these tools are there, or no server is being connected any more, or after a while."""
        ...

    async def decided(self, plan: str) -> None:
        """Return when there is a verdict on a plan, given by the person or because nobody is there."""
        ...

    async def withdraw(self, plan: str) -> None:
        """End the wait for a verdict, if there is none yet: the turn was stopped."""
        ...


class AgentScope:
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

    async def stored(self, call: str) -> EarlierResult | None:
        """Return the result of a call of this session, to be read again; None if there is none."""
        return await self._host.stored(call)

    async def take_in(self, turn: str) -> None:
        """Do nothing: the person speaks with the root agent alone."""

    def steps(self, turn: str) -> int:
        """How many answers this agent has given in this attempt at its task."""
        return steps_since_user(self._history())

    def tools(self) -> tuple[ToolSpec, ...]:
        """The allotted tools that are there now."""
        allotted = self._allotted()
        return tuple(tool for tool in self._host.tools() if tool.name in allotted)

    async def call(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        """Carry a call of an allotted tool through the gate, under the path of this agent.

        A further attempt at a task counts its steps on from the former one, so that a step of an
        agent is never counted twice: the engine knows calls from before a restart by it.
        """
        if call.name not in self._allotted():
            return ToolOutcome("This tool is not allotted to this task. Nothing was sent.", "denied")
        history = self._history()
        before = sum(message.role == "assistant" for message in history) - steps_since_user(history)
        origin = CallOrigin(origin.turn, self._agent, before + origin.step, origin.id)
        return await self._host.call(origin, call)

    async def commit(self, *events: AnyEvent) -> None:
        """Journal events."""
        await self._host.commit(*events)

    def live(self, event: Event) -> None:
        """Show something that is true for the moment only."""
        self._host.live(event)

    def history(self) -> tuple[Message, ...]:
        """What this agent was told and has said."""
        return tuple(self._history())
