"""Gemini CLI: `mcpServers` in its settings; `url` is SSE, `httpUrl` streamable HTTP, `$V` a variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omni_tui.config.hosts.host import Host, HostContent, HostEntry, named_entries, other_settings, table_at
from omni_tui.config.hosts.host_file import NoServersFound, Table

_DOLLAR = re.compile(r"\$(\w+)")
_OWN = ("mcpServers", "mcp")


def _is_gemini(document: Mapping[str, Any]) -> bool:
    table = table_at(document, "mcpServers")
    return isinstance(table, Mapping) and any(
        isinstance(each, Mapping) and ("httpUrl" in each or "includeTools" in each)
        for each in table.values()
    )


def _read(document: Mapping[str, Any]) -> HostContent:
    if document.get("mcpServers") is None:
        raise NoServersFound("holds no `mcpServers` table")
    allowed, excluded = (_names(table_at(document, "mcp", key)) for key in ("allowed", "excluded"))
    entries = []
    for each in named_entries(document["mcpServers"], "mcpServers"):
        off = each.name in excluded or bool(allowed and each.name not in allowed)
        entries.append(_entry(each, off=off))
    others = len([key for key in document if key not in _OWN])
    notes = other_settings("Gemini CLI", others)
    left = tuple(
        f"mcp.{key}" for key in table_at(document, "mcp") or () if key not in ("allowed", "excluded")
    )
    return HostContent(tuple(entries), left=left, notes=notes)


def _names(value: Any) -> set[str]:
    return {each for each in value if isinstance(each, str)} if isinstance(value, list) else set()


def _entry(entry: HostEntry, *, off: bool) -> HostEntry:
    if not isinstance(entry.written, dict):
        return entry
    written = _braced(entry.written)
    notes = list(entry.notes)
    if written.get("httpUrl"):
        if written.pop("url", None):
            notes.append("`url` is not used beside `httpUrl`, as in Gemini CLI")
        if written.pop("command", None):
            notes.append("`command` is not used beside `httpUrl`, as in Gemini CLI")
        written["type"] = "http"
    elif written.get("url"):
        if written.pop("command", None):
            notes.append("`command` is not used beside `url`, as in Gemini CLI")
        written.setdefault("type", "sse")
    if "timeout" in written:
        written["timeout_ms"] = written.pop("timeout")
    if off:
        written["enabled"] = False
        notes.append("Gemini CLI excludes it, so it is switched off")
    return HostEntry(entry.name, written, notes=tuple(notes), unmet=entry.unmet)


def _braced(value: Any) -> Any:
    """Write `$V` as `${V}`, in every text."""
    if isinstance(value, str):
        return _DOLLAR.sub(r"${\1}", value)
    if isinstance(value, list):
        return [_braced(each) for each in value]
    if isinstance(value, dict):
        table = Table({key: _braced(each) for key, each in value.items()})
        table.twice = value.twice if isinstance(value, Table) else frozenset()
        return table
    return value


GEMINI = Host(
    name="gemini",
    title="Gemini CLI",
    places=("~/.gemini/settings.json", "./.gemini/settings.json"),
    looks_like=_is_gemini,
    read=_read,
)
