"""The tools of a request in LiteLLM's form, and the names of their arguments.

Anthropic refuses a whole request because of an argument named `uids[]` or `$filter`: such a name is shown
to the model in other letters, and the server gets its own name back (`PropertyNames`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from omni_tui.models.base import ModelRequest, ToolCall, ToolSpec
from omni_tui.models.litellm_messages import GEMINI, litellm_name
from omni_tui.models.message_history import plain_arguments, read_json
from omni_tui.models.model_facts import FREE
from omni_tui.models.origin import is_elsewhere
from omni_tui.models.provider_schema import Family, bare, for_provider
from omni_tui.security.text import encodable, strip_invisible

_DESCRIPTION = 8_000


def family_of(provider: str, address: str = "") -> Family:
    """Return the kind of schema that a provider needs."""
    if provider in GEMINI:
        return "gemini"
    own = provider in FREE or (provider == "openai" and is_elsewhere(address))
    return "local" if own else "plain"


class _Shown(NamedTuple):
    tool: ToolSpec
    wire: dict[str, Any]
    names: PropertyNames


class LiteLLMTools:
    """The tools of a request in LiteLLM's form; each schema is rewritten once. `bare` is the shortest
    form.
    """

    def __init__(self, family: Family = "plain", bare: bool = False, description: int = 0) -> None:
        self._family = family
        self._most = min(description or _DESCRIPTION, _DESCRIPTION)
        self._bare = bare
        self._shown: dict[int, _Shown] = {}

    def of(self, request: ModelRequest) -> list[dict[str, Any]]:
        """Return the request's tools; if none, stubs of those used before, which some providers require."""
        if request.tools:
            if len(self._shown) > 4 * len(request.tools) + 64:
                self._shown.clear()
            return [self._one(tool).wire for tool in request.tools]
        used = dict.fromkeys(
            litellm_name(call.name) for message in request.messages for call in message.calls
        )
        return [self._write(ToolSpec(name, "Not available now.", {"type": "object"})).wire for name in used]

    def specs(self, request: ModelRequest) -> dict[str, ToolSpec]:
        """Return the request's tools as shown to the model, by name."""
        schemas = ((tool, self._one(tool).wire["function"]["parameters"]) for tool in request.tools)
        return {tool.name: msgspec.structs.replace(tool, parameters=schema) for tool, schema in schemas}

    def shown(self, request: ModelRequest, call: ToolCall) -> str:
        """Return the arguments of a call with the names shown to the model."""
        names = self._names(request, call)
        return names.shown(call.arguments) if names else call.arguments

    def real(self, request: ModelRequest, call: ToolCall) -> str:
        """Return the arguments of a call with the server's names."""
        names = self._names(request, call)
        return names.real(plain_arguments(call.arguments)) if names else call.arguments

    def _names(self, request: ModelRequest, call: ToolCall) -> PropertyNames | None:
        return next((self._one(tool).names for tool in request.tools if tool.name == call.name), None)

    def _one(self, tool: ToolSpec) -> _Shown:
        known = self._shown.get(id(tool))
        if known is None or known.tool is not tool:
            known = self._shown[id(tool)] = self._write(tool)
        return known

    def _write(self, tool: ToolSpec) -> _Shown:
        schema = for_provider(tool.parameters, self._family)
        if self._bare:
            schema = bare(schema)
        names = PropertyNames(schema)
        # LiteLLM sometimes drops a schema's description at the top, but never the tool's.
        words = str(schema.pop("description", ""))
        said = tool.description[: self._most]
        function = {
            "name": tool.name,
            "description": said if words in said else f"{said}\n\n{words}".strip()[: self._most],
            "parameters": names.schema(schema),
        }
        return _Shown(tool, {"type": "function", "function": _encodable(function)}, names)


def _encodable(value: Any) -> Any:
    """Return a JSON value without what cannot be sent: lone surrogates, NaN and infinity."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _encodable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int | float) else str(value)


TAKEN = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""Names that every provider accepts (Anthropic's rule, the strictest)."""

_MAPS = ("properties", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf")
_ONES = ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else")
_VALUES = ("default", "const", "enum", "examples")
_DEEPEST = 100


class PropertyNames:
    """The argument names of one tool that a model is shown in other letters."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        names = list(dict.fromkeys(_names(schema)))
        used = {name for name in names if TAKEN.fullmatch(name)}
        self._shown: dict[str, str] = {}
        for name in names:
            if name not in used and name not in self._shown:
                self._shown[name] = _free(name, used)
                used.add(self._shown[name])
        self._real = {shown: name for name, shown in self._shown.items()}

    def __bool__(self) -> bool:
        return bool(self._shown)

    def schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema with the shown names; each description has the server's name."""
        if not self._shown:
            return dict(schema)
        out: dict[str, Any] = {}
        for key, value in schema.items():
            if key == "properties":
                out[key] = {
                    self._shown.get(name, name): self._property(name, each) for name, each in value.items()
                }
            elif key == "patternProperties":
                out[key] = {name: self._any(each) for name, each in value.items()}
            elif key in _LISTS:
                out[key] = [self._any(each) for each in value]
            elif key in _ONES:
                out[key] = self._any(value)
            elif key == "required":
                out[key] = [self._shown.get(name, name) for name in value]
            else:
                out[key] = _with(value, self._shown) if key in _VALUES else value
        return out

    def shown(self, arguments: str) -> str:
        """Return the text of arguments as the model wrote it, with the names it was shown."""
        return self._renamed(arguments, self._shown)

    def real(self, arguments: str) -> str:
        """Return the text of arguments with the server's own names."""
        return self._renamed(arguments, self._real)

    def _renamed(self, arguments: str, names: Mapping[str, str]) -> str:
        value = read_json(arguments) if names else None
        renamed = _with(value, names)
        return arguments if renamed == value else json.dumps(renamed, ensure_ascii=False)

    def _any(self, node: Any) -> Any:
        return self.schema(node) if isinstance(node, Mapping) else node

    def _property(self, name: str, node: Any) -> Any:
        schema = self._any(node)
        if name not in self._shown or not isinstance(schema, dict):
            return schema
        words = f"(the server calls it {json.dumps(strip_invisible(name[:200])[0], ensure_ascii=False)})"
        return {**schema, "description": f"{schema.get('description', '')} {words}".strip()}


def _names(node: object) -> Iterator[str]:
    """Yield the names of all properties of a schema from `provider_schema`."""
    if not isinstance(node, Mapping):
        return
    for key in _MAPS:
        found = node.get(key)
        if isinstance(found, Mapping):
            if key == "properties":
                yield from found
            for value in found.values():
                yield from _names(value)
    for key in _LISTS:
        for value in node.get(key, ()):
            yield from _names(value)
    for key in _ONES:
        yield from _names(node.get(key))


def _free(name: str, used: set[str]) -> str:
    """Return an unused name of plain letters for `name`, the same one every time."""
    stem = re.sub(r"[^a-zA-Z0-9_]+", "_", name).strip("_")[:48] or "argument"
    # With a hash that no server uses by chance, so that it can be reversed.
    shown = f"{stem}_{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:4]}"
    while shown in used:
        shown += "_"
    return shown


def _with(value: Any, names: Mapping[str, str], depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return {names.get(key, key): _with(each, names, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_with(each, names, depth + 1) for each in value]
    return value
