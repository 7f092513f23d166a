"""Continue: a list `mcpServers` in YAML, with `${{ secrets.NAME }}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omni_tui.config.hosts.host import Host, HostContent, HostEntry, named_entries, other_settings
from omni_tui.config.hosts.host_file import Table

_SECRET = re.compile(r"\$\{\{\s*(?:secrets|inputs|env)\.([\w-]+)\s*\}\}")
_OF_A_BLOCK = ("name", "version", "schema", "mcpServers", "description", "author", "license", "tags")


def _is_continue(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("mcpServers"), list)


def _read(document: Mapping[str, Any]) -> HostContent:
    entries = tuple(map(_entry, named_entries(document.get("mcpServers"), "mcpServers")))
    others = len([key for key in document if key not in _OF_A_BLOCK])
    notes = other_settings("Continue", others)
    return HostContent(entries, notes=notes)


def _entry(entry: HostEntry) -> HostEntry:
    notes: dict[str, None] = {}
    written = _filled(entry.written, notes)
    return HostEntry(entry.name, written, notes=(*entry.notes, *notes), unmet=entry.unmet)


def _filled(value: Any, notes: dict[str, None]) -> Any:
    if isinstance(value, str):
        for found in _SECRET.finditer(value):
            notes[f"{found[0]} is read from the environment variable {_variable(found)}"] = None
        return _SECRET.sub(lambda found: f"${{{_variable(found)}}}", value)
    if isinstance(value, list):
        return [_filled(each, notes) for each in value]
    if isinstance(value, dict):
        table = Table({key: _filled(each, notes) for key, each in value.items()})
        table.twice = value.twice if isinstance(value, Table) else frozenset()
        return table
    return value


def _variable(found: re.Match[str]) -> str:
    return found[1].replace("-", "_")


CONTINUE = Host(
    name="continue",
    title="Continue",
    places=(
        "~/.continue/config.yaml",
        "~/.continue/mcpServers/*",
        "./.continue/config.yaml",
        "./.continue/mcpServers/*",
    ),
    looks_like=_is_continue,
    read=_read,
)
