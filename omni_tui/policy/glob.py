"""Globs of `*` and `?`: they match a whole name, by case, in time that grows with its length only.

Names and patterns are compared in Unicode's composed form (NFC).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LONGEST_PATTERN = 500
"""Characters of a glob in a rule."""


def composed(text: str) -> str:
    """Return a text in Unicode's composed form."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_glob(pattern: str) -> bool:
    """Whether a pattern can match more than one name."""
    return "*" in pattern or "?" in pattern


def matches_glob(pattern: str, name: str) -> bool:
    """Whether a name matches a glob.

    The pieces between the stars are found one after the other, each at its first place; a regular
    expression with several stars could go through every combination of places.
    """
    name = composed(name)
    first, *others = _pieces(pattern)
    if not others:
        return len(name) == len(first) and _is_at(first, name, 0)
    if not _is_at(first, name, 0):
        return False
    at = len(first)
    *middle, last = others
    for piece in middle:
        found = _find(piece, name, at)
        if found < 0:
            return False
        at = found + len(piece)
    end = len(name) - len(last)
    return end >= at and _is_at(last, name, end)


def matches_any(patterns: tuple[str, ...], name: str) -> bool:
    """Whether a name matches one of some globs."""
    return any(matches_glob(pattern, name) for pattern in patterns)


@lru_cache(16_384)
def _pieces(pattern: str) -> tuple[str, ...]:
    """Return the texts between the stars of a pattern."""
    return tuple(re.sub(r"\*+", "*", composed(pattern)).split("*"))


def _is_at(piece: str, name: str, at: int) -> bool:
    """Whether a piece stands at a place; `?` is any character."""
    if "?" not in piece:
        return name.startswith(piece, at)
    return _fixed(piece).match(name, at) is not None


def _find(piece: str, name: str, at: int) -> int:
    """Return the first place of a piece, -1 if there is none."""
    if "?" not in piece:
        return name.find(piece, at)
    found = _fixed(piece).search(name, at)
    return found.start() if found else -1


@lru_cache(4_096)
def _fixed(piece: str) -> re.Pattern[str]:
    """Return an expression of a fixed length."""
    return re.compile("".join("." if c == "?" else re.escape(c) for c in piece), re.DOTALL)
