"""The contract test: whether what a plugin provides is what the interface asks for.

Runs in the process of the check (`probe`). Sends nothing and keeps nothing: models are made but not asked,
transports are looked at but not connected, servers list their tools, memories are tried in an empty folder.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from omni_tui.plugins.api import (
    ModelSettings,
    PluginMemory,
    PluginModel,
    PluginTheme,
    PluginToolServer,
)
from omni_tui.plugins.hook_calls import PluginFault, Provided

_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,59}")
_SCHEME = re.compile(r"[a-z][a-z0-9.-]{0,29}")
_TAKEN = {
    "models": {"", "offline", "offline/rules"},
    "transports": {"http", "https", "sse", "stdio", "memory"},
    "tools": {"demo"},
    "memory": {"sqlite", "redis"},
    "themes": set[str](),
}
_LONGEST_THEME = 100_000


async def check_contract(provided: Provided, folder: Path) -> None:
    """Try everything that a plugin provides; `folder` is empty. Raises `PluginFault`."""
    names = provided.names()
    if not names:
        raise PluginFault("it provides nothing")
    for kind, each in names.items():
        _check_names(kind, each)
    for model in provided.models:
        _check_model(model)
    for transport in provided.transports:
        _check_callable(transport, "connect", transport.connect)
    for server in provided.tool_servers:
        await _check_server(server)
    for memory in provided.memory:
        _check_memory(memory, folder)
    for theme in provided.themes:
        _check_theme(theme)


def _check_names(kind: str, names: tuple[Any, ...]) -> None:
    pattern = _SCHEME if kind == "transports" else _NAME
    for name, count in Counter(names).items():
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise PluginFault(f"{name!r:.60} cannot be a name among its {kind}")
        if count > 1:
            raise PluginFault(f"it has {count} {kind} named {name}")
        if name in _TAKEN[kind]:
            raise PluginFault(f"the name {name} among its {kind} is one of the app's own")


def _check_callable(what: object, name: str, value: object) -> None:
    if not callable(value):
        raise PluginFault(f"`{name}` of a {type(what).__name__} cannot be called")


def _check_model(provided: PluginModel) -> None:
    from omni_tui.models.base import ModelRequest

    _check_callable(provided, "make", provided.make)
    if not isinstance(provided.missing(), str):
        raise PluginFault(f"`missing` of the model {provided.name} must return a text")
    model = provided.make(ModelSettings())
    for name in ("stream", "count", "context_window"):
        if not callable(getattr(model, name, None)):
            raise PluginFault(f"the model {provided.name} has no method `{name}`")
    if not isinstance(model.count(ModelRequest(())), int):
        raise PluginFault(f"`count` of the model {provided.name} must return a number")
    if not isinstance(window := model.context_window(), int | None):
        raise PluginFault(
            f"`context_window` of the model {provided.name} must be a number or None, not {window!r:.40}"
        )


async def _check_server(provided: PluginToolServer) -> None:
    from mcp.client import Client
    from mcp.server import Server
    from mcp.server.mcpserver import MCPServer

    server = provided.make()
    if not isinstance(server, MCPServer | Server):
        raise PluginFault(f"the server {provided.name} is no MCP server but {type(server).__name__}")
    async with Client(server) as client:
        listed = await client.list_tools()
    if not listed.tools:
        raise PluginFault(f"the server {provided.name} lists no tools")


def _check_memory(provided: PluginMemory, folder: Path) -> None:
    place = folder / provided.name
    place.mkdir()
    first, other = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"

    def expect(what: str, good: bool) -> None:
        if not good:
            raise PluginFault(f"the memory {provided.name} fails its test: {what}")

    store = provided.open(str(place))
    expect("a new store has sessions", first not in store.sessions())
    try:
        store.get(first)
    except KeyError:
        pass
    else:
        expect("`get` of an unknown session raises no KeyError", False)
    store.put(first, b"\x00one")
    store.put(other, b"two" * 100_000)
    store.put(first, b"\x00uno\xff")
    store = provided.open(str(place))
    expect("it loses what it kept when it is opened again", {first, other} <= set(store.sessions()))
    expect("`get` returns something else than `put` was given", store.get(first) == b"\x00uno\xff")
    expect("`get` mixes sessions up", store.get(other) == b"two" * 100_000)


def _check_theme(theme: PluginTheme) -> None:
    if not isinstance(theme.toml, str) or len(theme.toml) > _LONGEST_THEME:
        raise PluginFault(f"the theme {theme.name} must be a text of at most {_LONGEST_THEME:,} characters")
    try:
        table = tomllib.loads(theme.toml)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PluginFault(f"the theme {theme.name} is not TOML: {error}") from None
    if not isinstance(table.get("primary"), str):
        raise PluginFault(f"the theme {theme.name} names no colour `primary`")
    if table.get("name", theme.name) != theme.name:
        raise PluginFault(f"the theme {theme.name} calls itself {table['name']!r:.60} in its text")
