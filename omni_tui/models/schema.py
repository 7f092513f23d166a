"""Tool schemas as providers take them: one object, no references, bounded in size.

The schema a person sees and arguments are checked against is the server's own; this is only what a
model is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

_MAX_NODES = 4_000
_MAX_DEPTH = 24
_DROPPED = frozenset({"$schema", "$id", "$defs", "definitions", "$comment", "$anchor", "$dynamicAnchor"})
_CHOICES = ("anyOf", "oneOf", "allOf")


def for_provider(schema: Mapping[str, Any]) -> Schema:
    """Return `schema` with local references written out and an object at the top.

    A reference that leads back to itself, leaves the document or leads nowhere becomes `{}`, which
    allows anything; so does what lies beyond 4,000 nodes or 24 levels. Alternatives at the top are
    merged: their properties together, required only what all of them require.
    """
    inlined = _Inliner(schema).run()
    top = _merged(inlined)
    properties = top.get("properties")
    top["type"] = "object"
    top["properties"] = properties if isinstance(properties, dict) else {}
    required = top.get("required")
    if isinstance(required, list):
        top["required"] = [key for key in required if isinstance(key, str) and key in top["properties"]]
        if not top["required"]:
            del top["required"]
    return top


class _Inliner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MAX_NODES

    def run(self) -> Schema:
        value = self._copy(self._root, (), 0)
        return value if isinstance(value, dict) else {}

    def _copy(self, node: Any, seen: tuple[str, ...], depth: int) -> Any:
        if not isinstance(node, Mapping | list):
            return node
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            return {} if isinstance(node, Mapping) else []
        if isinstance(node, list):
            return [self._copy(item, seen, depth + 1) for item in node]
        reference = node.get("$ref")
        if isinstance(reference, str):
            return self._followed(node, reference, seen, depth)
        return {
            str(key): self._copy(value, seen, depth + 1)
            for key, value in node.items()
            if key not in _DROPPED
        }

    def _followed(
        self, node: Mapping[str, Any], reference: str, seen: tuple[str, ...], depth: int
    ) -> Schema:
        """Write a reference out; what stands beside it wins (JSON Schema 2020-12, section 8.2.3.1)."""
        beside = {key: value for key, value in node.items() if key != "$ref"}
        target = None if reference in seen else self._target(reference)
        copied = self._copy(target, (*seen, reference), depth + 1) if isinstance(target, Mapping) else {}
        merged: Schema = {**copied, **self._copy(beside, seen, depth + 1)}
        return merged

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        node: Any = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping) or key not in node:
                return None
            node = node[key]
        return node


def _merged(schema: Schema) -> Schema:
    """Merge alternatives at the top into one object; OpenAI and Anthropic take none there."""
    top = {
        key: value for key, value in schema.items() if key not in (*_CHOICES, "not", "if", "then", "else")
    }
    properties: Schema = dict(top["properties"]) if isinstance(top.get("properties"), dict) else {}
    required = _required(top)
    for word in _CHOICES:
        listed = schema.get(word)
        branches = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        needs = [_required(branch) for branch in branches]
        for branch in branches:
            if isinstance(branch.get("properties"), dict):
                properties = {**branch["properties"], **properties}
        if needs:
            required |= set.union(*needs) if word == "allOf" else set.intersection(*needs)
    if properties or required:
        top["properties"] = properties
        top["required"] = [key for key in properties if key in required]
    return top


def _required(schema: Schema) -> set[str]:
    listed = schema.get("required")
    return {key for key in listed if isinstance(key, str)} if isinstance(listed, list) else set()
