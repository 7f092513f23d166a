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
    """The outcome of a call. `status` is the state of the call, or "invalid" if it never became one.

    `text` is whole and as it came: the loop shortens and frames it for the model. `stop`: the person
    rejected the call and ended the turn. `call`: the id under which the journal keeps the whole result,
    "" if it does not. `note`: what Omni TUI adds for the model. `images`: the pictures of a result.
    """

    text: str
    status: str
    stop: bool = False
    call: str = ""
    note: str = ""
    images: tuple[Image, ...] = ()


class EarlierResult(msgspec.Struct, frozen=True):
    """A whole earlier result, as a model would get it. `status` is the state of its call."""

    text: str
    status: str


class AgentHost(Protocol):
    """The engine, as an agent sees it.

    A host that parks a turn raises `CancelledError` from `call` and `commit`. The loop then writes
    nothing more, and the turn can be continued later.
    """

    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the tools that the model may call now."""
        ...

    async def call(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        """Carry one call through the gate and return its outcome. This takes as long as the person takes.

        Raises only `CancelledError`. For a call that was made before a restart, returns the outcome of
        that call.
        """
        ...

    async def commit(self, *events: AnyEvent) -> None:
        """Journal events in one transaction; returns when they are on disk."""
        ...

    def live(self, event: Event) -> None:
        """Show an event that is not journalled."""
        ...

    def history(self) -> tuple[Message, ...]:
        """Return all committed messages. At the start of a turn the last one is the person's."""
        ...

    def window(self, agent: str) -> Window:
        """Return the context window of an agent's conversation, the same one every time."""
        ...

    async def stored(self, call: str) -> EarlierResult | None:
        """Return the whole result of a call that an agent of this session made, None if there is none."""
        ...

    async def add_messages(self, turn: str) -> None:
        """Add the messages that the person sent meanwhile to this turn."""
        ...

    def steps(self, turn: str) -> int:
        """Return how many answers a model has given in this turn."""
        ...


class PlanHost(Protocol):
    """What the orchestrator may ask of the engine beyond `AgentHost`."""

    @property
    def progress(self) -> PlanState:
        """The state of this turn's plans, up to date after every commit."""
        ...

    def offer(self) -> PlannableTools:
        """Return the tools that a plan may name now."""
        ...

    def digest(self, plan: str, plan_json: str) -> str:
        """Return the digest that a decision on exactly this plan must name."""
        ...

    def expires(self) -> float:
        """Return when a plan that is proposed now expires, as Unix time; 0 for never."""
        ...

    def waits(self) -> bool:
        """Whether a call waits for the person."""
        ...

    async def settled(self, tools: frozenset[str]) -> None:
        """Wait until these tools are listed or no server connects any more, but not for long."""
        ...

    async def decided(self, plan: str) -> None:
        """Wait until a plan is decided: by the person, by its time, or because nobody is there."""
        ...

    async def withdraw(self, plan: str) -> None:
        """Withdraw a plan that is not decided yet: the turn was stopped."""
        ...


class AgentScope:
    """The `AgentHost` of one agent of a plan. `allotted` returns the model names of its tools.

    A call of any other tool is refused here and never reaches the engine, whatever the model was told.
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
        """Return the context window of this agent, which lasts as long as its task."""
        return self._window

    async def stored(self, call: str) -> EarlierResult | None:
        """Return the whole result of a call of this session, None if there is none."""
        return await self._host.stored(call)

    async def add_messages(self, turn: str) -> None:
        """Do nothing: the person speaks with the root agent alone."""

    def steps(self, turn: str) -> int:
        """Return how many answers this agent has given in this attempt at its task."""
        return steps_since_user(self._history())

    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the allotted tools that are listed now."""
        allotted = self._allotted()
        return tuple(tool for tool in self._host.tools() if tool.name in allotted)

    async def call(self, origin: CallOrigin, call: ToolCall) -> ToolOutcome:
        """Carry a call of an allotted tool through the gate, under the path of this agent.

        Steps are counted on over all attempts at a task: the engine recognises calls from before a
        restart by their step.
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
        """Show an event that is not journalled."""
        self._host.live(event)

    def history(self) -> tuple[Message, ...]:
        """Return all messages of this agent."""
        return tuple(self._history())
