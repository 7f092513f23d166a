"""What the tiny local model is asked. It reads little and follows less, so every question is small.

Its template knows no tools, so a call is made in two questions, each answered in JSON that cannot be
otherwise: which of a few tools, then the values of that one. Texts and numbers can only be copied out
of the request: what it would make up, it cannot say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from omni_tui.models._request_interpreter import bare
from omni_tui.models.attachments import without_attachments
from omni_tui.models.base import Message, ToolSpec
from omni_tui.models.provider_schema import for_provider
from omni_tui.models.ranker import word_set, words

ANSWER = "answer"
CANDIDATES = 5
"""Tools it chooses among."""

_REQUEST_BYTES = 700
_BEFORE_BYTES = 160
_BEFORE = 4
_RESULT_BYTES = 600
"""Bytes, since a token is a byte at worst: whatever is sent fits its window of 2,048 tokens."""

_MOST_WORDS = 30
_LONGEST_SPAN = 8
_EDGES = " \t\n\"'“”‘’«».,;:!?()"
_NUMBER = re.compile(r"(?<![\w.])-?[0-9]{1,15}(?:\.[0-9]{1,15})?(?![\w]|\.[0-9])")
_KEPT = word_set("type enum const properties required items anyOf minimum maximum minItems maxItems")
_SYSTEM = "You are a helpful assistant. Answer in one or two short sentences."
_EXAMPLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Send a mail to Ann saying see you at noon", "send_mail", {"to": "Ann", "body": "see you at noon"}),
    ("Remove the folder holidays", "remove_folder", {"name": "holidays"}),
    ("Multiply 4 by 12", "multiply", {"x": 4, "y": 12}),
    (
        "Create a page named plans with the words buy paint",
        "create_page",
        {"name": "plans", "text": "buy paint"},
    ),
)


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` bytes: three quarters from its head, the rest from its tail."""
    data = text.encode(errors="replace")
    if len(data) <= most:
        return text
    head, tail = most * 3 // 4, most - most * 3 // 4 - 5
    return f"{data[:head].decode(errors='ignore')} … {data[-tail:].decode(errors='ignore')}"


def request_of(message: Message) -> str:
    """Return what a person said, without what was attached to it, cut to what the model reads."""
    return cut(" ".join(without_attachments(message.text).split()), _REQUEST_BYTES)


# --- which tool -------------------------------------------------------------------------------


def aliases(tools: Sequence[ToolSpec]) -> dict[str, ToolSpec]:
    """Return tools by short names of their own; none is called as the way out is."""
    found: dict[str, ToolSpec] = {}
    for tool in tools:
        short = bare(tool.name)[:40]
        taken = short in found or short == ANSWER
        found[tool.name if taken else short] = tool
    return found


def which_tool(request: str, tools: Mapping[str, ToolSpec]) -> dict[str, Any]:
    """Ask for one of the tools, or to answer without any."""
    lines = "\n".join(f"{name}: {cut(_first_line(tool), 80)}" for name, tool in tools.items())
    asked = (
        f"Tools:\n{lines}\n{ANSWER}: Reply in words. No tool is needed.\n\n"
        f"Request: {cut(request, 500)}\n\nWhich tool?"
    )
    return {
        "messages": [
            {"role": "system", "content": "You choose the one tool that does what the user asks."},
            {"role": "user", "content": asked},
        ],
        "max_tokens": 48,
        "temperature": 0,
        "schema": _object({"tool": {"type": "string", "enum": [*tools, ANSWER]}}),
    }


# --- its arguments ----------------------------------------------------------------------------


def wanted(tool: ToolSpec, request: str) -> dict[str, Any]:
    """Return the schema of the arguments to ask for: those required, and those the request names."""
    whole = for_provider(tool.parameters)
    said = set(words(request))
    required = whole.get("required", [])
    properties = {
        key: _slim(schema)
        for key, schema in whole["properties"].items()
        if key in required or said & set(words(key))
    }
    found: dict[str, list[Any]] = {"text": list(spans(request)), "number": list(numbers(request))}
    found["integer"] = [number for number in found["number"] if isinstance(number, int)]
    copied = {
        key: {"$ref": f"#/$defs/{kind}"} if found.get(kind := _kind(each)) else each
        for key, each in properties.items()
    }
    return {**_object(copied), "$defs": {kind: {"enum": said} for kind, said in found.items() if said}}


def its_arguments(request: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Ask for a tool's arguments, by examples; a question put that way it goes on with best."""
    shots = "".join(
        _shot(asked, tool, values) + json.dumps(values) + "\n\n" for asked, tool, values in _EXAMPLES
    )
    return {
        "prompt": shots + _shot(cut(request, 600), name, schema["properties"]),
        "max_tokens": 160,
        "temperature": 0,
        "schema": schema,
    }


def _shot(request: str, tool: str, keys: Mapping[str, Any]) -> str:
    return f"Request: {request}\nTool: {tool}({', '.join(keys)[:200]})\nArguments: "


def _slim(schema: Any) -> dict[str, Any]:
    """Return what of a schema the runtime surely makes a grammar of; the rest is checked afterwards."""
    if not isinstance(schema, Mapping):
        return {}
    slim: dict[str, Any] = {key: value for key, value in schema.items() if key in _KEPT}
    if isinstance(slim.get("properties"), Mapping):
        slim["properties"] = {key: _slim(value) for key, value in slim["properties"].items()}
    if "items" in slim:
        slim["items"] = _slim(slim["items"])
    if isinstance(slim.get("anyOf"), list):
        slim["anyOf"] = [_slim(each) for each in slim["anyOf"]]
    return slim


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what is copied for a value of this schema, "" if its schema says itself what it may be."""
    kind = schema.get("type")
    if not isinstance(kind, str) or "enum" in schema or "const" in schema:
        return ""
    return "text" if kind == "string" else kind


def numbers(request: str) -> list[int | float]:
    """Return the numbers that a request names in digits."""
    found = (float(each) if "." in each else int(each) for each in _NUMBER.findall(request))
    return list(dict.fromkeys(found))


def spans(request: str) -> list[str]:
    """Return what can be copied out of a request: runs of its words, and whatever runs to its end."""
    places = [(found.start(), found.end()) for found in re.finditer(r"\S+", request)]
    if len(places) > _MOST_WORDS:
        return []
    found: dict[str, None] = {}
    for at, (start, _) in enumerate(places):
        for last in range(at, len(places)):
            if last - at < _LONGEST_SPAN or last == len(places) - 1:
                found[request[start : places[last][1]].strip(_EDGES)] = None
    return [text for text in found if text]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _first_line(tool: ToolSpec) -> str:
    return tool.description.strip().partition("\n")[0]


# --- words ------------------------------------------------------------------------------------


def words_on(messages: Sequence[Message], own: str, most: int, temperature: float) -> dict[str, Any]:
    """Ask for an answer in words to the end of a conversation; `own` is a system prompt not ours."""
    said = [message for message in messages if message.role != "tool" and message.text.strip()]
    turns = [
        {"role": message.role, "content": cut(without_attachments(message.text), _BEFORE_BYTES)}
        for message in said[-_BEFORE - 1 : -1]
    ]
    last = [{"role": message.role, "content": request_of(message)} for message in said[-1:]]
    system = cut(own, 200) if own else _SYSTEM
    return {
        "messages": [{"role": "system", "content": system}, *turns, *last],
        "max_tokens": most,
        "temperature": temperature,
    }


def words_on_result(request: str, result: str, temperature: float) -> dict[str, Any]:
    """Ask what a result means for a request."""
    shown = f"Question: {cut(request, 400)}\nResult: {cut(result, _RESULT_BYTES)}"
    asked = f"{shown}\n\nSay the result in one sentence."
    return {
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}],
        "max_tokens": 60,
        "temperature": temperature,
    }
