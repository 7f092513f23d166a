"""The part of a schema that can be checked: rebuilt keyword by keyword, naming what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07")
_COUNTS = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains",
    "maxContains",
)  # fmt: skip
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "divisibleBy")
_ONE = (
    "additionalProperties", "propertyNames", "contains", "unevaluatedItems", "unevaluatedProperties", "not",
    "if", "then", "else",
)  # fmt: skip
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas")
_TURNS_ROUND = ("not", "if", "then", "else", "maxContains", "unevaluatedProperties", "unevaluatedItems")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_HANDLED = frozenset(
    {
        "type", "enum", "const", "required", "pattern", "uniqueItems", "items", "additionalItems",
        "dependencies", "dependentRequired", "disallow", "extends",
        *_COUNTS, *_NUMBERS, *_ONE, *_SEVERAL, *_NAMED, *_REFERENCES,
    }
)  # fmt: skip


class CheckableSchema:
    """A schema rebuilt: `schema` can be checked, `left_out` says what of the original is not.

    `is_pattern` tells whether a pattern can be used. Schemas nested deeper than `depth` levels, and
    those beyond the first `limit`, are left out.
    """

    def __init__(self, original: Any, is_pattern: Callable[[str], bool], *, depth: int, limit: int) -> None:
        self.left_out: list[str] = []
        self._original = original
        self._is_pattern = is_pattern
        self._depth = depth
        self._room = limit
        self._places: dict[str, str] = {}
        self._defs: dict[str, Any] = {}
        self._waiting: list[tuple[str, Any, str]] = []
        self._named = dict(_anchors(original)) if isinstance(original, dict) else {}
        declared = original.get("$schema") if isinstance(original, dict) else None
        self._old = isinstance(declared, str) and any(draft in declared for draft in _OLD_DRAFTS)
        self._loose_reference = False
        self._lost = 0
        root = self._schema(original, "", 0)
        while self._waiting:
            name, target, where = self._waiting.pop()
            self._defs[name] = self._schema(target, where, 1)
        if self._lost and self._loose_reference:
            root, self._defs = _loosened(root), {name: _loosened(each) for name, each in self._defs.items()}
        self.schema: Any = {**root, "$defs": self._defs} if isinstance(root, dict) and self._defs else root

    def _leave(self, where: str, what: str) -> None:
        self._lost += 1
        note = f"{where or 'arguments'}: {what}"
        if note not in self.left_out:
            self.left_out.append(note)

    # --- one schema ------------------------------------------------------------------------------

    def _schema(self, node: Any, where: str, depth: int) -> Any:
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            self._leave(where, "this is not a schema")
            return True
        self._room -= 1
        if depth > self._depth or self._room < 0:
            self._leave(where, "what is nested deeper" if depth > self._depth else "the rest of the schema")
            return True
        before = self._lost
        built: dict[str, Any] = {}
        looser: set[str] = set()
        references = [key for key in _REFERENCES if node.get(key) is not None]
        if self._old and references:  # up to draft 7 nothing beside a reference counts
            node = {key: node[key] for key in references}
        for key in references:
            self._reference(node[key], key, where, built)
        for key, value in node.items():
            if key in _HANDLED and key not in references and (value is not None or key == "const"):
                lost = self._lost
                self._keyword(node, key, value, where, depth, built)
                if self._lost > lost:
                    looser.add(key)
        if self._lost > before:
            self._settle(node, built, looser)
        return built

    def _settle(self, node: dict[str, Any], built: dict[str, Any], looser: set[str]) -> None:
        """Take out what would refuse more because something it depends on takes more than it should."""
        gone = {"unevaluatedProperties", "unevaluatedItems"}
        if "not" in looser:
            gone.add("not")
        if "if" in looser:
            gone |= {"if", "then", "else"}
        if "contains" in looser:
            gone.add("maxContains")
        named, patterns = node.get("properties"), node.get("patternProperties")
        known = isinstance(named, dict) or not named
        matched = all(map(self._is_pattern, patterns)) if isinstance(patterns, dict) else not patterns
        if not (known and matched):
            gone.add("additionalProperties")
        if "oneOf" in looser and "oneOf" in built:
            built.setdefault("allOf", []).append({"anyOf": built.pop("oneOf")})
        for key in gone:
            built.pop(key, None)

    def _keyword(
        self, node: dict[str, Any], key: str, value: Any, where: str, depth: int, built: dict[str, Any]
    ) -> None:
        if key in _NUMBERS:
            self._number(node, key, value, where, built)
        elif key in _COUNTS:
            if _is_number(value) and value >= 0 and value == int(value):
                built[key] = int(value)
            else:
                self._leave(where, f"{key} {_short(value)}")
        elif key in _ONE:
            self._one(key, value, where, depth, built)
        elif key in _SEVERAL:
            self._several(key, value, where, depth, built)
        elif key in _NAMED:
            self._by_name(key, value, where, depth, built)
        else:
            self._other(node, key, value, where, depth, built)

    def _other(
        self, node: dict[str, Any], key: str, value: Any, where: str, depth: int, built: dict[str, Any]
    ) -> None:
        if key == "type":
            self._type(value, where, depth, built)
        elif key == "required":
            self._required(value, where, built)
        elif key == "items":
            self._items(node, value, where, depth, built)
        elif key in ("extends", "disallow"):
            self._of_draft_3(key, value, where, depth, built)
        elif key in ("dependencies", "dependentRequired") and isinstance(value, dict):
            self._dependencies(value, where, depth, built)
        elif self._can_stay(key, value):
            built[key] = value
        elif key != "additionalItems":  # which is read with `items`
            self._leave(where, f"{key} {_short(value)}")

    def _can_stay(self, key: str, value: Any) -> bool:
        match key:
            case "const":
                return True
            case "enum":
                return isinstance(value, list) and bool(value)
            case "uniqueItems":
                return isinstance(value, bool)
            case _:
                return key == "pattern" and isinstance(value, str) and self._is_pattern(value)

    def _of_draft_3(self, key: str, value: Any, where: str, depth: int, built: dict[str, Any]) -> None:
        if key == "extends":
            self._several("allOf", value if isinstance(value, list) else [value], where, depth, built)
            return
        refused: dict[str, Any] = {}
        before = self._lost
        self._type(value, where, depth, refused)
        if refused and self._lost == before:
            built.setdefault("allOf", []).append({"not": refused})

    def _reference(self, value: Any, key: str, where: str, built: dict[str, Any]) -> None:
        target = self._resolved(value) if isinstance(value, str) else None
        if target is None:
            self._leave(where, f"{key} {_short(value)}, which leads nowhere inside the schema")
            return
        if value not in self._places:
            self._places[value] = f"r{len(self._places)}"
            self._waiting.append((self._places[value], target, where))
        built["$ref"] = f"#/$defs/{self._places[value]}"

    def _resolved(self, reference: str) -> dict[str, Any] | bool | None:
        base, _, fragment = reference.partition("#")
        node: Any = self._original if not base else self._named.get(base)
        if not fragment.startswith("/"):
            node = self._named.get("#" + fragment) if fragment else node
        else:
            for step in unquote(fragment).split("/")[1:]:
                step = step.replace("~1", "/").replace("~0", "~")
                if isinstance(node, list) and step.isascii() and step.isdigit() and int(step) < len(node):
                    node = node[int(step)]
                else:
                    node = node.get(step) if isinstance(node, dict) else None
        return node if isinstance(node, dict | bool) else None

    def _type(self, value: Any, where: str, depth: int, built: dict[str, Any]) -> None:
        """Take the types that are known; `any`, of draft 3, takes everything."""
        wanted = value if isinstance(value, list) else [value]
        names = [each.strip().lower() if isinstance(each, str) else each for each in wanted]
        if "any" in names:
            return
        known = list(dict.fromkeys(each for each in names if isinstance(each, str) and each in TYPES))
        schemas = [each for each in names if isinstance(each, dict)]
        if not names or len(known) + len(schemas) < len(set(map(_short, names))):
            self._leave(where, f"type {_short(value)}")
        elif schemas:  # of draft 3
            arms: list[Any] = [{"type": known}] if known else []
            built.setdefault("allOf", []).append(
                {"anyOf": [*arms, *(self._schema(each, where, depth + 1) for each in schemas)]}
            )
        else:
            built["type"] = known[0] if len(known) == 1 else known

    def _number(
        self, node: dict[str, Any], key: str, value: Any, where: str, built: dict[str, Any]
    ) -> None:
        if isinstance(value, bool) and key.startswith("exclusive"):  # of draft 4
            bound = node.get(key.removeprefix("exclusive").lower())
            if value and _is_number(bound):
                built[key] = bound
        elif not _is_number(value) or (key in ("multipleOf", "divisibleBy") and value <= 0):
            self._leave(where, f"{key} {_short(value)}")
        else:
            built["multipleOf" if key == "divisibleBy" else key] = value

    def _required(self, value: Any, where: str, built: dict[str, Any]) -> None:
        if isinstance(value, bool):  # of draft 3, and read where the property stands
            return
        names = _texts(value)
        if not isinstance(value, list) or len(names) < len({_short(each) for each in value}):
            self._leave(where, f"required {_short(value)}")
        built["required"] = list(dict.fromkeys([*built.get("required", []), *names]))

    def _items(
        self, node: dict[str, Any], value: Any, where: str, depth: int, built: dict[str, Any]
    ) -> None:
        inside = f"{where}[]"
        if isinstance(value, dict | bool):
            built["items"] = self._schema(value, inside, depth + 1)
        elif isinstance(value, list) and value:  # up to 2019-09
            built["prefixItems"] = [self._schema(each, inside, depth + 1) for each in value]
            if isinstance(node.get("additionalItems"), dict | bool):
                built["items"] = self._schema(node["additionalItems"], inside, depth + 1)
        elif value != []:
            self._leave(where, f"items {_short(value)}")

    # --- what holds further schemas --------------------------------------------------------------

    def _one(self, key: str, value: Any, where: str, depth: int, built: dict[str, Any]) -> None:
        if not isinstance(value, dict | bool):
            self._leave(where, f"{key} {_short(value)}")
            return
        built[key] = self._schema(value, where, depth + 1)
        if key not in ("then", "else"):
            self._loose_reference |= _refers(value) or key.startswith("unevaluated")

    def _several(self, key: str, value: Any, where: str, depth: int, built: dict[str, Any]) -> None:
        if not isinstance(value, list) or not value:
            if value != []:
                self._leave(where, f"{key} {_short(value)}")
            return
        arms = [self._schema(each, where, depth + 1) for each in value]
        if key == "oneOf":
            self._loose_reference |= any(_refers(each) for each in value)
        if key == "allOf":
            built.setdefault("allOf", []).extend(arms)
        else:
            built[key] = arms

    def _by_name(self, key: str, value: Any, where: str, depth: int, built: dict[str, Any]) -> None:
        if not isinstance(value, dict):
            if value != []:
                self._leave(where, f"{key} {_short(value)}")
            return
        kept: dict[str, Any] = {}
        for name, inner in value.items():
            inside = f"{where}/{_shown(name)}"
            if key == "patternProperties" and not self._is_pattern(name):
                self._leave(where, f"the pattern {_short(name)} of {key}")
            elif key == "properties" and name == "required" and _names(inner, value):
                # A slip of some servers: the list of required names stands among the properties.
                self._required(inner, where, built)
            else:
                kept[name] = self._schema(inner, inside, depth + 1)
                if key == "properties" and isinstance(inner, dict) and inner.get("required") is True:
                    self._required([name], where, built)
        built[key] = kept

    def _dependencies(self, value: dict[str, Any], where: str, depth: int, built: dict[str, Any]) -> None:
        for name, each in value.items():
            if isinstance(each, dict | bool):
                inner = self._schema(each, where, depth + 1)
                built.setdefault("dependentSchemas", {})[name] = inner
            else:
                names = [each] if isinstance(each, str) else _texts(each)
                built.setdefault("dependentRequired", {})[name] = names


def _loosened(schema: Any) -> Any:
    """Take out what could refuse more because something it refers to takes more than it should."""
    if isinstance(schema, list):
        return [_loosened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, each in schema.items():
        if key in _TURNS_ROUND:
            continue
        if key in ("const", "enum", "required", "dependentRequired"):
            kept[key] = each
        elif key in (*_NAMED, "$defs") and isinstance(each, dict):  # its keys are names, not keywords
            kept[key] = {name: _loosened(one) for name, one in each.items()}
        else:
            kept[key] = _loosened(each)
    if isinstance(kept.get("oneOf"), list):
        kept["allOf"] = [*kept.get("allOf", []), {"anyOf": kept.pop("oneOf")}]
    return kept


def _anchors(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield what can be referred to by a name: anchors, and schemas with an id."""
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for key in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(key), str):
                    yield f"#{node[key]}", node
            for key in ("$id", "id"):
                if isinstance(node.get(key), str):
                    yield node[key].removesuffix("#"), node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _refers(node: Any) -> bool:
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if any(key in node for key in _REFERENCES):
                return True
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return False


def _names(value: Any, properties: dict[str, Any]) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each in properties for each in value)


def _texts(value: Any) -> list[str]:
    names = [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
    return list(dict.fromkeys(names))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | int | float | bool) else ""
    if not text:
        text = "null" if value is None else "{…}" if isinstance(value, dict) else "[…]"
    return text if len(text) <= 60 else text[:59] + "…"


def _shown(name: str) -> str:
    return name if len(name) <= 60 else name[:59] + "…"
