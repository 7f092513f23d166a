"""Omni TUI: connect MCP servers, talk to an agent that uses them, decide on every tool call."""

__version__ = "0.1.0"
