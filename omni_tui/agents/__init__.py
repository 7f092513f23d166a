"""Agents: the loop between a model and the tools, and the little it may ask of the engine."""

from omni_tui.agents.agent_host import AgentHost, PlanHost, ToolOutcome
from omni_tui.agents.orchestrator import run_orchestrated
from omni_tui.agents.plan_state import PlanState
from omni_tui.agents.react import run_turn
from omni_tui.agents.turn_limits import PlanLimits, TurnSettings

__all__ = [
    "AgentHost",
    "PlanHost",
    "PlanLimits",
    "PlanState",
    "ToolOutcome",
    "TurnSettings",
    "run_orchestrated",
    "run_turn",
]
