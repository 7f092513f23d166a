"""Codex: `[mcp_servers.NAME]` in TOML; it fills in no variables and names them in keys of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni_tui.config.hosts.host import (
    Host,
    HostContent,
    HostEntry,
    literal_notes,
    named_entries,
    other_settings,
)


def _is_codex(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("mcp_servers"), Mapping)


def _read(document: Mapping[str, Any]) -> HostContent:
    entries = tuple(_entry(each) for each in named_entries(document.get("mcp_servers"), "mcp_servers"))
    others = len(document) - 1
    notes = other_settings("Codex", others)
    return HostContent(entries, notes=notes)


def _entry(entry: HostEntry) -> HostEntry:
    if not isinstance(entry.written, dict):
        return entry
    written = dict(entry.written)
    notes = [*entry.notes, *literal_notes("Codex", written)]
    if written.pop("headers", None) is not None:
        notes.append("`headers` is not used, as in Codex, which reads `http_headers`")
    headers = dict(_table(written.pop("http_headers", None)))
    for header, variable in _table(written.pop("env_http_headers", None)).items():
        headers[header] = f"${{{variable}}}"
    if token := written.pop("bearer_token_env_var", None):
        headers["Authorization"] = f"Bearer ${{{token}}}"
    env = dict(_table(written.pop("env", None)))
    listed = written.pop("env_vars", None)
    for each in listed if isinstance(listed, list) else ():
        name = each.get("name") if isinstance(each, Mapping) else each
        source = each.get("source", name) if isinstance(each, Mapping) else each
        if isinstance(name, str):
            env.setdefault(name, f"${{{name if source in ('local', 'remote') else source}}}")
    oauth: dict[str, Any] = dict(_table(written.pop("oauth", None)))
    if scopes := written.pop("scopes", None):
        oauth["scopes"] = scopes
    for key, table in (("headers", headers), ("env", env), ("oauth", oauth)):
        if table:
            written[key] = table
    return HostEntry(entry.name, written, notes=tuple(notes), unmet=entry.unmet)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


CODEX = Host(
    name="codex",
    title="Codex",
    places=("CODEX_HOME/config.toml", "~/.codex/config.toml", "./.codex/config.toml"),
    looks_like=_is_codex,
    read=_read,
)
