"""What a model turned out to need, learned from its refusals.

If another form of the same request helps, it is sent once more and the quirk is stored. Each quirk is
learned at most once, so a request cannot loop.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from omni_tui.models.base import ModelError, ModelRequest, ToolSpec


class ModelQuirks(msgspec.Struct, frozen=True, omit_defaults=True):
    """The quirks of one model at one address.

    `window`: its context window in tokens (0: unknown). `no_system`: it refuses a system prompt.
    `strict`: it requires alternating roles. `no_thoughts`: it refused its own signed thoughts.
    `bare_tools`: it accepts only the simplest tool schemas. `description`: the most characters of a
    tool's description (0: unknown). `reasoning`: "fill" if it requires reasoning in every answer, "drop"
    if it accepts none.
    """

    window: int = 0
    no_system: bool = False
    strict: bool = False
    no_thoughts: bool = False
    reasoning: Literal["", "fill", "drop"] = ""
    bare_tools: bool = False
    description: int = 0


class ModelMemory(Protocol):
    """Stores what models were found to need, by the key of a model. Thread-safe; never raises."""

    def quirks(self, model: str) -> ModelQuirks:
        """Return the quirks of a model."""
        ...

    def learn(self, model: str, quirks: ModelQuirks) -> None:
        """Store the quirks of a model."""
        ...

    def is_text(self, model: str) -> bool:
        """Whether the model needs text mode."""
        ...

    def remember_text(self, model: str) -> None:
        """Store that the model needs text mode."""
        ...


class TransientModelMemory:
    """A `ModelMemory` that lasts until the process ends."""

    def __init__(self) -> None:
        self._quirks: dict[str, ModelQuirks] = {}
        self._text: set[str] = set()

    def quirks(self, model: str) -> ModelQuirks:
        """Return the quirks of a model."""
        return self._quirks.get(model, ModelQuirks())

    def learn(self, model: str, quirks: ModelQuirks) -> None:
        """Keep the quirks of a model."""
        self._quirks[model] = quirks

    def is_text(self, model: str) -> bool:
        """Whether the model needs text mode."""
        return model in self._text

    def remember_text(self, model: str) -> None:
        """Remember text mode for a model."""
        self._text.add(model)


_SYSTEM = re.compile(
    r"system (role|message|prompt|instruction)s?\b.{0,40}(not|n't|un)[ -]?(be )?(support|allow|enabled)"
    r"|does(n't| not) support ['\"`]?system"
    r"|\brole:? ['\"`]?system['\"`]?.{0,40}(not|un)[ -]?(support|allow|valid)"
    r"|developer instruction is not enabled",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"roles? must alternate|must alternate between|alternat\w+ (user|roles)|unexpected role|message_order"
    r"|expected last role|(first|last) (non-system )?(message|role) (must|should)"
    r"|must (start|begin|end) with an? (user|message)|message prefill",
    re.IGNORECASE,
)
_REASONING = "reasoning_content"
_UNWANTED = (
    r"(unsupported|not (be )?(supported|permitted|allowed|accepted)|unexpected|unknown|unrecogni[sz]ed"
    r"|extra|forbidden|invalid (field|property|argument|key))"
)
_NO_REASONING = re.compile(
    rf"{_REASONING}.{{0,80}}{_UNWANTED}|{_UNWANTED}.{{0,80}}{_REASONING}", re.IGNORECASE | re.DOTALL
)
_MORE_REASONING = re.compile(
    rf"{_REASONING}.{{0,80}}(must|missing|required|passed back)"
    rf"|(missing|requires?|must).{{0,80}}{_REASONING}",
    re.IGNORECASE | re.DOTALL,
)
_SIGNATURE = re.compile(
    r"(invalid|bad|mismatch\w*|corrupt\w*|failed).{0,40}\b(thought.?)?signature"
    r"|thinking.{0,80}cannot be modified"
    r"|thinking[._ ]?blocks?\b.{0,40}(invalid|not (supported|permitted))",
    re.IGNORECASE | re.DOTALL,
)


_DESCRIPTION = re.compile(
    r"description.{0,160}?\b(?:max\w*|at most|limit\w*|exceeds?)\D{0,40}(?P<most>\d{3,5})\b",
    re.IGNORECASE | re.DOTALL,
)


_REFUSALS = frozenset({"request", "transient", "permanent"})


def learned(quirks: ModelQuirks, error: ModelError) -> ModelQuirks | None:
    """Return the quirks with the one that a refusal shows; None if it shows nothing new."""
    words = error.detail
    if error.kind not in _REFUSALS or not words:
        return None
    replace = msgspec.structs.replace
    if not quirks.description and (found := _DESCRIPTION.search(words)):
        return replace(quirks, description=int(found["most"]))
    if not quirks.no_system and _SYSTEM.search(words):
        return replace(quirks, no_system=True)
    if not quirks.reasoning and _NO_REASONING.search(words):
        return replace(quirks, reasoning="drop")
    if not quirks.reasoning and _MORE_REASONING.search(words):
        return replace(quirks, reasoning="fill")
    if not quirks.no_thoughts and _SIGNATURE.search(words):
        return replace(quirks, no_thoughts=True)
    if not quirks.strict and is_about_order(error):
        return replace(quirks, strict=True)
    return None


def is_about_order(error: ModelError) -> bool:
    """Whether a refusal is about the order of the messages."""
    return bool(_ORDER.search(error.detail))


_PATH = re.compile(
    r"\b(?:function_?declarations|functionDeclarations|tools)\s*[.\[]\s*(\d+)", re.IGNORECASE
)
_DECLARATION = re.compile(r"\bfunction_?declarations\s*[.\[]\s*(\d+)", re.IGNORECASE)
_IN_MESSAGES = re.compile(
    r"\b(messages|contents?)\s*[.\[]\s*\d+|content block|thought_?signature|tool_call_id"
    r"|tool_use\b|tool_result",
    re.IGNORECASE,
)
"""A refusal of the conversation may also name a tool, one that was called."""
_ABOUT_TOOLS = re.compile(r"tool|function|schema|declaration|parameter", re.IGNORECASE)
_ABOUT_SCHEMAS = re.compile(
    r"(tool|function)\w*\b.{0,80}\b(schema|parameters?)\b|\bschema\b.{0,80}\b(tool|function)|input_schema"
    r"|function_?declarations|json schema is invalid|(pars|convert|compil)\w*.{0,40}\b(grammar|schema)",
    re.IGNORECASE | re.DOTALL,
)
_MOST_NAMED = 3


def refused_tools(error: ModelError, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
    """Return the tools that a refusal is about, found by name or by position."""
    words = error.detail
    if error.kind not in _REFUSALS or not _ABOUT_TOOLS.search(words):
        return []
    if _IN_MESSAGES.search(words) and not _PATH.search(words):
        return []
    named = [tool for tool in tools if re.search(rf"(?<![\w-]){re.escape(tool.name)}(?![\w-])", words)]
    if 0 < len(named) <= _MOST_NAMED:
        return named
    places = {int(at) for at in _DECLARATION.findall(words) or _PATH.findall(words)}
    return [tools[at] for at in sorted(places) if at < len(tools)]


def is_about_schemas(error: ModelError) -> bool:
    """Whether a refusal is about the schema of a tool it does not name."""
    return error.kind in _REFUSALS and bool(_ABOUT_SCHEMAS.search(error.detail))


class RefusedTools:
    """The tools that one model refused. A tool whose definition changed is offered again.

    `on_refused` gets the model, the tool and the provider's words.
    """

    def __init__(self, model: str, on_refused: Callable[[str, str, str], None] | None) -> None:
        self._model = model
        self._on_refused = on_refused
        self._known: set[tuple[str, str]] = set()

    def without(self, request: ModelRequest) -> ModelRequest:
        """Return the request without the refused tools."""
        if not self._known:
            return request
        kept = tuple(tool for tool in request.tools if _identity(tool) not in self._known)
        return request if len(kept) == len(request.tools) else msgspec.structs.replace(request, tools=kept)

    def add(self, tools: Sequence[ToolSpec], words: str) -> None:
        """Leave tools out from now on, and report each."""
        for tool in tools:
            self._known.add(_identity(tool))
            if self._on_refused is not None:
                self._on_refused(self._model, tool.shown, words)


def _identity(tool: ToolSpec) -> tuple[str, str]:
    return tool.name, json.dumps([tool.description, tool.parameters], sort_keys=True, default=str)
