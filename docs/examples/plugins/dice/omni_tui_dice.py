"""Dice to roll."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from pydantic import Field

from omni_tui.plugins.api import PluginInfo, PluginToolServer, hookimpl

PLUGIN = PluginInfo(api=1, summary="Dice to roll")


def make_server() -> MCPServer:
    """Return the server. It runs in the app's process; each call of it needs approval as usual."""
    server = MCPServer("dice")

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    def roll(
        dice: Annotated[int, Field(ge=1, le=100)] = 1, sides: Annotated[int, Field(ge=2, le=1000)] = 6
    ) -> list[int]:
        """Roll some dice and return what each shows."""
        return [random.randint(1, sides) for _ in range(dice)]

    return server


@hookimpl
def omni_tool_servers() -> Sequence[PluginToolServer]:
    """Return the server with its name in the app."""
    return [PluginToolServer(name="dice", make=make_server)]
