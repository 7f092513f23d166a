"""Zed: `context_servers` in its settings; what an extension of Zed provides cannot run here."""

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


def _is_zed(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("context_servers"), Mapping)


def _read(document: Mapping[str, Any]) -> HostContent:
    servers = named_entries(document.get("context_servers"), "context_servers")
    entries = tuple(map(_entry, servers))
    others = len(document) - 1
    notes = other_settings("Zed", others)
    return HostContent(entries, notes=notes)


def _entry(entry: HostEntry) -> HostEntry:
    if not isinstance(entry.written, dict):
        return entry
    written = dict(entry.written)
    source = written.pop("source", "custom")
    unmet = entry.unmet
    if source == "extension" or not ({"command", "url"} & written.keys()):
        unmet = unmet or "an extension of Zed provides it, which cannot run here"
    return HostEntry(entry.name, written, notes=literal_notes("Zed", written), unmet=unmet)


ZED = Host(
    name="zed",
    title="Zed",
    places=("~/.config/zed/settings.json", "./.zed/settings.json"),
    looks_like=_is_zed,
    read=_read,
)
