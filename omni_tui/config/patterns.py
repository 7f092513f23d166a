"""Match the patterns of the configuration: `SERVER/TOOL`, each half a case-sensitive name or glob."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(1024)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern), re.DOTALL
    )


def matches_glob(pattern: str, name: str) -> bool:
    """Whether a name matches a glob of `*` and `?`."""
    return _glob(pattern).fullmatch(name) is not None


def matches_tool(pattern: str, server: str, tool: str) -> bool:
    """Whether a pattern `server/tool` matches a tool. Each half is matched separately."""
    of_server, _, of_tool = pattern.partition("/")
    return matches_glob(of_server, server) and matches_glob(of_tool, tool)
