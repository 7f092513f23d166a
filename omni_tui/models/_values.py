"""Values in plain words: numbers (written as digits or words), and texts bent to a schema's type."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omni_tui.models.ranker import stem, words

Schema = Mapping[str, Any]

_DESTROYS = frozenset(map(stem, ("delete", "remove", "drop", "erase", "kill", "purge", "destroy", "wipe")))
_LOW = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_UNITS = tuple(_LOW.split())
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDED = {word: value for value, word in enumerate(_UNITS)} | {
    word: 20 + 10 * at for at, word in enumerate(_TENS)
}
_NUMBER = re.compile(
    r"(?<![\w.])(?P<digits>-?\d+(?:,\d{3})*(?:\.\d+)?)(?![\w]*__)"
    rf"|\b(?P<tens>{'|'.join(_TENS)})[ -](?P<ones>{'|'.join(_UNITS[1:10])})\b"
    rf"|\b(?P<word>{'|'.join(sorted(_WORDED, key=len, reverse=True))})\b",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"\s*(?:s|secs?|seconds?)\b", re.IGNORECASE)


@dataclass(slots=True)
class NumberInText:
    """A number in a text, where it stands, and whether it counts seconds."""

    value: int | float
    start: int
    end: int
    seconds: bool


def coerce(raw: str, schema: Schema, *, exact: bool = False) -> Any:
    """Return a text as a value of the schema's type; None where it is not one.

    A number may stand in words around it, unless `exact`.
    """
    text, kind = raw.strip(), kind_of(schema)
    options = schema.get("enum")
    if isinstance(options, list):
        return next((option for option in options if str(option).lower() == text.lower()), None)
    if kind == "boolean":
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(
            text.lower()
        )
    if kind in ("number", "integer"):
        found = [n for n in read_numbers(text) if fits(n.value, schema)]
        if exact:
            found = [n for n in found if (n.start, n.end) == (0, len(text))]
        return found[0].value if found else None
    if kind in ("array", "object"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return [part.strip() for part in text.split(",")] if kind == "array" and text else None
        return value if isinstance(value, list if kind == "array" else dict) else None
    return text or None


def plain(schema: Schema) -> Schema:
    """Return a schema's first alternative that is not null, else the schema."""
    for word in ("anyOf", "oneOf"):
        options = schema.get(word)
        if isinstance(options, list):
            for option in options:
                if isinstance(option, dict) and option.get("type") != "null":
                    return {**schema, **option}
    return schema


def kind_of(schema: Schema) -> str:
    """Return the schema's type; of several the first that is not null; "" if it has none."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "")
    return kind if isinstance(kind, str) else ""


def is_destructive(name: str) -> bool:
    """Whether a tool's name says that it destroys something."""
    return not {
        "delet",
        "delete",
        "remove",
        "remov",
        "drop",
        "eras",
        "erase",
        "kill",
        "purg",
        "purge",
    }.isdisjoint(words(name))


def read_numbers(text: str) -> list[NumberInText]:
    """Return the numbers of a text in order."""
    found: list[NumberInText] = []
    for match in _NUMBER.finditer(text):
        value: int | float
        if match["digits"]:
            digits = match["digits"].replace(",", "")
            value = float(digits) if "." in digits else int(digits)
        elif match["tens"]:
            value = _WORDED[match["tens"].lower()] + _WORDED[match["ones"].lower()]
        else:
            value = _WORDED[match["word"].lower()]
        found.append(NumberInText(value, *match.span(), _SECONDS.match(text, match.end()) is not None))
    return found


def fits(value: float, schema: Schema) -> bool:
    """Whether a number is whole where the schema wants that."""
    return kind_of(schema) != "integer" or float(value).is_integer()
