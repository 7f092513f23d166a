"""Exact arguments as values: numbers keep their digits and objects their repeated keys.

What a person approves must be what is sent.
"""

from __future__ import annotations

import json
from typing import NamedTuple, TypeAlias

from omni_tui.face.approval.visible import has_invisible, visible
from omni_tui.protocol import JsonText, SafeText
from omni_tui.security.text import safe_line

MAX_DEPTH = 100
"""Levels of nesting that are read; anything deeper is shown as text."""


class JsonLiteral(str):
    """A number, `true`, `false` or `null`, written as it will be sent."""


class OwnLabel(str):
    """A label of the app in place of a key, never quoted."""


class JsonObject(list[tuple[str, "JsonValue"]]):
    """An object with its keys in order, repeated ones included."""


JsonValue: TypeAlias = "str | JsonLiteral | JsonObject | list[JsonValue]"


class TextEdit(NamedTuple):
    """An object with the shape of an edit: its two texts with their keys, and what else it holds."""

    old_key: str
    old: str
    new_key: str
    new: str
    rest: JsonObject


_EDITS = (
    ("oldText", "newText"),
    ("old_text", "new_text"),
    ("old_string", "new_string"),
    ("old_str", "new_str"),
    ("old", "new"),
    ("search", "replace"),
    ("before", "after"),
)
_MATTERS = [
    "path",
    "file",
    "file_path",
    "filename",
    "uri",
    "url",
    "command",
    "cmd",
    "query",
    "sql",
    "pattern",
]


def parse(text: JsonText) -> JsonObject | None:
    """Return the arguments, None if the text is not a complete JSON object or is nested too deep."""
    try:
        value = _plain(
            json.loads(
                text,
                parse_int=JsonLiteral,
                parse_float=JsonLiteral,
                parse_constant=JsonLiteral,
                object_pairs_hook=JsonObject,
            )
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, JsonObject) else None


def _plain(value: object, depth: int = 0) -> JsonValue:
    """Replace true, false and null by their spelling. Raises `RecursionError` beyond `MAX_DEPTH`."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, JsonObject):
        return JsonObject((key, _plain(item, depth + 1)) for key, item in value)
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, str):
        return value
    return JsonLiteral(json.dumps(value))


def spell(value: JsonValue, *, ascii_only: bool = False) -> str:
    """Return a value as JSON on one line; only with `ascii_only` it is safe to show."""
    if isinstance(value, JsonLiteral):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=ascii_only)
    if isinstance(value, JsonObject):
        members = (
            f"{json.dumps(k, ensure_ascii=ascii_only)}: {spell(v, ascii_only=ascii_only)}" for k, v in value
        )
        return "{" + ", ".join(members) + "}"
    return "[" + ", ".join(spell(item, ascii_only=ascii_only) for item in value) + "]"


def spell_lines(value: JsonValue, indent: str = "", *, ascii_only: bool = False) -> list[str]:
    """Return a value as JSON over several lines, two spaces a level; see `spell`."""
    if isinstance(value, str) or not value:
        return [indent + spell(value, ascii_only=ascii_only)]
    pairs = isinstance(value, JsonObject)
    lines = [indent + ("{" if pairs else "[")]
    for number, member in enumerate(value):
        comma = "," if number < len(value) - 1 else ""
        key, inner = member if isinstance(member, tuple) else ("", member)
        block = spell_lines(inner, indent + "  ", ascii_only=ascii_only)
        if pairs:
            block[0] = f"{indent}  {json.dumps(key, ensure_ascii=ascii_only)}: {block[0].lstrip()}"
        block[-1] += comma
        lines += block
    return [*lines, indent + ("}" if pairs else "]")]


def exact_text(value: JsonValue) -> str:
    """Return a value exactly as sent, in printable ASCII."""
    return spell(value, ascii_only=True)


def shows_differently(value: JsonValue) -> bool:
    """Return whether the value looks different from what is sent, because something invisible is in it."""
    if isinstance(value, str):
        return has_invisible(value)
    if isinstance(value, JsonObject):
        return any(has_invisible(key) or shows_differently(item) for key, item in value)
    return any(shows_differently(item) for item in value)


def edit_in(value: JsonValue) -> TextEdit | None:
    """Return an object with the shape of an edit as one, None for anything else."""
    if not isinstance(value, JsonObject):
        return None
    table = dict(value)
    for old, new in _EDITS:
        before, after = table.get(old), table.get(new)
        if type(before) is str and type(after) is str and len(table) == len(value):
            rest = JsonObject((k, v) for k, v in value if k not in (old, new))
            return TextEdit(old, before, new, after, rest)
    return None


def edits_in(value: JsonValue) -> list[TextEdit]:
    """Return the edits of a list of edits, [] for anything else."""
    if not isinstance(value, list) or isinstance(value, JsonObject):
        return []
    found = [edit_in(item) for item in value]
    return [item for item in found if item is not None] if all(found) else []


def main_argument(arguments: JsonObject | None) -> SafeText:
    """Return the argument that says most, on one line."""
    if not arguments:
        return SafeText("")
    table = dict(arguments)
    name = next((name for name in _MATTERS if type(table.get(name)) is str), None)
    if name is None:
        name = next((key for key, value in arguments if type(value) is str and value), None)
    value = table[name] if name is not None else arguments[0][1]
    text = value if type(value) is str else spell(value)
    return safe_line(visible(text[:400], lines=True), limit=200)
