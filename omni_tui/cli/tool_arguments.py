"""Convert `KEY=VALUE` of the command line by the tool's JSON schema."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from omni_tui.cli.output import CliError, ExitStatus

_ANY = {"string", "integer", "number", "boolean", "array", "object", "null"}
_WANTED = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON list",
    "object": "a JSON object",
    "null": "null",
}


def read_arguments(pairs: Sequence[str], whole: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's arguments from `--args`, overridden by `KEY=VALUE` words. Raises `CliError`.

    The engine checks them against the whole schema.
    """
    values = _whole(whole)
    known = schema.get("properties")
    properties: Mapping[str, Any] = known if isinstance(known, dict) else {}
    seen: set[str] = set()
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise _usage(f"{pair!r} is not KEY=VALUE")
        if key in seen:
            raise _usage(f"{key} is given twice; a list is given as JSON: {key}='[1, 2]'")
        seen.add(key)
        if properties and key not in properties and schema.get("additionalProperties") is False:
            near = difflib.get_close_matches(key, properties, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(properties)}"
            raise _usage(f"the tool has no argument {key}; {hint}")
        values[key] = _typed(key, text, properties.get(key, {}))
    return values


def _whole(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise _usage(f"--args is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _usage("--args must be a JSON object, such as '{\"a\": 1}'")
    return value


def _typed(key: str, text: str, schema: Any) -> Any:
    """Return the value of a word: JSON unless the schema requires text."""
    kinds = _kinds(schema)
    if kinds == {"string"}:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    whole = isinstance(value, float) and value.is_integer() and "integer" in kinds
    if whole or _kind(value) in kinds or (_kind(value) == "integer" and "number" in kinds):
        return value
    if "string" in kinds:
        return text
    wanted = " or ".join(_WANTED[kind] for kind in sorted(kinds))
    raise _usage(f"{key} must be {wanted}, not {text!r}")


def _kinds(schema: Any) -> set[str]:
    """Return the JSON types a schema takes, as far as that can be told without resolving it."""
    if not isinstance(schema, dict):
        return _ANY
    kind = schema.get("type")
    if isinstance(kind, str) and kind in _ANY:
        return {kind}
    if isinstance(kind, list):
        return {each for each in kind if isinstance(each, str)} & _ANY or _ANY
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return set().union(*(_kinds(each) for each in schema[key])) or _ANY
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return {_kind(each) for each in schema["enum"]}
    return _ANY


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, types in (("integer", int), ("number", float), ("string", str), ("array", list)):
        if isinstance(value, types):
            return kind
    return "null" if value is None else "object"


def _usage(what: str) -> CliError:
    return CliError(
        what, todo="See: omni-tui tools --json prints each tool's schema", status=ExitStatus.USAGE
    )
