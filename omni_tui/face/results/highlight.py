"""Colours of JSON, one line at a time. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))'
    r'|(?P<text>"(?:[^"\\]|\\.)*"?)'
    r"|(?P<value>-?[0-9][0-9.eE+-]*|true\b|false\b|null\b)"
    r"|(?P<mark>[\[\]{}:,]+)"
)


@lru_cache(maxsize=2000)
def json_spans(line: str) -> tuple[tuple[int, int, str], ...]:
    """Cut a line of laid-out JSON into (start, end, look); together they are the whole line."""
    made: list[tuple[int, int, str]] = []
    here = 0
    for token in _TOKEN.finditer(line):
        if token.start() > here:
            made.append((here, token.start(), "text"))
        made.append((token.start(), token.end(), token.lastgroup or "text"))
        here = token.end()
    if here < len(line):
        made.append((here, len(line), "text"))
    return tuple(made)
