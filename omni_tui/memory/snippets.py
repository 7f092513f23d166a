"""The words around a hit, safe to show."""

from __future__ import annotations

from collections.abc import Sequence

from omni_tui.memory.search_words import find_words
from omni_tui.protocol.session_search import SnippetPart
from omni_tui.security.text import safe_line

LENGTH = 160
_BEFORE = 40
"""Characters of a snippet before its first hit."""


def snippet_of(text: str, words: Sequence[str], length: int = LENGTH) -> tuple[SnippetPart, ...]:
    """Return about `length` characters of a text around its first hit, on one line, hits apart.

    Without a hit, it is the beginning of the text.
    """
    places = find_words(text, words)
    first = max(0, places[0][0] - _BEFORE) if places else 0
    if first > 0:  # begin with a word, if one begins here
        space = text.find(" ", first, places[0][0])
        first = space + 1 if space >= 0 else first
    last = min(len(text), first + length)
    parts = [SnippetPart(text=safe_line("…"))] if first else []
    at = first
    for start, end in places:
        if start >= last:
            break
        parts += _part(text[at:start]) + _part(text[start : min(end, last)], hit=True)
        at = min(end, last)
    parts += _part(text[at:last])
    return tuple(parts) if last == len(text) else (*parts, SnippetPart(text=safe_line("…")))


def _part(text: str, *, hit: bool = False) -> list[SnippetPart]:
    if not text:
        return []
    words = " ".join(text.split())
    line = f"{' ' * text[:1].isspace()}{words}{' ' * text[-1:].isspace()}" if words else " "
    return [SnippetPart(text=safe_line(line, limit=4 * LENGTH, joined=True), hit=hit)]
