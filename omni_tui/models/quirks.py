"""What a model was found to need, beyond what its provider's name tells: learned from its refusals.

A refusal that can be helped by sending the same words in another form is helped once, and what helped is
kept. Each thing is learned at most once, so nothing goes round in circles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from omni_tui.models.base import ModelError, ModelRequest, ToolSpec


class ModelQuirks(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one model at one address.

    `window` are the tokens it takes (0: not known), `no_system` whether it refuses a system prompt,
    `strict` whether it insists on the order of roles, `no_thoughts` whether it refused its own signed
    thoughts, `bare_tools` whether schemas of tools are only taken in their simplest form, `description`
    the most characters of a tool's description (0: not known). `reasoning`: "fill" where it wants some
    of every answer, "drop" where it takes none.
    """

    window: int = 0
    no_system: bool = False
    strict: bool = False
    no_thoughts: bool = False
    reasoning: Literal["", "fill", "drop"] = ""
    bare_tools: bool = False
    description: int = 0


class QuirkStore(Protocol):
    """Where the habits of models are kept. Usable from any thread; never raises."""

    def habits(self, model: str) -> ModelQuirks:
        """Return what is known of a model."""
        ...

    def learn(self, model: str, habits: ModelQuirks) -> None:
        """Keep what is known of a model now."""
        ...


class InMemoryQuirks:
    """Habits that are known until the end of the process."""

    def __init__(self) -> None:
        self._known: dict[str, ModelQuirks] = {}

    def habits(self, model: str) -> ModelQuirks:
        """Return what was found out since the start."""
        return self._known.get(model, ModelQuirks())

    def learn(self, model: str, habits: ModelQuirks) -> None:
        """Keep it until the end."""
        self._known[model] = habits


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


def learned(habits: ModelQuirks, error: ModelError) -> ModelQuirks | None:
    """Return the habits with what a refusal teaches; None where it teaches nothing new."""
    words = error.detail
    if error.kind not in ("request", "transient", "permanent") or not words:
        return None
    replace = msgspec.structs.replace
    if not habits.description and (found := _DESCRIPTION.search(words)):
        return replace(habits, description=int(found["most"]))
    if not habits.no_system and _SYSTEM.search(words):
        return replace(habits, no_system=True)
    if not habits.reasoning and _NO_REASONING.search(words):
        return replace(habits, reasoning="drop")
    if not habits.reasoning and _MORE_REASONING.search(words):
        return replace(habits, reasoning="fill")
    if not habits.no_thoughts and _SIGNATURE.search(words):
        return replace(habits, no_thoughts=True)
    if not habits.strict and is_about_order(error):
        return replace(habits, strict=True)
    return None


def is_about_order(error: ModelError) -> bool:
    """Whether a provider refused the order of the messages."""
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
