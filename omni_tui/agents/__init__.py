"""Agents: the loop between a model and the tools, and the little it may ask of the engine."""

from omni_tui.agents.chat import ChatPolicy
from omni_tui.agents.host import AgentHost, ToolOutcome
from omni_tui.agents.react import run_turn

__all__ = ["AgentHost", "ChatPolicy", "ToolOutcome", "run_turn"]
