"""Rolls dice over MCP, without the app."""

import asyncio

import omni_tui_dice as plugin
from mcp.client import Client


def test_each_die_shows_one_of_its_sides() -> None:
    async def roll() -> list[int]:
        async with Client(plugin.make_server()) as client:
            result = await client.call_tool("roll", {"dice": 20, "sides": 3})
            assert not result.is_error
            return result.structured_content["result"]

    shown = asyncio.run(roll())
    assert len(shown) == 20
    assert set(shown) <= {1, 2, 3}


def test_it_is_listed_in_the_app() -> None:
    (server,) = plugin.omni_tool_servers()
    assert server.name == "dice"
