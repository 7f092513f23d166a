"""The tools of a request in the form LiteLLM takes, and the way from a model's names to the server's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from omni_tui.models.base import ModelRequest, ToolCall, ToolSpec
from omni_tui.models.litellm_messages import litellm_name
from omni_tui.models.message_history import plain_arguments
from omni_tui.models.origin import is_elsewhere
from omni_tui.models.property_names import PropertyNames
from omni_tui.models.provider_schema import Family, bare, for_provider

_DESCRIPTION = 8_000
_LONE = re.compile("[\ud800-\udfff]")
_GEMINI = frozenset({"gemini", "vertex_ai", "vertex_ai_beta"})
_LOCAL = frozenset({"ollama", "ollama_chat", "lm_studio", "llamafile", "hosted_vllm"})


def family_of(provider: str, address: str = "") -> Family:
    """Return how a provider wants schemas to be written."""
    if provider in _GEMINI:
        return "gemini"
    own = provider in _LOCAL or (provider == "openai" and is_elsewhere(address))
    return "local" if own else "plain"


class _Shown(NamedTuple):
    tool: ToolSpec
    wire: dict[str, Any]
    names: PropertyNames


class LiteLLMTools:
    """The tools of a request in wire form; schemas are written anew once. `bare` ones are shortest."""

    def __init__(self, family: Family = "plain", bare: bool = False, description: int = 0) -> None:
        self._family = family
        self._most = min(description or _DESCRIPTION, _DESCRIPTION)
        self._bare = bare
        self._shown: dict[int, _Shown] = {}

    def of(self, request: ModelRequest) -> list[dict[str, Any]]:
        """Return the tools on offer; if none are, stubs of those used before, as some providers insist."""
        if request.tools:
            if len(self._shown) > 4 * len(request.tools) + 64:
                self._shown.clear()
            return [self._one(tool).wire for tool in request.tools]
        used = dict.fromkeys(
            litellm_name(call.name) for message in request.messages for call in message.calls
        )
        return [self._write(ToolSpec(name, "Not available now.", {"type": "object"})).wire for name in used]

    def specs(self, request: ModelRequest) -> dict[str, ToolSpec]:
        """Return the tools on offer as the model was shown them, by name."""
        return {
            tool.name: msgspec.structs.replace(
                tool, parameters=self._one(tool).wire["function"]["parameters"]
            )
            for tool in request.tools
        }

    def shown(self, request: ModelRequest, call: ToolCall) -> str:
        """Return the arguments of a call with the names that the model was shown."""
        tool = _named(request, call.name)
        return self._one(tool).names.shown(call.arguments) if tool is not None else call.arguments

    def real(self, request: ModelRequest, call: ToolCall) -> str:
        """Return the arguments of a call with the names that the server knows."""
        tool = _named(request, call.name)
        names = self._one(tool).names if tool is not None else None
        return names.real(plain_arguments(call.arguments)) if names else call.arguments

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
        # LiteLLM drops words at the top of a schema on some ways; the tool's own are always read.
        words = str(schema.pop("description", ""))
        said = tool.description[: self._most]
        function = {
            "name": tool.name,
            "description": said if words in said else f"{said}\n\n{words}".strip()[: self._most],
            "parameters": names.schema(schema),
        }
        return _Shown(tool, {"type": "function", "function": _encodable(function)}, names)


def _named(request: ModelRequest, name: str) -> ToolSpec | None:
    return next((tool for tool in request.tools if tool.name == name), None)


def _encodable(value: Any) -> Any:
    """Return a JSON value without what cannot be sent: half surrogates, and numbers that are none."""
    if isinstance(value, str):
        return value if value.isascii() else _LONE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _encodable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value if value is None or isinstance(value, int | float) else str(value)
