"""Claude Code: `.mcp.json` of a project, and `~/.claude.json` with `projects` and much else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni_tui.config.hosts.host import Host, HostContent, HostEntry, named_entries, other_settings, table_at
from omni_tui.config.hosts.mcp_servers import read_plain


def _is_state(document: Mapping[str, Any]) -> bool:
    projects = document.get("projects")
    return isinstance(projects, Mapping) and any(isinstance(each, Mapping) for each in projects.values())


def _read(document: Mapping[str, Any]) -> HostContent:
    if not _is_state(document):
        return read_plain(document)
    entries: list[HostEntry] = []
    if document.get("mcpServers"):
        entries += named_entries(document["mcpServers"], "mcpServers")
    notes: list[str] = []
    for folder, project in document["projects"].items():
        servers = table_at(project, "mcpServers")
        if servers is None or servers == {}:
            continue
        if not isinstance(servers, dict):
            notes.append(f"the servers of the project {folder} are no table and are not read")
            continue
        for each in named_entries(servers, "mcpServers"):
            entries.append(HostEntry(each.name, each.written, project=str(folder), unmet=each.unmet))
    others = len([key for key in document if key not in ("projects", "mcpServers")])
    notes += other_settings("Claude Code", others)
    return HostContent(tuple(entries), notes=tuple(notes))


CLAUDE_CODE = Host(
    name="claude-code",
    title="Claude Code",
    places=("~/.claude.json", "./.mcp.json"),
    looks_like=_is_state,
    read=_read,
)
