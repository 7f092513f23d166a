"""One page of a server's list, and how its entries are read: tools, prompts, resources, templates.

Optional parts that make no sense (an icon, a title that is no text) are ignored. An entry is left out,
with a reason, only where its name, its address or its input cannot be known. Does not load the SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from omni_tui.security.text import safe_line
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
"""Longest name or address, in characters; a cut one could not be sent back."""
_TITLE, _DESCRIPTION = 200, 1_500
_SIZE = 2**53
_JSON_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
_TRUTH = {"true": True, "false": False}


class UnusableEntry(Exception):
    """An entry that cannot be used; the text says why, and is not safe to show as it is."""


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
        raise UnusableEntry(f"its {key} is {_kind(name)}" if name not in (None, "") else f"it has no {key}")
    if len(name) > MAX_ADDRESS:
        raise UnusableEntry(f"its {key} is longer than {MAX_ADDRESS:,} characters")
    return name


def _input_schema(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's input schema. A missing one, or `true`, accepts every object."""
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
    """Return the known annotations; a hint that is neither true nor false is dropped."""
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
    """Name the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a number"


T = TypeVar("T")

MAX_TOOLS = 500
MAX_ENTRIES = 1000
MAX_PAGES = 100
_MAX_VALUES = 20_000
_MAX_PAGE_VALUES = 200_000
_MAX_DEPTH = 64
_NAMED = 3
"""How many of the left-out entries are named on a server's row; its log names all."""

LIST_KEYS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""The name of the list in the answer to each method."""
ENTRY_NAMES = {
    "tools": "tool",
    "prompts": "prompt",
    "resources": "resource",
    "resourceTemplates": "template",
}


def entry_limit(kind: str) -> int:
    """Return how many entries of a list are taken."""
    return MAX_TOOLS if kind == "tools" else MAX_ENTRIES


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry of a list that is not used, and why: safe to show."""

    kind: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.reason}" if self.name else f"a {self.kind}: {self.reason}"


@dataclass(slots=True)
class ListPage:
    """One page of a list, as the tap took it off the wire.

    `invalid` says why it or its cursor cannot be read; `over` counts the entries above the limit.
    """

    kind: str
    entries: list[Any] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    cursor: str | None = None
    invalid: str = ""
    over: int = 0
    arrived: bool = False

    def take(self, result: dict[str, Any]) -> dict[str, Any]:
        """Read an answer into this page; return the answer that the SDK gets instead.

        Left out are entries of more than 64 levels or 20,000 values, and what exceeds 200,000 values in
        one page. The SDK gets only what it needs of a tool: which arguments go into HTTP headers.
        """
        self.arrived = True
        following = result.get("nextCursor")
        self.cursor = following if isinstance(following, str) else None
        if following is not None and self.cursor is None:
            self.invalid = "the cursor of its next page is not a text"
        listed = result.get(self.kind)
        if listed is not None and not isinstance(listed, list):
            self.invalid = f"its answer has something else than a list under {self.kind}"
        elif listed is None and self.kind not in result:
            self.invalid = f"its answer has no list under {self.kind}"
        self._bound(listed if isinstance(listed, list) else [])
        tools = self.entries if self.kind == "tools" else []
        stand_in: dict[str, Any] = {
            self.kind: [
                _for_sdk(tool)
                for tool in tools
                if isinstance(tool, dict) and isinstance(tool.get("name"), str)
            ],
            "resultType": "complete",
            "ttlMs": 0,
            "cacheScope": "private",
        }
        return stand_in if self.cursor is None else {**stand_in, "nextCursor": self.cursor}

    def _bound(self, listed: list[Any]) -> None:
        limit = entry_limit(self.kind)
        budget = _MAX_PAGE_VALUES
        for entry in listed[:limit]:
            size = _values(entry, min(budget, _MAX_VALUES))
            if size:
                budget -= size
                self.entries.append(entry)
            else:
                self.leave_out(entry, "it is too large, or nested too deeply")
        self.over = max(0, len(listed) - limit)

    def leave_out(self, entry: Any, reason: str) -> None:
        """Note that an entry is not used."""
        keys = ("name", "uriTemplate", "uri", "title") if isinstance(entry, dict) else ()
        name = next((entry[key] for key in keys if isinstance(entry.get(key), str) and entry[key]), "")
        self.left_out.append(
            LeftOut(ENTRY_NAMES[self.kind], safe_line(name, limit=80), safe_line(reason, limit=200))
        )

    def read(self, one: Callable[[Any], T]) -> list[T]:
        """Return each entry read by `one`; leave out what raises `UnusableEntry`."""
        found: list[T] = []
        for entry in self.entries:
            try:
                found.append(one(entry))
            except UnusableEntry as error:
                self.leave_out(entry, str(error))
        return found


def describe_left_out(left_out: list[LeftOut]) -> str:
    """Say on one line which entries are not used, "" if all are."""
    if not left_out:
        return ""
    named = "; ".join(str(each) for each in left_out[:_NAMED])
    more = len(left_out) - _NAMED
    return f"not used: {named}" + (f"; and {more} more, see its log" if more > 0 else "")


def _for_sdk(entry: dict[str, Any]) -> dict[str, Any]:
    schema = entry.get("inputSchema")
    given = schema if isinstance(schema, dict) else {}
    dropped = ("$schema", "required", "properties", "type")
    kept = {key: value for key, value in given.items() if key not in dropped}
    properties = given.get("properties")
    if isinstance(properties, dict):
        kept["properties"] = {name: each for name, each in properties.items() if isinstance(each, dict)}
    return {"name": entry["name"], "inputSchema": {**kept, "type": "object"}}


def _values(value: Any, limit: int) -> int:
    """Return how many values `value` holds, itself included; 0 if more than `limit` or too deep."""
    count = 0
    level = [value]
    for _ in range(_MAX_DEPTH):
        count += len(level)
        if count > limit:
            return 0
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return count
        level = below
    return 0
