"""MCP servers: connecting to them, listing what they offer, calling them. The SDK loads when one starts."""

from omni_tui.servers.base import (
    CallError,
    Dispatch,
    DispatchRefused,
    RawResult,
    TokenRenewed,
    ToolDefinition,
)
from omni_tui.servers.connection import Connection
from omni_tui.servers.processes import Processes, sweep_leases
from omni_tui.servers.prompt_resource_types import (
    PromptMessages,
    PromptResourceError,
    PromptsAndResources,
    ResourceContent,
)
from omni_tui.servers.registry import ServerRegistry

__all__ = [
    "CallError",
    "Connection",
    "Dispatch",
    "DispatchRefused",
    "Processes",
    "PromptMessages",
    "PromptResourceError",
    "PromptsAndResources",
    "RawResult",
    "ResourceContent",
    "ServerRegistry",
    "TokenRenewed",
    "ToolDefinition",
    "sweep_leases",
]
