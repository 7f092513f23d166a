"""Searches the app's own log and its rotated files: bytes are compared; only what is found is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

_UNICODE = re.compile(r"\\u([0-9a-f]{4})")
_KNOWN = ("timestamp", "level", "event", "logger")
_MOST_BYTES = 32_000_000
"""Bytes of one file that are read, its last ones; it is rotated long before."""


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """One line. `at` is its time in ISO 8601 in UTC, `facts` what it tells besides, `text` all of it."""

    at: str
    level: str
    event: str
    facts: tuple[tuple[str, str], ...]
    text: str


def search_log(path: Path, words: str, skip: int, limit: int) -> tuple[list[LoggedLine], bool]:
    """Return lines that have every word, the newest first, and whether there are more. Blocks.

    `skip`: how many of them were read before. A file that cannot be read counts as empty.
    """
    wanted = words.casefold().split()
    found = (line for line in _lines(path) if _has(line, wanted))
    page = list(islice(found, skip, skip + limit + 1))
    return [_parsed(line) for line in page[:limit]], len(page) > limit


def _has(line: bytes, words: list[str]) -> bool:
    if not all(word.encode() in line.lower() for word in words if word.isascii()):
        return False
    others = [word for word in words if not word.isascii()]  # the line has them escaped
    text = _UNICODE.sub(_unescaped, line.decode("utf-8", "replace")).casefold() if others else ""
    return all(word in text for word in others)


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a log, the newest first, those of its rotated files after them."""
    number = 0
    while (file := path.with_name(f"{path.name}.{number}") if number else path).exists() or not number:
        try:
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - _MOST_BYTES))
                data = opened.read(_MOST_BYTES)
        except OSError:
            data = b""
        yield from (line for line in reversed(data.split(b"\n")) if line.strip())
        number += 1


def _parsed(line: bytes) -> LoggedLine:
    """Return a line; one that is torn, or not ours, is shown as it is."""
    text = line.decode("utf-8", "replace")
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return LoggedLine("", "", text, (), text)
    facts = tuple((name, _short(value)) for name, value in fields.items() if name not in _KNOWN)
    at, level, event = (str(fields.get(name, "")) for name in _KNOWN[:3])
    return LoggedLine(at, level, event, facts, text)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
