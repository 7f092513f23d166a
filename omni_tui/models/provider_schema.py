"""Tool schemas that providers accept: current JSON Schema, one object, limited in size.

This is only for models; people see the server's own schema, and arguments are checked against it. Servers
write schemas of every draft and of none, and one refused schema would end every request with it. Therefore
only known keywords with valid values are kept, old spellings are converted, and what a provider cannot
express goes into the description.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote

from omni_tui.security.schema_checker import is_pattern

Schema = dict[str, Any]
Family = Literal["plain", "gemini", "local"]
"""For any provider of JSON Schema; for Gemini, which supports a part of it; for a local server, whose
templates and grammars need a type everywhere."""

_MAX_NODES = 4_000
_MAX_DEPTH = 12
_MAX_ENUM = 500
_MAX_WORDS = 4_000
_MAX_PATTERN = 1_000
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_OTHER_TYPES = {
    "str": "string", "text": "string", "int": "integer", "long": "integer", "float": "number",
    "double": "number", "decimal": "number", "bool": "boolean", "dict": "object", "map": "object",
    "list": "array", "tuple": "array", "none": "null",
}  # fmt: skip
_CHOICES = ("anyOf", "oneOf", "allOf")
_NOT_AT_THE_TOP = frozenset({*_CHOICES, "not", "if", "then", "else", "enum", "const", "type"})
_WORDS = frozenset({"title", "description", "format", "contentEncoding", "contentMediaType"})
_FLAGS = frozenset({"uniqueItems", "deprecated", "readOnly", "writeOnly"})
_COUNTS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains",
     "maxContains"}
)  # fmt: skip
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_SCHEMAS = ("contains", "propertyNames", "not", "if", "then", "else")
_LOOKS = re.compile(r"\(\?[=!<]|\\[1-9]|\\[pPbBuU]")
"""Features that regex engines without backtracking lack."""


def for_provider(schema: Mapping[str, Any], family: Family = "plain") -> Schema:
    """Return `schema` with local references resolved and an object at the top.

    A recursive, external or dangling reference becomes `{}`, which allows anything; so does everything
    beyond 4,000 nodes or 12 levels. Alternatives at the top are merged: all their properties with all
    values, and required is only what all of them require.
    """
    return _merged(_Normaliser(schema, family).schema(schema, (), 0))


def bare(schema: Schema) -> Schema:
    """Return a schema of `for_provider` in its simplest form: names, types and descriptions."""
    properties: Schema = {}
    for key, value in schema["properties"].items():
        kinds = [kind for kind in _types(value) or _shown_types(value) if kind != "null"] or ["string"]
        properties[key] = {"type": kinds[0]}
        if kinds[0] == "array":
            properties[key]["items"] = {"type": "string"}
        if "description" in value:
            properties[key]["description"] = value["description"]
    out: Schema = {"type": "object", "properties": properties}
    if "required" in schema:
        out["required"] = schema["required"]
    return out


class _Normaliser:
    """Rewrites one schema. A property's name is never taken for a keyword."""

    def __init__(self, root: Mapping[str, Any], family: Family) -> None:
        self._root = root
        self._family = family
        self._left = _MAX_NODES

    def schema(self, node: object, seen: tuple[str, ...], depth: int) -> Schema:
        """Return one schema, `depth` levels down, behind the references `seen`."""
        if node is False:
            return {"not": {}}
        self._left -= 1
        if not isinstance(node, Mapping) or self._left < 0 or depth > _MAX_DEPTH:
            return {}
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return self._one(node, seen, depth)
        # Keywords beside a reference count too (JSON Schema 2020-12, section 8.2.3.1).
        beside = {key: value for key, value in node.items() if key != "$ref"}
        target = None if reference in seen else self._target(reference)
        followed = self.schema(target, (*seen, reference), depth + 1) if target is not None else {}
        return {**followed, **self._one(beside, seen, depth)} if beside else followed

    def _target(self, reference: str) -> object:
        if not reference.startswith("#"):
            return None
        node: object = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and key in node:
                node = node[key]
            elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
                node = node[int(key)]
            else:
                return None
        return node

    # --- one schema -----------------------------------------------------------------------------

    def _one(self, node: Mapping[str, Any], seen: tuple[str, ...], depth: int) -> Schema:
        out: Schema = _plain_words(node)
        notes: list[str] = []
        self._bounds(node, out)
        self._type(node, out, seen, depth)
        self._values(node, out, notes)
        self._pattern(node, out, notes)
        self._object(node, out, seen, depth)
        self._array(node, out, seen, depth)
        for key in _CHOICES:
            listed = node.get(key)
            branches = [each for each in listed if each is not True] if isinstance(listed, list) else []
            if branches:
                # A draft-3 union of types may have left some there.
                out[key] = out.get(key, []) + [self.schema(each, seen, depth + 1) for each in branches]
        for key in _SCHEMAS:
            if isinstance(node.get(key), Mapping | bool):
                out[key] = self.schema(node[key], seen, depth + 1)
        return self._fitted(out, notes)

    @staticmethod
    def _bounds(node: Mapping[str, Any], out: Schema) -> None:
        for key in _BOUNDS:
            if _is_number(node.get(key)):
                out[key] = node[key]
        # Draft 4 wrote `exclusiveMinimum: true` beside `minimum`.
        for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if node.get(flag) is True and bound in out:
                out[flag] = out.pop(bound)
        step = node.get("multipleOf", node.get("divisibleBy"))
        if _is_number(step) and step > 0:
            out["multipleOf"] = step

    def _type(self, node: Mapping[str, Any], out: Schema, seen: tuple[str, ...], depth: int) -> None:
        said = node.get("type")
        listed = said if isinstance(said, list) else [said]
        types = list(dict.fromkeys(found for each in listed if (found := _type_of(each))))
        shapes = [each for each in listed if isinstance(each, Mapping)]
        anything = any(isinstance(each, str) and each.lower() == "any" for each in listed)
        if node.get("nullable") is True and types and "null" not in types:
            types.append("null")
        if shapes and not anything:
            # Draft 3: a union of types may hold whole schemas.
            branches = [self.schema(each, seen, depth + 1) for each in shapes]
            out["anyOf"] = [*branches, *({"type": each} for each in types)]
        elif types and not anything:
            _set_types(out, types)

    def _values(self, node: Mapping[str, Any], out: Schema, notes: list[str]) -> None:
        if "const" in node:
            out["const"] = node["const"]
        listed = node.get("enum")
        if not isinstance(listed, list) or not listed:
            return
        values = _unique(listed)
        if len(values) > _MAX_ENUM:
            notes.append(f"One of {len(values)} values, for example {_words(values[:20])}.")
        else:
            out["enum"] = values

    def _pattern(self, node: Mapping[str, Any], out: Schema, notes: list[str]) -> None:
        pattern = node.get("pattern")
        if not isinstance(pattern, str):
            return
        whole = self._family != "local" or (pattern.startswith("^") and pattern.endswith("$"))
        simple = self._family == "plain" or (whole and not _LOOKS.search(pattern))
        if simple and _is_regex(pattern):
            out["pattern"] = pattern
        else:
            notes.append(f"Must match {pattern[:_MAX_PATTERN]}")

    def _object(self, node: Mapping[str, Any], out: Schema, seen: tuple[str, ...], depth: int) -> None:
        listed = node.get("required")
        required = [key for key in listed if isinstance(key, str)] if isinstance(listed, list) else []
        given = node.get("properties")
        if isinstance(given, Mapping):
            out["properties"] = {
                str(key): self.schema(value, seen, depth + 1)
                for key, value in given.items()
                if value is not False
            }
            # Draft 3 wrote `required: true` into the property.
            required += [
                str(key)
                for key, value in given.items()
                if isinstance(value, Mapping) and value.get("required") is True
            ]
            required = [key for key in required if key in out["properties"]]
        if required:
            out["required"] = list(dict.fromkeys(required))
        others = node.get("additionalProperties")
        if isinstance(others, bool):
            out["additionalProperties"] = others
        elif isinstance(others, Mapping):
            out["additionalProperties"] = self.schema(others, seen, depth + 1)
        patterns = node.get("patternProperties")
        if isinstance(patterns, Mapping) and self._family == "plain":
            named = {
                str(key): self.schema(value, seen, depth + 1)
                for key, value in patterns.items()
                if _is_regex(str(key))
            }
            if named:
                out["patternProperties"] = named

    def _array(self, node: Mapping[str, Any], out: Schema, seen: tuple[str, ...], depth: int) -> None:
        items = node.get("items")
        places = [each for each in (node.get("prefixItems"), items) if isinstance(each, list)]
        if places:
            shapes = [self.schema(each, seen, depth + 1) for place in places for each in place]
            if isinstance(items, Mapping):
                shapes.append(self.schema(items, seen, depth + 1))
            out["items"] = {} if {} in shapes or not shapes else _any_of(shapes)
        elif isinstance(items, Mapping):
            out["items"] = self.schema(items, seen, depth + 1)
        elif "array" in _types(out):
            out["items"] = {}

    # --- what one family takes ------------------------------------------------------------------

    def _fitted(self, out: Schema, notes: list[str]) -> Schema:
        single = out.get("allOf")
        if isinstance(single, list) and (len(single) == 1 or self._family == "gemini"):
            del out["allOf"]
            for branch in single:
                out = _both(branch, out)
        if self._family == "gemini":
            out = _for_gemini(out, notes)
        elif self._family == "local" and "not" not in out:
            types = _types(out) or _shown_types(out)
            _set_types(out, types)
            if "array" in types:
                out.setdefault("items", {"type": "string"})
        if notes:
            words = str(out.get("description", "")).strip()
            out["description"] = " ".join(filter(None, (words, *notes)))[: 2 * _MAX_WORDS]
        return out


def _for_gemini(out: Schema, notes: list[str]) -> Schema:
    """Return a schema with Gemini's keywords; LiteLLM converts types and nulls."""
    if "const" in out:
        out.setdefault("enum", [out.pop("const")])
    if "enum" in out:
        values = out.pop("enum")
        if all(isinstance(each, str) and each for each in values) and _types(out) in ([], ["string"]):
            out |= {"type": "string", "enum": values}
        else:
            notes.append(f"One of {_words(values)}.")
            if not _types(out) and (types := _types_of(values)) not in ([], ["null"]):
                _set_types(out, types)
    _gemini_choices(out)
    types = _types(out)
    if types == ["null"]:
        out["type"] = ["string", "null"]
    if "array" in types and not out.get("items"):
        out["items"] = {"type": "string"}
    for key in ("not", "if", "then", "else", "contains", "propertyNames", "examples", "default"):
        out.pop(key, None)
    if "required" in out:
        out["required"] = [key for key in out["required"] if key in _properties(out)]
        if not out["required"]:
            del out["required"]
    return out


def _gemini_choices(out: Schema) -> None:
    """Keep one kind of alternatives, and none beside a type: Gemini would drop one of the two."""
    branches = [each for key in ("anyOf", "oneOf") for each in out.pop(key, [])]
    real = [each for each in branches if _types(each) != ["null"]]
    if len(real) == 1 and not out.keys() & {"type", "properties"}:
        nullable = len(real) < len(branches)
        out |= _both(real[0], out)
        if nullable and (types := _types(out)) and "null" not in types:
            out["type"] = [*types, "null"]
    elif real and {} not in real and not out.keys() & {"type", "properties"}:
        out["anyOf"] = branches


def _shown_types(out: Schema) -> list[str]:
    """Return the types that a schema without `type` implies; all, if it implies none."""
    found = [kind for kind, key in (("object", "properties"), ("array", "items")) if key in out]
    if constants := _constants(out):
        found = _types_of(constants)
    for key in ("anyOf", "oneOf"):
        found += [kind for branch in out.get(key, []) for kind in _types(branch)]
    return list(dict.fromkeys(found)) or [*_TYPES[:2], "boolean", "object", "array", "null"]


def _plain_words(node: Mapping[str, Any]) -> Schema:
    """Return the simple keywords of a schema that have valid values."""
    out: Schema = {}
    for key, value in node.items():
        if key in _WORDS and isinstance(value, str):
            out[key] = value[:_MAX_WORDS]
        elif key in _COUNTS and _is_number(value) and value >= 0 and value == int(value):
            out[key] = int(value)
        elif (
            (key in _FLAGS and isinstance(value, bool))
            or key == "default"
            or (key == "examples" and isinstance(value, list))
        ):
            out[key] = value
    return out


# --- alternatives at the top ------------------------------------------------------------------


def _merged(schema: Schema) -> Schema:
    """Merge alternatives at the top into one object; OpenAI and Anthropic accept none there."""
    top = {key: value for key, value in schema.items() if key not in _NOT_AT_THE_TOP}
    own = _properties(schema)
    required = _required(schema)
    merged: Schema = {}
    pairs: list[str] = []
    for word in _CHOICES:
        flat = [_flat(branch) for branch in schema.get(word, [])]
        joined: Schema = {}
        for branch in flat:
            for key, value in _properties(branch).items():
                join = _both if word == "allOf" else _either
                joined[key] = join(joined[key], value) if key in joined else value
        merged = {**joined, **merged}
        needs = [_required(branch) for branch in flat]
        if needs:
            required |= set.union(*needs) if word == "allOf" else set.intersection(*needs)
        if word != "allOf" and len(flat) > 1:
            pairs += _pairs(flat)
    for condition in ("then", "else"):
        merged = {**_properties(schema.get(condition, {})), **merged}
    properties = {
        **merged,
        **{key: _both(merged[key], value) if key in merged else value for key, value in own.items()},
    }
    out: Schema = {**top, "type": "object", "properties": properties}
    if needed := [key for key in properties if key in required]:
        out["required"] = needed
    else:
        out.pop("required", None)
    if pairs:
        words = str(top.get("description", "")).strip()
        out["description"] = " ".join(filter(None, (words, "One of: " + "; ".join(pairs)[:1_000])))
    return out


def _flat(branch: Schema) -> Schema:
    for part in branch.get("allOf", []):
        branch = _both(part, branch)
    return branch


def _pairs(branches: Sequence[Schema]) -> list[str]:
    """Return which keys go together, if a constant distinguishes the branches."""
    if not any(_constants(value) for branch in branches for value in _properties(branch).values()):
        return []
    lines: list[str] = []
    for branch in branches:
        parts = [
            f"{key} {_words(values)}" if (values := _constants(value)) else key
            for key, value in _properties(branch).items()
            if key in _required(branch)
        ]
        others = ", ".join(parts[1:])
        lines.append(f"{parts[0]} with {others}" if others else "".join(parts))
    return [line for line in lines if line]


def _either(one: Schema, other: Schema) -> Schema:
    """Return a schema that accepts what one of the two accepts."""
    if one == other:
        return one
    values, more = _constants(one), _constants(other)
    if values and more:
        rest = {key: value for key, value in {**other, **one}.items() if key not in ("const", "enum")}
        kinds = [*(_types(one) or _types_of(values)), *(_types(other) or _types_of(more))]
        _set_types(rest, list(dict.fromkeys(kinds)))
        return {**rest, "enum": _unique([*values, *more])}
    if {} in (one, other):
        return {}
    branches = [each["anyOf"] if each.keys() == {"anyOf"} else [each] for each in (one, other)]
    return _any_of([*branches[0], *branches[1]])


def _any_of(shapes: list[Schema]) -> Schema:
    shapes = _unique(shapes)
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes[:20]}


def _both(one: Schema, other: Schema) -> Schema:
    """Return the merge of two schemas; where they differ, the second counts."""
    out = {**one, **other}
    if isinstance(one.get("properties"), dict) and isinstance(other.get("properties"), dict):
        shared = {
            key: _both(one["properties"][key], value) if key in one["properties"] else value
            for key, value in other["properties"].items()
        }
        out["properties"] = {**one["properties"], **shared}
    if required := [*one.get("required", []), *other.get("required", [])]:
        out["required"] = list(dict.fromkeys(required))
    return out


def _constants(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", []))


def _properties(schema: Schema) -> Schema:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _required(schema: Schema) -> set[str]:
    return set(schema.get("required", []))


# --- values -----------------------------------------------------------------------------------


def _type_of(said: object) -> str:
    """Return the JSON Schema type for a server's word, "" if unknown."""
    if not isinstance(said, str):
        return ""
    word = said.strip().lower()
    return word if word in _TYPES else _OTHER_TYPES.get(word, "")


def _types(schema: Schema) -> list[str]:
    said = schema.get("type", [])
    return [said] if isinstance(said, str) else list(said)


def _set_types(schema: Schema, types: list[str]) -> None:
    schema["type"] = types[0] if len(types) == 1 else types


def _types_of(values: Sequence[Any]) -> list[str]:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return list(dict.fromkeys(kinds.get(type(each), "null") for each in values))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_regex(pattern: str) -> bool:
    """Return whether a server's pattern is passed on. Python's own engine takes seconds to compile some."""
    return len(pattern) <= _MAX_PATTERN and is_pattern(pattern)


def _unique(values: Sequence[Any]) -> list[Any]:
    """Return each value once, in order; 1, 1.0 and true differ."""
    return list({json.dumps(each, sort_keys=True, default=str): each for each in values}.values())


def _words(values: Sequence[Any]) -> str:
    return ", ".join(json.dumps(each, ensure_ascii=False, default=str)[:80] for each in values[:50])
