"""What the configuration says about single tools; of the patterns that name one, the most exact counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from omni_tui.config.patterns import matches_glob, matches_tool

if TYPE_CHECKING:
    from omni_tui.config.sections import LimitSection, ToolsSection


def _exactness(pattern: str) -> tuple[int, str]:
    """Order patterns by how many characters of the name they spell out."""
    return len(pattern) - pattern.count("*") - pattern.count("?"), pattern


class ToolRules:
    """`[tools]` of the configuration, asked about one tool at a time."""

    def __init__(self, section: ToolsSection) -> None:
        self.section = section

    def _best(self, patterns: Iterable[str], server: str, tool: str) -> str | None:
        return max(
            (each for each in patterns if matches_tool(each, server, tool)), key=_exactness, default=None
        )

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
        return any(matches_tool(each, server, tool) for each in self.section.cacheable)

    def route(self, tool: str) -> tuple[str, list[str]] | None:
        """Return the pattern and the servers that answer for tools of this name, None if none is set."""
        best = max(
            (each for each in self.section.routes if matches_glob(each, tool)), key=_exactness, default=None
        )
        return (best, self.section.routes[best]) if best is not None else None
