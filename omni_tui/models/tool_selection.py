"""Choose the tools of a request when there are too many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence

from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import Message, ToolSpec
from omni_tui.models.builtin_tool_specs import BUILTIN_TOOL_NAMES, FIND_TOOLS, FOUND
from omni_tui.models.message_history import read_json, result_text
from omni_tui.models.tool_search import BM25Index, query_of

MOST = 126
"""The most tools of servers in a request: providers accept 128, and two are built in."""

RECENT = 60
"""A tool stays in requests for this many messages after its last use."""
_SAID = 6
_SEARCHES = 3


class ToolSelector:
    """Chooses tools for one conversation."""

    def __init__(self) -> None:
        self.index = BM25Index()

    def choose(
        self,
        tools: tuple[ToolSpec, ...],
        history: Sequence[Message],
        *,
        limit: int,
        pinned: Collection[str] = (),
        room: int | None = None,
        cost: Callable[[ToolSpec], int] = lambda _tool: 0,
    ) -> tuple[ToolSpec, ...]:
        """Return the tools of a request, in their order, and `find_tools` if some are left out.

        Priority: pinned ones (model names), those that `find_tools` found last, those used lately, the best
        matches for the last messages, then list order; up to `limit` tools (more pinned ones, up to
        `MOST`). With `room`, they cost at most that many tokens by `cost`. The text of results has no
        influence.
        """
        limit = max(1, min(limit, MOST))
        if len(tools) <= limit and (room is None or sum(map(cost, tools)) <= room):
            return tools
        self.index.update(tools)
        by_name = {tool.name: tool for tool in tools}
        pins = [name for name in pinned if name in by_name][:MOST]
        order = dict.fromkeys(pins)
        order.update(dict.fromkeys(name for name in found_names(history) if name in by_name))
        # Found tools are included, however many are pinned.
        limit = max(limit, min(MOST, len(pins) + min(FOUND, len(order) - len(pins))))
        order.update(dict.fromkeys(used_names(history)))
        order.update((tool.name, None) for tool, _ in self.index.search(said(history), limit))
        order.update(dict.fromkeys(by_name))
        chosen: set[str] = set()
        left = room
        for name in order:
            if name not in by_name:
                continue
            if len(chosen) >= limit:
                break
            if left is not None and (left := left - cost(by_name[name])) < 0 and chosen:
                break
            chosen.add(name)
        offered = tuple(tool for tool in tools if tool.name in chosen)
        return (*offered, FIND_TOOLS) if len(offered) < len(tools) else tools

    def find(self, tools: tuple[ToolSpec, ...], query: str, limit: int) -> list[ToolSpec]:
        """Return the tools that match a query, best first."""
        self.index.update(tools)
        return [tool for tool, _ in self.index.search(query_of(query[:2_000]), limit)]


def said(history: Sequence[Message]) -> dict[str, float]:
    """Return the last messages of the person and the model as a query; later ones weigh more."""
    query: dict[str, float] = {}
    weight = 1.0
    spoken = (
        each for each in reversed(history) if each.role in ("user", "assistant") and each.text.strip()
    )
    for message in itertools.islice(spoken, _SAID):
        query = query_of(without_attachments(message.text)[:4_000], weight) | query
        weight *= 0.6
    return query


def used_names(history: Sequence[Message]) -> list[str]:
    """Return the names of recently called tools, the last one first."""
    calls = [call.name for message in history[-RECENT:] for call in message.calls]
    return [name for name in dict.fromkeys(reversed(calls)) if name not in BUILTIN_TOOL_NAMES]


def found_names(history: Sequence[Message]) -> list[str]:
    """Return the names that the last searches found, the last search first."""
    names: list[str] = []
    searches = 0
    for message in reversed(history[-RECENT:]):
        if message.role != "tool" or message.name != FIND_TOOLS.name:
            continue
        rows = read_json(result_text(message))
        if isinstance(rows, list):
            names += [str(row["name"]) for row in rows if isinstance(row, dict) and "name" in row]
            searches += 1
        if searches == _SEARCHES:
            break
    return names
