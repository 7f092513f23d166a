"""Goose: `extensions.NAME` in YAML; some have their settings under `config`."""

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

_OUTSIDE = ("stdio", "sse", "streamable_http")


def _is_goose(document: Mapping[str, Any]) -> bool:
    table = document.get("extensions")
    return isinstance(table, Mapping) and any(
        isinstance(each, Mapping) and ("type" in each or "config" in each) for each in table.values()
    )


def _read(document: Mapping[str, Any]) -> HostContent:
    entries, inside = [], []
    for each in named_entries(document.get("extensions"), "extensions"):
        entry = _entry(each)
        kind = entry.written.get("type") if isinstance(entry.written, dict) else ""
        if isinstance(kind, str) and kind and kind not in _OUTSIDE:
            inside.append(f"{entry.name} ({kind})")
            continue
        entries.append(entry)
    notes = [f"part of Goose itself, not a server: {', '.join(inside)}"] if inside else []
    notes += other_settings("Goose", len(document) - 1)
    return HostContent(tuple(entries), notes=tuple(notes))


def _entry(entry: HostEntry) -> HostEntry:
    if not isinstance(entry.written, dict):
        return entry
    written = dict(entry.written)
    nested = written.pop("config", None)
    if isinstance(nested, Mapping):
        written = {**nested, **written}
    notes = [*entry.notes, *literal_notes("Goose", written)]
    for key in ("bundled", "display_name", "name", "description"):
        written.pop(key, None)
    if "timeout" in written:
        written["timeout_sec"] = written.pop("timeout")
    keys = written.pop("env_keys", None)
    env = dict(written.pop("envs", None) or {}) if isinstance(written.get("envs"), Mapping | None) else {}
    for key in keys if isinstance(keys, list) else ():
        if isinstance(key, str) and key not in env:
            env[key] = f"${{{key}}}"
            notes.append(f"Goose has {key} in its own keyring; here it is read from the environment")
    if env:
        written["env"] = env
    return HostEntry(entry.name, written, notes=tuple(notes), unmet=entry.unmet)


GOOSE = Host(
    name="goose",
    title="Goose",
    places=("~/.config/goose/config.yaml", "APPDATA/Block/goose/config/config.yaml"),
    looks_like=_is_goose,
    read=_read,
)
