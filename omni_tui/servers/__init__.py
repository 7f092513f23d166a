"""MCP servers: connecting, watching, listing and calling them. The SDK is imported when one starts."""

from omni_tui.servers.base import (
    CallError,
    Dispatch,
    DispatchRefused,
    RawResult,
    TokenRenewed,
    ToolDefinition,
)
from omni_tui.servers.connection import Connection
from omni_tui.servers.offers import Offers, PromptReply, ReadContent, VerbError
from omni_tui.servers.processes import Processes, sweep_leases
from omni_tui.servers.registry import Registry

__all__ = [
    "CallError",
    "Connection",
    "Dispatch",
    "DispatchRefused",
    "Offers",
    "Processes",
    "PromptReply",
    "RawResult",
    "ReadContent",
    "Registry",
    "TokenRenewed",
    "ToolDefinition",
    "VerbError",
    "sweep_leases",
]
