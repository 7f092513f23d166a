"""All that the orchestrator may ask of the engine beyond what every agent may, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from omni_tui.agents.plan import PlannableTools
from omni_tui.agents.plan_state import PlanState


@dataclass(frozen=True, slots=True)
class PlanPolicy:
    """How plans are handled: whether they are asked about, and the limits of a turn (minutes of work).

    `calls` is what is done with a call of a plan's agent where nothing else decides.
    """

    plan: Literal["ask", "allow"] = "ask"
    calls: Literal["allow", "ask", "deny"] = "allow"
    parallel: int = 4
    max_requests: int = 200
    max_minutes: float = 60.0


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
