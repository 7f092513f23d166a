"""Drawing what a server wants a model to be asked: the limits, the system prompt, every message.

The request is in the words of the specification (MCP, `sampling/createMessage`). What has no place of
its own here is drawn as it is, so that nothing goes to the model unseen.
"""

from __future__ import annotations

from textual.content import Content

from omni_tui.face.approval.argument_lines import argument_lines
from omni_tui.face.approval.values import JsonLiteral, JsonObject, JsonValue, OwnLabel, spell

_LIMITS = {"maxTokens": "most tokens", "temperature": "temperature", "stopSequences": "stops at"}
_BINARY = ("image", "audio")
_ROLES = ("user", "assistant")


def request_lines(request: JsonObject, width: int) -> list[Content]:
    """Return the whole request as lines that fit the width."""
    known = (*_LIMITS, "systemPrompt", "messages")
    limits = JsonObject((OwnLabel(_LIMITS[key]), value) for key, value in request if key in _LIMITS)
    rest = JsonObject((key, value) for key, value in request if key not in known)
    lines = [*argument_lines(limits, width), *argument_lines(rest, width)]
    for key, value in request:
        if key == "systemPrompt":
            lines += _part(JsonObject([("system", value)]), width)
    for key, value in request:
        if key == "messages":
            lines += _part(messages(value), width)
    return lines


def _part(pairs: JsonObject, width: int) -> list[Content]:
    return [Content(""), *argument_lines(pairs, width)] if pairs else []


def messages(value: JsonValue) -> JsonObject:
    """Return each piece of each message under its number and role."""
    if isinstance(value, str | JsonObject):
        return JsonObject([("messages", value)])
    found = JsonObject()
    for number, message in enumerate(value, 1):
        table = dict(message) if isinstance(message, JsonObject) else {}
        role, content = table.get("role", ""), table.get("content", "")
        if not isinstance(role, str) or len(message) != 2 or set(table) != {"role", "content"}:
            found.append((OwnLabel(f"{number} message"), message))
            continue
        name = f"{number} {role}"
        name = OwnLabel(name) if role in _ROLES else name
        pieces = [content] if isinstance(content, str | JsonObject) else content
        found.extend((name, _piece(piece)) for piece in pieces)
        if not pieces:
            found.append((name, content))
    return found


def _piece(piece: JsonValue) -> JsonValue:
    """Return a text as it is, a picture or a sound as its kind and size, anything else whole."""
    if not isinstance(piece, JsonObject):
        return piece
    table = dict(piece)
    kind, text, data = table.get("type"), table.get("text"), table.get("data")
    if kind == "text" and type(text) is str and len(piece) == len(table) == 2:
        return text
    if kind in _BINARY and type(data) is str and len(piece) == len(table):
        rest = JsonObject((key, value) for key, value in piece if key not in ("type", "data"))
        return JsonLiteral(f"{kind}, {len(data):,} characters of base64, {spell(rest)}")
    return piece
