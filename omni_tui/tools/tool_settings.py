"""The settings of single tools (`[tools]` of the configuration), and which server answers for a tool.

Of several patterns that name a tool, the most exact one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omni_tui.config.patterns import matches_tool
from omni_tui.policy.glob import matches_glob
from omni_tui.tools.catalogue import Tool
from omni_tui.tools.tool_names import ToolKey

if TYPE_CHECKING:
    from omni_tui.config.sections import ToolsSection


def _exactness(pattern: str) -> tuple[int, str]:
    """Order patterns by how many characters of the name they spell out."""
    return len(pattern) - pattern.count("*") - pattern.count("?"), pattern


def _best(patterns: Iterable[str]) -> str | None:
    return max(patterns, key=_exactness, default=None)


@dataclass(frozen=True, slots=True)
class ToolTerms:
    """What the configuration says about one tool; None where it says nothing.

    `limit`: the pattern whose limits count. `concurrency`: calls at once of the tools that it names.
    `timeout`: seconds without an answer. `retries`: how often a call may be repeated.
    """

    limit: str | None = None
    concurrency: int | None = None
    timeout: float | None = None
    retries: int | None = None
    cacheable: bool = False


class ToolSettings:
    """`[tools]` of the configuration, asked about one tool at a time."""

    def __init__(self, section: ToolsSection) -> None:
        self.section = section
        self._terms: dict[ToolKey, ToolTerms] = {}
        self._routes: dict[str, list[str]] = {}

    def of(self, server: str, tool: str) -> ToolTerms:
        """Return what the configuration says about a tool."""
        key = (server, tool)
        if key not in self._terms:
            self._terms[key] = self._read(server, tool)
        return self._terms[key]

    def _read(self, server: str, tool: str) -> ToolTerms:
        section = self.section
        limit = _best(each for each in section.limits if matches_tool(each, server, tool))
        retry = _best(each for each in section.retry if matches_tool(each, server, tool))
        limits = section.limits[limit] if limit is not None else None
        return ToolTerms(
            limit,
            concurrency=limits.concurrency if limits is not None else None,
            timeout=limits.timeout if limits is not None else None,
            retries=section.retry[retry] if retry is not None else None,
            cacheable=any(matches_tool(each, server, tool) for each in section.cacheable),
        )

    def route(self, tool: str) -> list[str]:
        """Return the servers that answer for tools of this name, in order; none if no route is set."""
        if tool not in self._routes:
            best = _best(each for each in self.section.routes if matches_glob(each, tool))
            self._routes[tool] = self.section.routes[best] if best is not None else []
        return self._routes[tool]


class ToolRoutes:
    """Which server answers for a tool that several have (`[tools.routes]`): the first there, then the next.

    `tool` looks up a tool that is listed now.
    """

    def __init__(self, settings: ToolSettings, tool: Callable[[str, str], Tool | None]) -> None:
        self._settings = settings
        self._tool = tool
        self._known: dict[str, ToolKey] = {}

    def offered(self, tools: Iterable[Tool]) -> list[Tool]:
        """Return what a model is offered: of a tool with a route, that of the first server that has it."""
        kept = []
        for tool in tools:
            route = self._settings.route(tool.name)
            if tool.server in route:
                first = next(server for server in route if self._tool(server, tool.name) is not None)
                if tool.server != first:
                    continue
                self._known[tool.model_name] = (tool.server, tool.name)
            kept.append(tool)
        return kept

    def known(self, model_name: str) -> ToolKey | None:
        """Return the server and tool of a name that was offered under a route, though it may be gone."""
        return self._known.get(model_name)

    def after(self, server: str, tool: str) -> Tool | None:
        """Return the tool that stands in for one that could not be called, None if there is none."""
        route = self._settings.route(tool)
        if server not in route:
            return None
        behind = route[route.index(server) + 1 :]
        return next((found for name in behind if (found := self._tool(name, tool)) is not None), None)
