"""The interface of plugins. A plugin imports this module, and what its annotations name; nothing else.

A plugin is a module (or another object) that an entry point of the group `omni_tui.plugins` names. It has a
`PLUGIN`, which says what it is, and functions marked with `hookimpl`, which say what it provides:

    from omni_tui.plugins.api import PluginInfo, PluginTheme, hookimpl

    PLUGIN = PluginInfo(api=1, summary="A theme")

    @hookimpl
    def omni_themes():
        return [PluginTheme(name="mine", toml='primary = "#7aa2f7"')]

A plugin runs with the app's own rights. Nothing here leads to the gate: tools of a plugin are those of an
MCP server, and go through approval like all others. A plugin that imports the gate fails its check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import pluggy

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams
    from mcp.server import Server
    from mcp.server.mcpserver import MCPServer

    from omni_tui.models.base import Model

API_VERSION = 1
"""The version of this interface. A plugin that was written for another one is not loaded."""
GROUP = "omni_tui.plugins"
"""The group of entry points."""
PROJECT = "omni_tui"
"""The name of the hooks' project, as `pluggy` calls it."""

Permission = Literal["network", "files", "processes"]
"""What a plugin says it does: connects to other machines, writes files, starts programs."""

hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginInfo:
    """What a plugin says of itself. `api` is the `API_VERSION` it was written for; `summary` is one line.

    `permissions` are shown to the person before the plugin is enabled. The check fails a plugin that does
    more than it declares while it is imported and tried; later nothing holds it back.
    """

    api: int
    summary: str
    permissions: frozenset[Permission] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """The settings of a model from the config; None means not set. `timeout_s`: seconds of silence."""

    temperature: float | None = None
    max_tokens: int | None = None
    timeout_s: float | None = None
    tools: bool = True


def nothing_missing() -> str:
    """Return that nothing is missing."""
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginModel:
    """A model, chosen by `name` and never by itself. `make` may load nothing: the first request does.

    `label` says in a list what it is. `missing` says why it cannot be used now and what to do, or "".
    """

    name: str
    label: str
    make: Callable[[ModelSettings], Model]
    missing: Callable[[], str] = nothing_missing


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportTarget:
    """What a transport is to reach: `url` without the prefix `plugin+`, and the headers of the config.

    `note` writes a line into the server's log.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    note: Callable[[str], None] = print


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginTransport:
    """A way to reach MCP servers, for addresses that begin with `plugin+SCHEME:`.

    `connect` returns a context manager that yields the two streams of the MCP SDK: what comes from the
    server, and what goes to it. It is entered and left in one task.
    """

    scheme: str
    connect: Callable[[TransportTarget], AbstractAsyncContextManager[TransportStreams]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginToolServer:
    """Tools: an MCP server in the app's process, listed under `name`. Its calls need approval like all."""

    name: str
    make: Callable[[], MCPServer | Server]


class SessionStore(Protocol):
    """A second place for sessions. What it gets is sealed: only the keys of this state folder open it.

    Its methods run in threads, may block, and raise `OSError` for what may work later.
    """

    def put(self, session: str, data: bytes) -> None:
        """Keep a session, in the place of what was kept of it before: all of it or nothing."""
        ...

    def get(self, session: str) -> bytes:
        """Return what was kept of a session. Raises `KeyError` if nothing was."""
        ...

    def sessions(self) -> Sequence[str]:
        """Return the ids of all sessions that were kept."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginMemory:
    """A memory: a store for copies of sessions. `open` gets a private folder of its own."""

    name: str
    open: Callable[[str], SessionStore]


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginTheme:
    """A colour theme: the text of a theme file, as in the folder `themes`."""

    name: str
    toml: str


class PluginHooks:
    """What a plugin may provide. Each hook is optional, takes nothing, and has a time-out."""

    @_hookspec
    def omni_models(self) -> Sequence[PluginModel]:
        """Return models."""
        return ()

    @_hookspec
    def omni_transports(self) -> Sequence[PluginTransport]:
        """Return transports."""
        return ()

    @_hookspec
    def omni_tool_servers(self) -> Sequence[PluginToolServer]:
        """Return servers with tools."""
        return ()

    @_hookspec
    def omni_memory(self) -> Sequence[PluginMemory]:
        """Return memories."""
        return ()

    @_hookspec
    def omni_themes(self) -> Sequence[PluginTheme]:
        """Return themes."""
        return ()

    @_hookspec
    def omni_self_check(self) -> str:
        """Return what is wrong with the plugin, "" if nothing. Runs in the process of the check only."""
        return ""

    @_hookspec
    def omni_started(self) -> None:
        """Begin: the plugin was enabled, or the app has started."""

    @_hookspec
    def omni_stopping(self) -> None:
        """End what was begun: the plugin is disabled, or the app ends."""
