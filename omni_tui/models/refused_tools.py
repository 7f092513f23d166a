"""Tools that a provider will not take: found in its refusal, and set aside so that the rest goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import msgspec

from omni_tui.models.base import ModelError, ModelRequest, ToolSpec

_PATH = re.compile(
    r"\b(?:function_?declarations|functionDeclarations|tools)\s*[.\[]\s*(\d+)", re.IGNORECASE
)
_DECLARATION = re.compile(r"\bfunction_?declarations\s*[.\[]\s*(\d+)", re.IGNORECASE)
_IN_MESSAGES = re.compile(
    r"\b(messages|contents?)\s*[.\[]\s*\d+|content block|thought_?signature|tool_call_id"
    r"|tool_use\b|tool_result",
    re.IGNORECASE,
)
"""Refusals of the conversation may name a tool as well: of one that was called."""
_ABOUT_TOOLS = re.compile(r"tool|function|schema|declaration|parameter", re.IGNORECASE)
_ABOUT_SCHEMAS = re.compile(
    r"(tool|function)\w*\b.{0,80}\b(schema|parameters?)\b|\bschema\b.{0,80}\b(tool|function)|input_schema"
    r"|function_?declarations|json schema is invalid|(pars|convert|compil)\w*.{0,40}\b(grammar|schema)",
    re.IGNORECASE | re.DOTALL,
)
_MOST_NAMED = 3


def refused_tools(error: ModelError, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
    """Return which of the tools that were sent a refusal is about, by name or by place."""
    words = error.detail
    if error.kind not in ("request", "transient", "permanent") or not _ABOUT_TOOLS.search(words):
        return []
    if _IN_MESSAGES.search(words) and not _PATH.search(words):
        return []
    named = [tool for tool in tools if re.search(rf"(?<![\w-]){re.escape(tool.name)}(?![\w-])", words)]
    if 0 < len(named) <= _MOST_NAMED:
        return named
    places = {int(at) for at in _DECLARATION.findall(words) or _PATH.findall(words)}
    return [tools[at] for at in sorted(places) if at < len(tools)]


def is_about_schemas(error: ModelError) -> bool:
    """Whether a refusal is about the schema of some tool, and does not say of which."""
    return error.kind in ("request", "transient", "permanent") and bool(_ABOUT_SCHEMAS.search(error.detail))


class RefusedTools:
    """The tools that one model refused. One whose definition has changed is offered again."""

    def __init__(self, on_refused: Callable[[str, str], None]) -> None:
        self._on_refused = on_refused
        self._known: set[tuple[str, str]] = set()

    def without(self, request: ModelRequest) -> ModelRequest:
        """Return the request without them."""
        if not self._known:
            return request
        kept = tuple(tool for tool in request.tools if _identity(tool) not in self._known)
        return request if len(kept) == len(request.tools) else msgspec.structs.replace(request, tools=kept)

    def add(self, tools: Sequence[ToolSpec], words: str) -> None:
        """Set tools aside; `on_refused` hears of each, with the provider's words."""
        for tool in tools:
            self._known.add(_identity(tool))
            self._on_refused(tool.shown, words)


def _identity(tool: ToolSpec) -> tuple[str, str]:
    return tool.name, json.dumps([tool.description, tool.parameters], sort_keys=True, default=str)
