"""opencode: `mcp.NAME` in its first version, `mcp.servers.NAME` in its second; times in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni_tui.config.hosts.host import Host, HostContent, HostEntry, named_entries, other_settings, table_at

_KINDS = ("local", "remote")


def _servers(document: Mapping[str, Any]) -> Any:
    second = table_at(document, "mcp", "servers")
    # A server of the first version may be named "servers".
    if isinstance(second, dict) and table_at(second, "type") not in _KINDS:
        return second
    return table_at(document, "mcp")


def _is_opencode(document: Mapping[str, Any]) -> bool:
    servers = _servers(document)
    return isinstance(servers, Mapping) and any(
        table_at(each, "type") in _KINDS for each in servers.values()
    )


def _read(document: Mapping[str, Any]) -> HostContent:
    entries = tuple(map(_entry, named_entries(_servers(document), "mcp")))
    others = len([key for key in document if key not in ("mcp", "$schema")])
    notes = other_settings("opencode", others)
    return HostContent(entries, notes=notes)


def _entry(entry: HostEntry) -> HostEntry:
    if not isinstance(entry.written, dict):
        return entry
    written = dict(entry.written)
    timeout = written.pop("timeout", None)
    if isinstance(timeout, Mapping):  # as the second version may write it
        timeout = timeout.get("request") or timeout.get("startup")
    if timeout is not None:
        written["timeout_ms"] = timeout
    return HostEntry(entry.name, written, notes=entry.notes, unmet=entry.unmet)


OPENCODE = Host(
    name="opencode",
    title="opencode",
    places=(
        "~/.config/opencode/opencode.json",
        "~/.config/opencode/opencode.jsonc",
        "./opencode.json",
        "./opencode.jsonc",
        "./.opencode/opencode.json",
        "./.opencode/opencode.jsonc",
    ),
    looks_like=_is_opencode,
    read=_read,
)
