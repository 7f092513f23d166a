"""The least that a JSON Schema accepts, for calling tools that nobody here has seen before."""

from __future__ import annotations

from typing import Any

_DEPTH = 16
_EMPTY: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


def required_values(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an object with the required properties of an object schema and no others."""
    made = _object(schema, schema, _DEPTH)
    return made if isinstance(made, dict) else {}


def default_values(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a form holds that nobody has touched: the defaults, and what is required besides."""
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    defaults = {
        name: part["default"]
        for name, part in known.items()
        if isinstance(part, dict) and "default" in part
    }
    return required_values(schema) | defaults


def _value(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth <= 0:
        return "text"
    if "$ref" in schema:
        return _value(_referred(schema["$ref"], root), root, depth - 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return _value(schema[key][0], root, depth - 1)
    return _plain(schema, root, depth)


def _plain(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        return _object(schema, root, depth)
    if kind == "array":
        count = min(int(schema.get("minItems", 0)), 8)
        return [_value(schema.get("items", {}), root, depth - 1) for _ in range(count)]
    if kind == "string":
        return str(_EMPTY["string"]).ljust(min(int(schema.get("minLength", 0)), 1000), "x")
    if kind in ("integer", "number") and "minimum" in schema:
        return schema["minimum"]
    return _EMPTY.get(str(kind), "text")


def _object(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    names = required if isinstance(required, list) else []
    return {name: _value(known.get(name, {}), root, depth - 1) for name in names if isinstance(name, str)}


def _referred(reference: Any, root: dict[str, Any]) -> Any:
    """Follow a reference inside the document; anything else is not looked at."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return {}
    found: Any = root
    for part in reference[1:].strip("/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        found = found.get(key, {}) if part and isinstance(found, dict) else found
    return found
