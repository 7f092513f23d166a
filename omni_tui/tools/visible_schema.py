"""A schema as a model may read it: without characters that nobody can see.

Names of properties stay as they are: calls are made with them. What a provider does not take in a
name is mapped where a request is written. Pins are of the schema as the server sent it.
"""

from __future__ import annotations

from typing import Any

from omni_tui.security.text import strip_invisible

_NAMED = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "dependentRequired", "dependencies", "required"}
)
"""Keywords in which names of properties stand."""


_DEEPEST = 100
"""Levels of nesting beyond which nothing more is told."""


def visible_schema(schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Return a copy in which no text has anything hidden in it."""
    if depth > _DEEPEST:
        return {}
    return {strip_invisible(key)[0]: _within(key, value, depth + 1) for key, value in schema.items()}


def _within(key: str, value: Any, depth: int) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: _visible(one, depth) if isinstance(one, dict) else one for name, one in value.items()}
    return value if key in _NAMED and isinstance(value, list) else _visible(value, depth)


def _visible(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return strip_invisible(value)[0]
    if isinstance(value, dict):
        return visible_schema(value, depth)
    if isinstance(value, list):
        return [_visible(one, depth + 1) for one in value] if depth <= _DEEPEST else []
    return value
