"""How much work a schema is at most for one place of a value, counted before anything is checked."""

from __future__ import annotations

from typing import Any

_BRANCHES = frozenset(
    {
        "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies",
        "contains", "patternProperties", "propertyNames", "unevaluatedProperties", "unevaluatedItems",
        "extends",
    }
)  # fmt: skip
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_BY_NAME = frozenset(("properties", "patternProperties", "dependentSchemas", "dependencies"))
"""Keywords whose values are schemas by names: a name there is no keyword."""
_DEFINITIONS = ("$defs", "definitions")
WITHOUT_BOUND = 1 << 60


def schema_weight(schema: Any) -> int:
    """Return the number of parts of a schema with every reference unfolded, `WITHOUT_BOUND` at most.

    A schema that refers to itself has no bound if anything in it can try one place of a value twice; else
    it is as heavy as it is long, since each place of a value is tried once. One whose references cannot be
    followed here with certainty has none either.
    """
    return _Weight(schema).total


class _Weight:
    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._known: dict[tuple[int, bool], int] = {}
        self._open: set[tuple[int, bool]] = set()
        self._recursive = False
        self._branches = False
        try:
            total = self._of(schema)
        except RecursionError:  # a long chain of references
            total = WITHOUT_BOUND
        if (self._recursive and self._branches) or _has_base_below(schema):
            total = WITHOUT_BOUND
        self.total = min(total, WITHOUT_BOUND)

    def _of(self, node: Any, by_name: bool = False) -> int:
        """Return the weight of a part of the schema. `by_name`: it holds schemas by names."""
        if isinstance(node, list):
            return sum(map(self._of, node))
        if not isinstance(node, dict):
            return 1
        place = (id(node), by_name)
        if place in self._known:
            return self._known[place]
        if place in self._open:
            self._recursive = True
            return 1
        self._open.add(place)
        total = 1 + (sum(map(self._of, node.values())) if by_name else self._of_keywords(node))
        self._open.discard(place)
        self._known[place] = min(total, WITHOUT_BOUND)
        return self._known[place]

    def _of_keywords(self, node: dict[str, Any]) -> int:
        total = referred = beside = 0
        for key, value in node.items():
            self._branches |= key in _BRANCHES
            if key in _REFERENCES:
                referred += 1
                target = self._target(value)
                total += WITHOUT_BOUND if target is None else self._of(target)
            elif key not in _DEFINITIONS:  # they count where they are referred to
                beside += isinstance(value, dict | list)
                total += self._of(value, key in _BY_NAME)
        # What stands beside a reference looks at the same place of a value as its target does.
        self._branches |= referred > 1 or (referred == 1 and beside > 0)
        return total

    def _target(self, reference: Any) -> Any:
        """Return what a reference points at; None if that cannot be told here."""
        if not isinstance(reference, str) or "%" in reference:
            return None
        if reference != "#" and not reference.startswith("#/"):
            return None  # by a name
        node = self._root
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list):
                node = node[int(step)] if step.isdecimal() and int(step) < len(node) else None
            else:
                node = node.get(step) if isinstance(node, dict) else None
        return node


def _has_base_below(schema: Any) -> bool:
    """Whether a part below the root has an id of its own: `#` would mean that part there."""
    parts = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if part is not schema and any(isinstance(part.get(key), str) for key in ("$id", "id")):
                return True
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)
    return False
