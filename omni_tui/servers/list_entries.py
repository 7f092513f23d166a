"""Read the entries of a server's lists, each by itself: a tool, a prompt, a resource, a template.

What is optional and odd (an icon, a title that is no text) is ignored. An entry is `UnusableEntry` only
where its name, its address or what it takes cannot be known.
"""

from __future__ import annotations

from typing import Any

from omni_tui.servers.base import ToolDefinition
from omni_tui.servers.prompt_resource_types import (
    ArgumentDefinition,
    PromptDefinition,
    ResourceDefinition,
    TemplateDefinition,
)
from omni_tui.servers.uri_template import BadTemplate, variables_of

MAX_ARGUMENTS = 50
MAX_ADDRESS = 4_096
"""Longest name or address that is taken, in characters; it could not be sent back cut."""
_TITLE, _DESCRIPTION = 200, 1_500
_SIZE = 2**53
_JSON_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
_TRUTH = {"true": True, "false": False}


class UnusableEntry(Exception):
    """An entry that cannot be used; the text says why, and is not safe to show as it is."""


def entry_name(entry: Any) -> str:
    """Return what an entry is called for a note about it, "" if it has no name."""
    if not isinstance(entry, dict):
        return ""
    names = (entry.get(key) for key in ("name", "uriTemplate", "uri", "title"))
    return next((name for name in names if isinstance(name, str) and name), "")


def read_tool(server: str, entry: Any) -> ToolDefinition:
    """Return a tool as its server listed it. Raises `UnusableEntry`."""
    name = _named(_object(entry), "name")
    notes = entry.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    execution = entry.get("execution")
    meta = entry.get("_meta")
    output = entry.get("outputSchema")
    return ToolDefinition(
        server=server,
        name=name,
        title=_text(entry.get("title")) or _text(notes.get("title")),
        description=_text(entry.get("description")),
        input_schema=_input_schema(entry),
        output_schema=output if isinstance(output, dict) else None,
        annotations=_annotations(notes),
        only_as_task=isinstance(execution, dict) and execution.get("taskSupport") == "required",
        meta=meta if isinstance(meta, dict) else {},
    )


def read_prompt(entry: Any) -> PromptDefinition:
    """Return a prompt as its server listed it. Raises `UnusableEntry`."""
    name = _named(_object(entry), "name")
    given = entry.get("arguments")
    if given is None or given == {}:
        given = []
    if not isinstance(given, list):
        raise UnusableEntry(f"its arguments are {_kind(given)}, not a list")
    arguments: list[ArgumentDefinition] = []
    for one in given[:MAX_ARGUMENTS]:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not one["name"]:
            raise UnusableEntry("one of its arguments has no name")
        if len(one["name"]) > MAX_ADDRESS:
            raise UnusableEntry("the name of one of its arguments is too long")
        required = _truth(one.get("required")) is True
        arguments.append(ArgumentDefinition(one["name"], _text(one.get("description"))[:_TITLE], required))
    return PromptDefinition(
        name=name,
        title=_text(entry.get("title"))[:_TITLE],
        description=_text(entry.get("description"))[:_DESCRIPTION],
        arguments=tuple(arguments),
    )


def read_resource(entry: Any) -> ResourceDefinition:
    """Return a resource as its server listed it. Raises `UnusableEntry`."""
    uri = _named(_object(entry), "uri")
    size = entry.get("size")
    whole = isinstance(size, int | float) and not isinstance(size, bool) and 0 <= size <= _SIZE
    return ResourceDefinition(
        uri=uri,
        name=(_text(entry.get("name")) or uri)[:_TITLE],
        title=_text(entry.get("title"))[:_TITLE],
        description=_text(entry.get("description"))[:_DESCRIPTION],
        mime=_text(entry.get("mimeType"))[:_TITLE],
        size=int(size) if whole and size is not None else None,
    )


def read_template(entry: Any) -> TemplateDefinition:
    """Return a resource template as its server listed it. Raises `UnusableEntry`."""
    uri = _named(_object(entry), "uriTemplate")
    try:
        variables = variables_of(uri)
    except BadTemplate as error:
        raise UnusableEntry(str(error)) from None
    return TemplateDefinition(
        uri_template=uri,
        name=(_text(entry.get("name")) or uri)[:_TITLE],
        title=_text(entry.get("title"))[:_TITLE],
        description=_text(entry.get("description"))[:_DESCRIPTION],
        mime=_text(entry.get("mimeType"))[:_TITLE],
        variables=variables[:MAX_ARGUMENTS],
    )


def _object(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise UnusableEntry(f"it is {_kind(entry)}, not an object")
    return entry


def _named(entry: dict[str, Any], key: str) -> str:
    name = entry.get(key)
    if not isinstance(name, str) or not name:
        raise UnusableEntry(
            f"it has no {key}" if name is None or name == "" else f"its {key} is {_kind(name)}"
        )
    if len(name) > MAX_ADDRESS:
        raise UnusableEntry(f"its {key} is longer than {MAX_ADDRESS:,} characters")
    return name


def _input_schema(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a tool takes. None at all, or `true`, is a schema that takes every object."""
    schema = entry.get("inputSchema")
    if schema is None or schema is True or schema == []:
        return {"type": "object"}
    if not isinstance(schema, dict):
        raise UnusableEntry(f"its inputSchema is {_kind(schema)}, not an object")
    wanted = schema.get("type")
    kinds = [str(kind) for kind in (wanted if isinstance(wanted, list) else [wanted])]
    if kinds and "object" not in kinds and all(kind in _JSON_TYPES for kind in kinds):
        raise UnusableEntry(
            f"its inputSchema asks for {' or '.join(kinds)}; arguments are always an object"
        )
    return schema


def _annotations(notes: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations that are known here; a hint that is neither true nor false is none."""
    kept: dict[str, Any] = {}
    if "title" in notes:
        kept["title"] = notes["title"] if isinstance(notes["title"], str) else None
    for hint in _HINTS:
        if hint in notes:
            kept[hint] = _truth(notes[hint])
    return kept


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return _TRUTH.get(value.strip().lower()) if isinstance(value, str) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _kind(value: Any) -> str:
    """Say what kind of JSON a value is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a number"
