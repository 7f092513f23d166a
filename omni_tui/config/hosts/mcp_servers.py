"""Hosts that write the usual form, `{"mcpServers": {NAME: …}}`, and files of no known host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omni_tui.config.hosts.host import (
    Host,
    HostContent,
    keys_besides,
    literal_notes,
    named_entries,
    table_at,
)
from omni_tui.config.hosts.host_file import NoServersFound

_TABLES = (
    ("mcpServers",),
    ("servers",),
    ("context_servers",),
    ("mcp.servers",),
    ("mcp", "mcpServers"),
    ("mcp", "servers"),
    ("mcpServers", "servers"),
)
_REACHED = ("command", "cmd", "url", "httpUrl", "serverUrl", "uri")


def is_entry(value: Any) -> bool:
    """Whether a value describes a server."""
    return isinstance(value, Mapping) and any(key in value for key in _REACHED)


def _any_table(document: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return the table of servers, wherever a file has it, and the keys above it."""
    for path in _TABLES:
        table = table_at(document, *path)
        # A server may be named "servers": what describes one is none of their table.
        if isinstance(table, dict | list) and not is_entry(table) and (table or len(path) == 1):
            return table, path
    for above in ((), ("mcp",)):  # plugins have them at the top, opencode under `mcp`
        table = table_at(document, *above)
        if isinstance(table, Mapping) and table and all(map(is_entry, table.values())):
            return table, above
    raise NoServersFound("holds no `mcpServers` table")


def read_plain(document: Mapping[str, Any]) -> HostContent:
    """Read a file of no known host: the table may be anywhere that a host has it."""
    table, path = _any_table(document)
    left = keys_besides(document, path[:1]) if path else ()
    return HostContent(tuple(named_entries(table, "mcpServers")), left=left)


def read_mcp_servers(document: Mapping[str, Any]) -> HostContent:
    """Read a file with `mcpServers`."""
    entries = tuple(named_entries(document.get("mcpServers"), "mcpServers"))
    return HostContent(entries, left=keys_besides(document, ("mcpServers",)))


def _read_claude_desktop(document: Mapping[str, Any]) -> HostContent:
    """Read Claude Desktop's file, which has its other settings too. It fills in no variables."""
    entries = tuple(
        replace(each, notes=literal_notes("Claude Desktop", each.written))
        for each in named_entries(document.get("mcpServers"), "mcpServers")
    )
    return HostContent(entries, left=keys_besides(document, ("mcpServers",)))


def _has_server_urls(document: Mapping[str, Any]) -> bool:
    table = table_at(document, "mcpServers")
    return isinstance(table, Mapping) and any(
        isinstance(each, Mapping) and "serverUrl" in each for each in table.values()
    )


def _is_claude_desktop(document: Mapping[str, Any]) -> bool:
    return "mcpServers" in document and "globalShortcut" in document


def _is_cline(document: Mapping[str, Any]) -> bool:
    table = table_at(document, "mcpServers")
    return isinstance(table, Mapping) and any(
        isinstance(each, Mapping) and each.get("type") == "streamableHttp" for each in table.values()
    )


def _by_its_place_only(_document: Mapping[str, Any]) -> bool:
    return False


CLAUDE_DESKTOP = Host(
    name="claude-desktop",
    title="Claude Desktop",
    places=(
        "~/Library/Application Support/Claude/claude_desktop_config.json",
        "APPDATA/Claude/claude_desktop_config.json",
        "~/.config/Claude/claude_desktop_config.json",
    ),
    looks_like=_is_claude_desktop,
    read=_read_claude_desktop,
)
CURSOR = Host(
    name="cursor",
    title="Cursor",
    places=("~/.cursor/mcp.json", "./.cursor/mcp.json"),
    looks_like=_by_its_place_only,
    read=read_mcp_servers,
)
WINDSURF = Host(
    name="windsurf",
    title="Windsurf",
    places=("~/.codeium/windsurf/mcp_config.json",),
    looks_like=_has_server_urls,
    read=read_mcp_servers,
)
CLINE = Host(
    name="cline",
    title="Cline",
    places=(
        "~/.cline/data/settings/cline_mcp_settings.json",
        "~/.config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        "~/Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev/settings/"
        "cline_mcp_settings.json",
    ),
    looks_like=_is_cline,
    read=read_mcp_servers,
)
LM_STUDIO = Host(
    name="lm-studio",
    title="LM Studio",
    places=("~/.lmstudio/mcp.json", "~/.cache/lm-studio/mcp.json"),
    looks_like=_by_its_place_only,
    read=read_mcp_servers,
)
COPILOT = Host(
    name="copilot",
    title="GitHub Copilot CLI",
    places=("~/.copilot/mcp-config.json",),
    looks_like=_by_its_place_only,
    read=read_mcp_servers,
)
PLAIN = Host(
    name="file",
    title="an mcpServers file",
    places=(),
    looks_like=_by_its_place_only,
    read=read_plain,
)
