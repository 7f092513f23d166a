"""References and combinations inside one JSON schema: local ones are followed, nothing is fetched."""

from __future__ import annotations

from sys import maxsize
from typing import TypeAlias
from urllib.parse import unquote

from omni_tui.face.form.exact_json import Json

Schema: TypeAlias = "dict[str, Json]"

MAX_REFS = 16
"""Longest chain of references that is followed."""


def flatten(schema: Json, root: Json) -> tuple[Schema | None, str]:
    """Follow references and single-entry `allOf` until the schema stands on its own."""
    if isinstance(schema, bool):
        return {}, ""
    for _ in range(MAX_REFS):
        if not isinstance(schema, dict):
            return None, "its schema is not an object"
        target: Json
        if isinstance(schema.get("$ref"), str):
            target = _resolve(str(schema["$ref"]), root)
            word = "$ref"
        else:
            together = schema.get("allOf")
            if not isinstance(together, list):
                return schema, ""
            if len(together) != 1:
                return None, "it must fit several schemas at once"
            target, word = together[0], "allOf"
        if isinstance(target, bool):
            target = {}
        if not isinstance(target, dict):
            return None, "its schema refers to something that is not there"
        schema = {**target, **{key: value for key, value in schema.items() if key != word}}
    return None, "its schema refers to itself"


def _resolve(reference: str, root: Json) -> Json | None:
    """Look up a local JSON Pointer (RFC 6901, as a URI fragment); None for anything else."""
    if not reference.startswith("#"):
        return None
    here = root
    for step in unquote(reference[1:]).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and step in here:
            here = here[step]
        elif isinstance(here, list) and _index(step) < len(here):
            here = here[_index(step)]
        else:
            return None
    return here


def is_null(schema: Json) -> bool:
    """Whether a schema admits `null` and nothing else."""
    if not isinstance(schema, dict):
        return False
    return schema.get("type") == "null" or ("const" in schema and schema["const"] is None)


def types_of(schema: Schema) -> list[str]:
    """Return the JSON types a schema names, or the one its keywords imply; none where it takes any."""
    said = schema.get("type")
    if isinstance(said, str | list):
        kinds = [
            kind.lower() for kind in ([said] if isinstance(said, str) else said) if isinstance(kind, str)
        ]
        return [] if "any" in kinds else kinds
    if isinstance(schema.get("properties"), dict):
        return ["object"]
    return ["array"] if isinstance(schema.get("items"), dict) else []


def _index(step: str) -> int:
    return int(step) if step.isascii() and step.isdigit() and len(step) < 10 else maxsize
