"""A server of the SDK in the stateless protocol over streamable HTTP, or stdio: `modern.py PORT|stdio`."""

from __future__ import annotations

import sys
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("modern")


@server.tool()
def echo(value: dict[str, Any]) -> dict[str, Any]:
    """Give the value back."""
    return value


@server.tool()
async def slow(ctx: Context, steps: int) -> str:
    """Take a twentieth of a second per step, and report it."""
    for step in range(steps):
        await anyio.sleep(0.05)
        await ctx.report_progress(step + 1, steps, "step")
    return "done"


@server.tool()
async def grow(ctx: Context) -> str:
    """Offer one more tool from now on."""
    server.add_tool(echo, name="more")
    await ctx.notify_tools_changed()
    return "grown"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[1]))
