"""VS Code: `mcp.json` with `servers` and `inputs`, or `mcp.servers` in its settings, also as one key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni_tui.config.hosts.host import (
    Host,
    HostContent,
    HostEntry,
    keys_besides,
    named_entries,
    other_settings,
    table_at,
)


def _place(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the table that has `servers`, and perhaps `inputs`."""
    if isinstance(document.get("mcp.servers"), dict):
        return {"servers": document["mcp.servers"], "inputs": document.get("mcp.inputs")}
    nested = table_at(document, "mcp")
    if isinstance(nested, Mapping) and isinstance(nested.get("servers"), dict):
        return nested
    return document if isinstance(document.get("servers"), dict) else None


def _is_vs_code(document: Mapping[str, Any]) -> bool:
    place = _place(document)
    if place is None:
        return False
    kinds = {table_at(each, "type") for each in place["servers"].values()}
    # opencode's second version has `mcp.servers` too.
    return not kinds & {"local", "remote"} and ("inputs" in place or place is not document)


def _inputs(listed: Any) -> dict[str, str]:
    found = {}
    for each in listed if isinstance(listed, list) else ():
        # What a command gives, only VS Code can run.
        asked = isinstance(each, Mapping) and each.get("type") in ("promptString", "pickString", None)
        if asked and isinstance(each.get("id"), str):
            found[each["id"]] = str(each.get("description") or each["id"])
    return found


def _read(document: Mapping[str, Any]) -> HostContent:
    place = _place(document) or document
    entries = tuple(map(_entry, named_entries(place.get("servers"), "servers")))
    whole_settings = place is not document
    left = () if whole_settings else keys_besides(document, ("servers", "inputs"))
    others = len(document) - 1 if whole_settings else 0
    notes = other_settings("VS Code", others)
    return HostContent(entries, inputs=_inputs(place.get("inputs")), left=left, notes=notes)


def _entry(entry: HostEntry) -> HostEntry:
    written = entry.written
    if isinstance(written, dict) and any(key.startswith("sandbox") for key in written):
        notes = (*entry.notes, "VS Code runs it in a sandbox; here it runs with your rights")
        return HostEntry(entry.name, written, notes=notes, unmet=entry.unmet)
    return entry


VS_CODE = Host(
    name="vs-code",
    title="VS Code",
    places=(
        "./.vscode/mcp.json",
        "~/.config/Code/User/mcp.json",
        "~/Library/Application Support/Code/User/mcp.json",
        "APPDATA/Code/User/mcp.json",
        "~/.config/Code/User/settings.json",
        "~/Library/Application Support/Code/User/settings.json",
        "APPDATA/Code/User/settings.json",
        "./.vscode/settings.json",
    ),
    looks_like=_is_vs_code,
    read=_read,
)
