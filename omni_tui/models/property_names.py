"""Names of arguments as providers take them, and back again.

Anthropic refuses a whole request because of an argument named `uids[]` or `$filter`. Such a name is shown
to the model in letters that every provider takes; the server gets its own name again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from omni_tui.security.text import strip_invisible

TAKEN = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""Names that every provider takes as they are (Anthropic's rule, the strictest that is known)."""

_MAPS = ("properties", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf")
_ONES = ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else")
_VALUES = ("default", "const", "enum", "examples")
_DEEPEST = 100


class PropertyNames:
    """The names in one tool's schema that are shown to a model in other letters."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        names = list(dict.fromkeys(_names(schema)))
        used = {name for name in names if TAKEN.fullmatch(name)}
        self._shown: dict[str, str] = {}
        for name in names:
            if name not in used and name not in self._shown:
                self._shown[name] = _free(name, used)
                used.add(self._shown[name])
        self._real = {shown: name for name, shown in self._shown.items()}

    def __bool__(self) -> bool:
        return bool(self._shown)

    def schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema with the shown names; each says in its description what it stands for."""
        return self._schema(schema) if self._shown else dict(schema)

    def shown(self, arguments: str) -> str:
        """Return the text of arguments as the model wrote it, with the names it was shown."""
        return self._renamed(arguments, self._shown)

    def real(self, arguments: str) -> str:
        """Return the text of arguments with the server's own names."""
        return self._renamed(arguments, self._real)

    def _renamed(self, arguments: str, names: Mapping[str, str]) -> str:
        if not names:
            return arguments
        try:
            value = json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
        renamed = _with(value, names)
        return arguments if renamed == value else json.dumps(renamed, ensure_ascii=False)

    def _schema(self, node: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key == "properties":
                out[key] = {
                    self._shown.get(name, name): self._property(name, each) for name, each in value.items()
                }
            elif key == "patternProperties":
                out[key] = {name: self._any(each) for name, each in value.items()}
            elif key in _LISTS:
                out[key] = [self._any(each) for each in value]
            elif key in _ONES:
                out[key] = self._any(value)
            elif key == "required":
                out[key] = [self._shown.get(name, name) for name in value]
            else:
                out[key] = _with(value, self._shown) if key in _VALUES else value
        return out

    def _any(self, node: Any) -> Any:
        return self._schema(node) if isinstance(node, Mapping) else node

    def _property(self, name: str, node: Any) -> Any:
        schema = self._any(node)
        if name not in self._shown or not isinstance(schema, dict):
            return schema
        words = f"(the server calls it {json.dumps(strip_invisible(name[:200])[0], ensure_ascii=False)})"
        return {**schema, "description": f"{schema.get('description', '')} {words}".strip()}


def _names(node: object) -> Iterator[str]:
    """Yield the names of all properties of a schema that was written anew by `models.schema`."""
    if not isinstance(node, Mapping):
        return
    for key in _MAPS:
        found = node.get(key)
        if isinstance(found, Mapping):
            if key == "properties":
                yield from found
            for value in found.values():
                yield from _names(value)
    for key in _LISTS:
        for value in node.get(key, ()):
            yield from _names(value)
    for key in _ONES:
        yield from _names(node.get(key))


def _free(name: str, used: set[str]) -> str:
    """Return a name of plain letters for `name` that is not used yet, the same one every time."""
    stem = re.sub(r"[^a-zA-Z0-9_]+", "_", name).strip("_")[:48] or "argument"
    # With a mark that no server uses by chance, so that the way back is sure.
    shown = f"{stem}_{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:4]}"
    while shown in used:
        shown += "_"
    return shown


def _with(value: Any, names: Mapping[str, str], depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return {names.get(key, key): _with(each, names, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_with(each, names, depth + 1) for each in value]
    return value
