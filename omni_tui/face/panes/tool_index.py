"""All tools of all servers, and the search in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from operator import itemgetter
from typing import Literal

import msgspec

from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ServerChanged, ServerRemoved, ToolsListed, ToolSummary
from omni_tui.protocol.rules import ToolRulesRead

SHOWN = 300
"""Matches that are shown."""


@dataclass(frozen=True, slots=True)
class ToolMatches:
    """The best matches of a search, and the number of further ones."""

    tools: tuple[ToolSummary, ...]
    more: int


@dataclass(eq=False)
class _Listing:
    generation: int
    tools: list[ToolSummary] = field(default_factory=list)


class ToolIndex:
    """A fold over server and tool events. `changed` holds the servers that must be redrawn."""

    def __init__(self) -> None:
        self.servers: dict[str, ServerChanged] = {}
        self.changed: set[str] = set()
        self._tools: dict[str, list[ToolSummary]] = {}
        self._coming: dict[str, _Listing] = {}
        self._rules: dict[tuple[str, str], Literal["ask", "deny"]] = {}
        self._hay: dict[str, list[tuple[str, str]]] = {}

    @property
    def names(self) -> list[str]:
        """Servers in the order of their first events."""
        return list(dict.fromkeys((*self.servers, *self._tools)))

    def __contains__(self, server: str) -> bool:
        return server in self.servers or server in self._tools

    @property
    def count(self) -> int:
        """The number of tools."""
        return sum(len(tools) for tools in self._tools.values())

    def tools(self, server: str) -> list[ToolSummary]:
        """Return a server's tools in its order."""
        return self._tools.get(server, [])

    def apply(self, event: AnyEvent) -> bool:
        """Take an event into account; return whether it changed what is drawn."""
        if isinstance(event, ServerChanged):
            known = self.servers.get(event.name)
            self.servers[event.name] = event
            if known is not None and known.state == event.state and known.label == event.label:
                return False
            self.changed.add(event.name)
        elif isinstance(event, ServerRemoved):
            for table in (self.servers, self._tools, self._coming, self._hay):
                table.pop(event.name, None)
            self.changed.add(event.name)
        elif isinstance(event, ToolsListed):
            return self._page(event)
        elif isinstance(event, ToolRulesRead):
            return self._ruled(event)
        else:
            return False
        return True

    def _page(self, event: ToolsListed) -> bool:
        coming = self._coming.get(event.server)
        if coming is None or event.generation > coming.generation:
            coming = self._coming[event.server] = _Listing(event.generation)
        elif event.generation < coming.generation:
            return False
        coming.tools += event.tools
        if not event.last:
            return False
        del self._coming[event.server]
        self._tools[event.server] = [self._with_rule(tool) for tool in coming.tools]
        self._hay[event.server] = [
            (tool.label.lower(), f"{tool.title} {tool.description}".lower()) for tool in coming.tools
        ]
        self.changed.add(event.server)
        return True

    def _ruled(self, event: ToolRulesRead) -> bool:
        """Take the rules about tools into account; only rows that change are drawn again."""
        self._rules = {(each.server, each.tool): each.decision for each in event.tools}
        for server, tools in self._tools.items():
            ruled = [self._with_rule(tool) for tool in tools]
            if ruled != tools:
                self._tools[server] = ruled
                self.changed.add(server)
        return bool(self.changed)

    def _with_rule(self, tool: ToolSummary) -> ToolSummary:
        rule = self._rules.get((tool.server, tool.name), "")
        return tool if tool.rule == rule else msgspec.structs.replace(tool, rule=rule)

    def engine_stopped(self) -> None:
        """Forget listings that were cut off; the next engine counts from one again."""
        self._coming.clear()

    def find(self, query: str, limit: int = SHOWN) -> ToolMatches:
        """Return the tools in which every word of the query stands, best first.

        A word in the name is worth more than one in the description, at a word's beginning more than
        inside it; the server's name may be one of the words.
        """
        words = query.lower().split()
        scored = list(self._scores(words))
        best = tuple(tool for _, tool in nsmallest(limit, scored, key=itemgetter(0)))
        return ToolMatches(best, len(scored) - len(best))

    def _scores(self, words: list[str]) -> Iterator[tuple[int, ToolSummary]]:
        starts = [re.compile(r"(?:^|[^a-z0-9])" + re.escape(word)).search for word in words]
        for server, hay in self._hay.items():
            left = [n for n, word in enumerate(words) if word not in server.lower()]
            for (name, about), tool in zip(hay, self._tools[server], strict=True):
                score = 0
                for n in left:
                    word = words[n]
                    if word in name:
                        score += 0 if name.startswith(word) else 1 if starts[n](name) else 2
                    elif word in about:
                        score += 10
                    else:
                        break
                else:
                    yield score * 1000 + min(len(name), 999), tool
