"""The public registry of MCP servers: search it, and find out what a server in it would run.

Everything that comes from it is text of strangers: it is checked, never run, and made safe where shown.
"""

from __future__ import annotations

from omni_tui.public_registry.client import RegistryClient, RegistryPage
from omni_tui.public_registry.launch import (
    Launch,
    LaunchQuestion,
    derive_address,
    derive_command,
    derive_launch,
    free_name,
    launch_label,
    questions,
)
from omni_tui.public_registry.server_entry import (
    RegistryError,
    RegistryPackage,
    RegistryRemote,
    RegistryServer,
    read_entry,
)

__all__ = [
    "Launch",
    "LaunchQuestion",
    "RegistryClient",
    "RegistryError",
    "RegistryPackage",
    "RegistryPage",
    "RegistryRemote",
    "RegistryServer",
    "derive_address",
    "derive_command",
    "derive_launch",
    "free_name",
    "launch_label",
    "questions",
    "read_entry",
]
