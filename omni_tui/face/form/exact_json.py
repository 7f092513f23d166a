"""JSON that keeps numbers as they were written: what is shown and sent is what was typed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from omni_tui.protocol import JsonText
from omni_tui.security.text import count_hidden

MAX_DEPTH = 100
"""Deepest nesting that is read; deeper documents are refused."""


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A JSON number as text: `1.10` stays `1.10`, and a thousand digits stay a thousand digits."""

    text: str


Json: TypeAlias = "bool | JsonNumber | str | list[Json] | dict[str, Json] | None"
Quote: TypeAlias = Callable[[str], str]


class NotJson(ValueError):
    """A text that is not a JSON document that can be sent.

    `line` and `column` count from 1; both are 0 if the place is not known.
    """

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{what} (line {line}, column {column})" if line else what)
        self.what = what
        self.line = line
        self.column = column


def parse(text: str) -> Json:
    """Read one JSON document. Raises `NotJson`, also for a key that is twice in one object."""
    try:
        value: Json = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(error.msg[:1].lower() + error.msg[1:], error.lineno, error.colno) from None
    except RecursionError:
        raise NotJson(f"nested deeper than {MAX_DEPTH} levels") from None
    if _deeper_than(value, MAX_DEPTH):
        raise NotJson(f"nested deeper than {MAX_DEPTH} levels")
    return value


def ascii_json(value: Json) -> JsonText:
    """Return compact JSON in printable ASCII, numbers as they were written."""
    parts: list[str] = []
    _write(value, parts, json.dumps, None, 0)
    return JsonText("".join(parts))


def pretty(value: Json) -> str:
    """Return JSON with an indent of 2; invisible characters are escaped."""
    parts: list[str] = []
    _write(value, parts, string_literal, 2, 0)
    return "".join(parts)


def string_literal(text: str) -> str:
    """Return a text as a JSON string; invisible characters are escaped."""
    return escape_hidden(json.dumps(text, ensure_ascii=False))


def escape_hidden(document: str) -> str:
    """Return the same JSON document with `\\uXXXX` for every invisible character."""
    if not count_hidden(document):
        return document
    hidden = (c for c in set(document) - {"\n", "\t"} if count_hidden(c))
    return document.translate({ord(c): json.dumps(c)[1:-1] for c in hidden})


def _write(value: Json, parts: list[str], quote: Quote, indent: int | None, level: int) -> None:
    if isinstance(value, dict):
        rows = [(quote(key) + (": " if indent else ":"), item) for key, item in value.items()]
        _write_rows(rows, "{}", parts, quote, indent, level)
    elif isinstance(value, list):
        _write_rows([("", item) for item in value], "[]", parts, quote, indent, level)
    elif isinstance(value, JsonNumber):
        parts.append(value.text)
    elif isinstance(value, str):
        parts.append(quote(value))
    else:
        parts.append({None: "null", True: "true", False: "false"}[value])


def _write_rows(
    rows: Sequence[tuple[str, Json]],
    brackets: str,
    parts: list[str],
    quote: Quote,
    indent: int | None,
    level: int,
) -> None:
    inner = "\n" + " " * (indent * (level + 1)) if indent and rows else ""
    parts.append(brackets[0])
    for number, (head, item) in enumerate(rows):
        parts.append(("," if number else "") + inner + head)
        _write(item, parts, quote, indent, level + 1)
    parts.append(("\n" + " " * (indent * level) if indent and rows else "") + brackets[1])


def _deeper_than(value: Json, limit: int) -> bool:
    layer: list[Json] = [value]
    for _ in range(limit + 1):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not layer:
            return False
    return True


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise NotJson(f"the key {string_literal(twice[:80])} is there twice")
    return made


def _constant(name: str) -> Json:
    raise NotJson(f"{name} is not JSON")


_decoder = json.JSONDecoder(
    parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=_constant, object_pairs_hook=_object
)
