"""What the configuration says about single tools; of the patterns that name one, the most exact counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omni_tui.config.tools import LimitSection, ToolsSection


@lru_cache(1024)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern), re.DOTALL
    )


def fits(pattern: str, name: str) -> bool:
    """Whether a name is one of those that a glob of `*` and `?` stands for."""
    return _glob(pattern).fullmatch(name) is not None


def names(pattern: str, server: str, tool: str) -> bool:
    """Whether a pattern `server/tool` names a tool. The halves are matched apart; nothing is joined."""
    of_server, _, of_tool = pattern.partition("/")
    return fits(of_server, server) and fits(of_tool, tool)


def _exactness(pattern: str) -> tuple[int, str]:
    """Order patterns by how many characters of the name they spell out."""
    return len(pattern) - pattern.count("*") - pattern.count("?"), pattern


class ToolRules:
    """`[tools]` of the configuration, asked about one tool at a time."""

    def __init__(self, section: ToolsSection) -> None:
        self.section = section

    def _best(self, patterns: Iterable[str], server: str, tool: str) -> str | None:
        return max((each for each in patterns if names(each, server, tool)), key=_exactness, default=None)

    def limit(self, server: str, tool: str) -> tuple[str, LimitSection] | None:
        """Return the pattern whose limits count for a tool, with them; None if no pattern names it."""
        best = self._best(self.section.limits, server, tool)
        return (best, self.section.limits[best]) if best is not None else None

    def timeout(self, server: str, tool: str) -> float | None:
        """Return the seconds that a tool may be silent, None where its server's time counts."""
        found = self.limit(server, tool)
        return found[1].timeout if found else None

    def retries(self, server: str, tool: str) -> int | None:
        """Return how often the person lets a call of a tool be repeated, None where nothing is said."""
        best = self._best(self.section.retry, server, tool)
        return self.section.retry[best] if best is not None else None

    def cacheable(self, server: str, tool: str) -> bool:
        """Whether the person says that a tool's results may be kept."""
        return any(names(each, server, tool) for each in self.section.cacheable)

    def route(self, tool: str) -> tuple[str, list[str]] | None:
        """Return the pattern and the servers that answer for tools of this name, None if none is set."""
        best = max((each for each in self.section.routes if fits(each, tool)), key=_exactness, default=None)
        return (best, self.section.routes[best]) if best is not None else None
