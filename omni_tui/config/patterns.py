"""Match the patterns of the configuration: `SERVER/TOOL`, each half a case-sensitive name or glob."""

from __future__ import annotations

from omni_tui.policy.glob import matches_glob


def matches_tool(pattern: str, server: str, tool: str) -> bool:
    """Whether a pattern `server/tool` matches a tool. Each half is matched separately."""
    of_server, _, of_tool = pattern.partition("/")
    return matches_glob(of_server, server) and matches_glob(of_tool, tool)
