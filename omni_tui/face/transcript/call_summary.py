"""A call's arguments and results in few words, what matters most first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from rich.cells import cell_len

from omni_tui.face.cells import fit
from omni_tui.face.formats import format_size
from omni_tui.protocol.events import ContentPart
from omni_tui.security.text import safe, safe_line

_FIRST = (
    "query pattern regex search path paths file filename file_path filepath uri url name id key title "
    "command cmd text message prompt repo repo_path branch source destination from to a b"
)
_RANK = {name: rank for rank, name in enumerate(_FIRST.split())}
_BARE = frozenset({"path", "file", "filename", "file_path", "filepath", "uri", "url"})
_ROOM_FOR_NAMES = 34
_LONGEST_VALUE = 48
_PREVIEW = 4_000
_OFF = 2


def arguments_of(preview: str) -> dict[str, object] | None:
    """Return the arguments of a preview as values, None if it is cut or is no JSON object."""
    try:
        value = json.loads(preview)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def arguments_line(preview: str, width: int) -> str:
    """Return the most important arguments in at most `width` cells, as `key="value"` or the value alone."""
    values = arguments_of(preview)
    if values is None:
        return fit(safe_line(" ".join(preview[:_PREVIEW].split()), limit=_PREVIEW, joined=True), width)
    said = [key for key in values if _weight(values[key]) < _OFF] or list(values)
    keys = sorted(said, key=lambda key: (_RANK.get(key, len(_RANK)), _weight(values[key])))
    named = " ".join(_pair(key, values[key], _LONGEST_VALUE) for key in keys[:8])
    if len(keys) <= 8 and cell_len(named) <= width:
        return named
    return _squeezed(values, keys, width)


def _squeezed(values: dict[str, object], keys: Sequence[str], width: int) -> str:
    """Return as many arguments as fit, a leading path without its name, and the number of the others."""
    shown: list[str] = []
    for left, key in enumerate(keys):
        rest = len(keys) - left
        more = f" +{rest - 1}" if rest > 1 else ""
        used = sum(cell_len(part) + 1 for part in shown)
        room = width - used - cell_len(more)
        bare = not shown and key in _BARE and width < _ROOM_FOR_NAMES
        piece = (_value if bare else partial(_pair, key))(values[key], max(8, room))
        if cell_len(piece) > room:
            if not shown:
                shown.append(fit(piece, max(1, room)) + more)
            elif used + cell_len(f"+{rest}") <= width:
                shown.append(f"+{rest}")
            break
        shown.append(piece)
    return fit(" ".join(shown), width)


def _pair(key: str, value: object, room: int) -> str:
    name = safe_line(key, limit=40)
    if isinstance(value, str):
        return f'{name}="{_value(value, max(4, room - cell_len(name) - 3))}"'
    return f"{name}={_value(value, max(4, room - cell_len(name) - 1))}"


def _value(value: object, room: int) -> str:
    match value:
        case str():
            return fit(safe_line(value[: room * 4], limit=room * 4, joined=True), min(room, _LONGEST_VALUE))
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case list() | dict():
            return str(len(value))
        case _:
            return fit(safe_line(str(value), limit=60, joined=True), room)


def _weight(value: object) -> int:
    """Rank plain values before lists and objects, and these before empty ones."""
    if value is None or value is False or value == "" or value == [] or value == {}:
        return _OFF
    return 1 if isinstance(value, (list, dict)) else 0


def result_text(parts: Sequence[ContentPart]) -> str:
    """Return the parts of a result as one text, with structured content only if there is nothing else."""
    plain = [part for part in parts if part.kind != "structured"] or list(parts)
    return "\n".join(_part(part) for part in plain)


def _part(part: ContentPart) -> str:
    match part.kind:
        case "image" | "audio":
            return f"▣ {part.mime or part.kind}, {format_size(part.size)}"
        case "link":
            return " ".join(filter(None, ("↗", part.uri, part.text)))
        case "resource":
            return part.text or f"▤ {part.uri or part.mime}, {format_size(part.size)}"
        case _:
            return part.text


def first_rows(text: str, width: int, rows: int = 2) -> tuple[list[str], int]:
    """Return the beginning of a text in at most `rows` rows, and how many of its lines are left out.

    Short lines share a row, two spaces apart.
    """
    lines = [line.strip() for line in text[:_PREVIEW].split("\n") if line.strip()]
    total = len(lines) + sum(1 for line in text[_PREVIEW:].split("\n") if line.strip())
    if text.lstrip()[:1] in ("{", "["):
        lines, total = [" ".join(lines)], 1
    out: list[str] = []
    taken = 0
    for line in lines:
        if out and cell_len(out[-1]) + 2 + cell_len(line[: width * 2]) <= width:
            out[-1] += "  " + line
        elif len(out) < rows:
            out.append(fit(line, width))
        else:
            break
        taken += 1
    return out, total - taken


def pretty(text: str) -> tuple[str, str]:
    """Return a text and its language: JSON indented, a diff, or any other text as it is with ""."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text, ""
        indented = json.dumps(value, indent=2, ensure_ascii=False)
        return safe(indented, limit=max(64_000, len(text) * 4)), "json"
    if text.startswith(("diff --git ", "--- ", "@@ ")):
        return text, "diff"
    return text, ""
