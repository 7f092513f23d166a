"""Talks to a server behind a socket, without the app."""

import asyncio
import json
from pathlib import Path

import omni_tui_unix as plugin
from mcp.client import Client

from omni_tui.plugins.api import TransportTarget


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a server with one tool does."""
    while line := await reader.readline():
        asked = json.loads(line)
        if asked.get("method") == "initialize":
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "behind a socket", "version": "1"},
            }
        elif asked.get("method") == "tools/list":
            result = {"tools": [{"name": "wave", "inputSchema": {"type": "object"}}]}
        else:
            continue
        writer.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode() + b"\n")


def test_it_lists_the_tools_of_a_server_behind_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def listed() -> list[str]:
        async with await asyncio.start_unix_server(answer, path):
            target = TransportTarget(url=f"unix://{path}", note=lambda _line: None)
            async with Client(plugin.connect(target), mode="legacy") as client:
                return [tool.name for tool in (await client.list_tools()).tools]

    assert asyncio.run(asyncio.wait_for(listed(), 20)) == ["wave"]
