"""Which server answers for a tool that several have (`[tools.routes]`): the first there, then the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from omni_tui.tools.catalogue import Tool
from omni_tui.tools.rules import ToolRules
from omni_tui.tools.tool_names import ToolKey


class ToolRoutes:
    """The routes over the tools that are listed now. `tool` looks one up."""

    def __init__(self, rules: ToolRules, tool: Callable[[str, str], Tool | None]) -> None:
        self._rules = rules
        self._tool = tool
        self._known: dict[str, ToolKey] = {}

    def offered(self, tools: Iterable[Tool]) -> list[Tool]:
        """Return what a model is offered: of a tool with a route, that of the first server that has it."""
        kept = []
        for tool in tools:
            route = self._servers(tool.name)
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
        route = self._servers(tool)
        if server not in route:
            return None
        behind = route[route.index(server) + 1 :]
        return next((found for name in behind if (found := self._tool(name, tool)) is not None), None)

    def _servers(self, tool: str) -> list[str]:
        route = self._rules.route(tool)
        return route[1] if route is not None else []
