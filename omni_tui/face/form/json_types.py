"""The JSON types that a schema takes, and a text read as one of them. Pure."""

from __future__ import annotations

import re

from omni_tui.face.form.exact_json import Json, JsonNumber, NotJson, parse
from omni_tui.face.form.refs import flatten, types_of

NULL = "null"
TYPE_WORDS = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true/false",
    "array": "JSON list",
    "object": "JSON object",
    NULL: "null",
}
ANYTHING = frozenset(TYPE_WORDS)
_DEEPEST = 4
_WHOLE = re.compile(r"-?[0-9]+(\.0*)?")


def type_of(value: Json) -> str:
    """Return the JSON type of a value."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, JsonNumber):
        return "integer" if _WHOLE.fullmatch(value.text) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def types_taken(schema: Json, root: Json, depth: int = 0) -> frozenset[str]:
    """Return the types that a schema takes, as far as its `type`, constants and unions tell."""
    flat, _ = flatten(schema, root)
    if flat is None or depth > _DEEPEST:
        return ANYTHING
    named = ANYTHING.intersection(types_of(flat))
    values = flat.get("enum")
    if "const" in flat:
        named = frozenset({type_of(flat["const"])})
    elif isinstance(values, list) and values:
        named = frozenset(map(type_of, values))
    for word in ("anyOf", "oneOf"):
        branches = flat.get(word)
        if isinstance(branches, list) and branches:
            arms = frozenset[str]().union(*(types_taken(each, root, depth + 1) for each in branches))
            named = (named & arms) or arms
    return named or ANYTHING


def read_value(text: str, takes: frozenset[str]) -> Json:
    """Return the value that a text stands for where several types are taken, a text among them.

    It is read as JSON if that is one of the types (a text in quotes is one, so `"5"` is a text where
    5 is a number), and else taken as it is. Raises `NotJson` for what begins like the list or the
    object that is taken, and is none.
    """
    bare = text.strip()
    opens = {"[": "array", "{": "object"}.get(bare[:1], "")
    if text != bare and opens not in takes:
        return text
    try:
        value = parse(bare)
    except NotJson:
        if opens in takes:
            raise
        return text
    return value if has_type(value, takes) else text


def has_type(value: Json, takes: frozenset[str]) -> bool:
    """Whether a value is of one of the types; a whole number is a number too."""
    kind = type_of(value)
    return kind in takes or (kind == "integer" and "number" in takes)


def is_plain_text(value: str, takes: frozenset[str]) -> bool:
    """Whether a text may stand as it is, and is not read as something else."""
    try:
        return read_value(value, takes) == value
    except NotJson:
        return False
