"""A server's lists, page by page and entry by entry: what is taken, and what stays out with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from omni_tui.security.text import safe_line
from omni_tui.servers.list_entries import UnusableEntry, entry_name

T = TypeVar("T")

MAX_TOOLS = 500
MAX_ENTRIES = 1000
MAX_PAGES = 100
_MAX_VALUES = 20_000
_MAX_PAGE_VALUES = 200_000
_MAX_DEPTH = 64
_NAMED = 3
"""How many of the entries that stay out are named on a server's row; its log names all of them."""

LIST_KEYS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""The name of the list in the answer to each method."""
ENTRY_NAMES = {
    "tools": "tool",
    "prompts": "prompt",
    "resources": "resource",
    "resourceTemplates": "template",
}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry of a list that is not used, and why: safe to show."""

    kind: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.reason}" if self.name else f"a {self.kind}: {self.reason}"


@dataclass(slots=True)
class ListPage:
    """One page of a list, as the tap took it off the wire.

    `odd` says why it cannot be read, or why there is no way on from it; `over` counts the entries that
    are more than are taken.
    """

    kind: str
    entries: list[Any] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    cursor: str | None = None
    odd: str = ""
    over: int = 0
    arrived: bool = False

    def take(self, result: dict[str, Any]) -> dict[str, Any]:
        """Read an answer into this page; return what the SDK is given in its place.

        Entries nested deeper than 64 levels or of more than 20,000 values stay out, and so does what
        exceeds 200,000 values in one page. The SDK gets of a tool only what it needs: which
        arguments are repeated in HTTP headers.
        """
        self.arrived = True
        following = result.get("nextCursor")
        self.cursor = following if isinstance(following, str) else None
        if following is not None and self.cursor is None:
            self.odd = "the cursor of its next page is not a text"
        listed = result.get(self.kind)
        if listed is not None and not isinstance(listed, list):
            self.odd = f"its answer has something else than a list under {self.kind}"
        elif listed is None and self.kind not in result:
            self.odd = f"its answer has no list under {self.kind}"
        self._bound(listed if isinstance(listed, list) else [])
        stand_in: dict[str, Any] = {
            self.kind: [_for_sdk(entry) for entry in self.entries if _is_tool(entry)]
            if self.kind == "tools"
            else [],
            "resultType": "complete",
            "ttlMs": 0,
            "cacheScope": "private",
        }
        return stand_in if self.cursor is None else {**stand_in, "nextCursor": self.cursor}

    def _bound(self, listed: list[Any]) -> None:
        limit = MAX_TOOLS if self.kind == "tools" else MAX_ENTRIES
        budget = _MAX_PAGE_VALUES
        for entry in listed[:limit]:
            size = _values(entry, min(budget, _MAX_VALUES))
            if size:
                budget -= size
                self.entries.append(entry)
            else:
                self.leave_out(entry, "it is too large, or nested too deeply")
        self.over = max(0, len(listed) - limit)

    def leave_out(self, entry: Any, reason: str) -> None:
        """Note that an entry is not used."""
        name = safe_line(entry_name(entry), limit=80)
        self.left_out.append(LeftOut(ENTRY_NAMES[self.kind], name, safe_line(reason, limit=200)))

    def read(self, one: Callable[[Any], T]) -> list[T]:
        """Return what `one` makes of each entry; those that are `UnusableEntry` stay out."""
        found: list[T] = []
        for entry in self.entries:
            try:
                found.append(one(entry))
            except UnusableEntry as error:
                self.leave_out(entry, str(error))
        return found


def describe_left_out(left_out: list[LeftOut]) -> str:
    """Say on one line what of a server's lists is not used, "" if nothing."""
    if not left_out:
        return ""
    named = "; ".join(str(each) for each in left_out[:_NAMED])
    more = len(left_out) - _NAMED
    return f"not used: {named}" + (f"; and {more} more, see its log" if more > 0 else "")


def _is_tool(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _for_sdk(entry: dict[str, Any]) -> dict[str, Any]:
    schema = entry.get("inputSchema")
    given = schema if isinstance(schema, dict) else {}
    odd = ("$schema", "required", "properties", "type")
    kept = {key: value for key, value in given.items() if key not in odd}
    properties = given.get("properties")
    if isinstance(properties, dict):
        kept["properties"] = {name: each for name, each in properties.items() if isinstance(each, dict)}
    return {"name": entry["name"], "inputSchema": {**kept, "type": "object"}}


def _values(value: Any, limit: int) -> int:
    """Return how many values `value` holds, itself included; 0 if more than `limit` or too deep."""
    count = 0
    level = [value]
    for _ in range(_MAX_DEPTH):
        count += len(level)
        if count > limit:
            return 0
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return count
        level = below
    return 0
