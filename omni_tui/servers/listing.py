"""What is taken of a server's listings before anything looks at them: the well-formed, in bounds."""

from __future__ import annotations

from typing import Any

MAX_TOOLS = 500
MAX_ENTRIES = 1000
_MAX_VALUES = 20_000
_MAX_PAGE_VALUES = 200_000
_MAX_DEPTH = 64


def trim(result: dict[str, Any], kind: str) -> int:
    """Cut one page of a listing to size, in place; return how many entries were dropped.

    `kind` is the name of the list in it. Entries that are no objects, have no name, are nested
    deeper than 64 levels or hold more than 20,000 values are dropped (a tool also without an input
    schema); one bad entry must not cost the others. So is what exceeds the number of entries (500
    tools, 1,000 others) or 200,000 values in one page.
    """
    entries = result.get(kind)
    if not isinstance(entries, list):
        return 0
    limit = MAX_TOOLS if kind == "tools" else MAX_ENTRIES
    budget = _MAX_PAGE_VALUES
    kept: list[Any] = []
    for entry in entries[:limit]:
        if not _well_formed(entry, kind):
            continue
        size = _values(entry, min(budget, _MAX_VALUES))
        if size:
            budget -= size
            kept.append(entry)
    result[kind] = kept
    return len(entries) - len(kept)


def _well_formed(entry: Any, kind: str) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return False
    if kind == "tools":
        return isinstance(entry.get("inputSchema"), dict)
    if kind == "prompts":
        given = entry.get("arguments") or []
        return isinstance(given, list) and all(isinstance(one, dict) and "name" in one for one in given)
    return isinstance(entry.get("uri" if kind == "resources" else "uriTemplate"), str)


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
