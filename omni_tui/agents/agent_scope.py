"""What an agent below the root sees of the engine: its own history, the tools it may use, nothing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from omni_tui.agents.agent_host import AgentHost, ContextHost, EarlierResult, ToolOutcome
from omni_tui.models.base import Message, ToolCall, ToolSpec
from omni_tui.models.message_history import steps_since_user
from omni_tui.models.window import Window
from omni_tui.protocol.events import AnyEvent, Event
from omni_tui.protocol.values import CallOrigin


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
        return await self._host.stored(call) if isinstance(self._host, ContextHost) else None

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

    def post(self, *events: AnyEvent) -> None:
        """Journal events soon."""
        self._host.post(*events)

    def live(self, event: Event) -> None:
        """Show something that is true for the moment only."""
        self._host.live(event)

    def history(self) -> tuple[Message, ...]:
        """What this agent was told and has said."""
        return tuple(self._history())
