"""Words of a search: how texts are split for the index, and where a text has the words.

The index splits texts at everything that is no letter or digit. Scripts without spaces between words are
split into single characters, and such words of a query are phrases of characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from omni_tui.security.text import encodable

VERSION = 1
"""Changes whenever `indexed` splits a text differently: an index of another version is made anew."""
MOST_WORDS = 24
_LONGEST_WORD = 120
_LONGEST_QUERY = 4_000

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3130-\u318f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uffdc"
    "\U0001b000-\U0001b16f\U00020000-\U000323af]"
)
"""Thai, Lao, Burmese, Hangul, Khmer, kana and Chinese characters."""
_BREAK = re.compile(r"[\x00-\x1f\x7f\s]+")
_PIECE = re.compile(r"[^\W_]+")


def indexed(text: str) -> str:
    """Return a text as it is put into the index."""
    if text.isascii():
        return text.replace("\0", " ")
    return _UNSPACED.sub(r" \g<0> ", encodable(text).replace("\0", " "))


def query_words(query: str) -> list[str]:
    """Return the words of a query that can be looked for: they have a letter or a digit."""
    words = (word for word in _BREAK.split(query[:_LONGEST_QUERY]) if any(map(str.isalnum, word)))
    return [word[:_LONGEST_WORD] for word in words][:MOST_WORDS]


def match_expression(words: Sequence[str]) -> str:
    """Return the FTS5 query for texts that have every word, or words that begin like it; "" for none.

    A single letter is a whole word: half of all words begin with it, and finding them takes seconds.

    Source: SQLite FTS5 extension, section 3, Full-text Query Syntax.
    """
    parts = []
    for word in words:
        phrase = " ".join(indexed(word).split()).replace('"', '""')
        parts.append(f'"{phrase}"' + "*" * _may_go_on(word))
    return " ".join(parts)


def _may_go_on(word: str) -> bool:
    return len(word) > 1 and not _UNSPACED.search(word)


def find_words(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Return where a text has the words: start and end of each place, in order, none overlapping."""
    pattern = _finder(tuple(words))
    return [found.span() for found in pattern.finditer(_folded(text))] if pattern is not None else []


@lru_cache(maxsize=64)
def _finder(words: tuple[str, ...]) -> re.Pattern[str] | None:
    choices = [choice for word in sorted(words, key=len, reverse=True) if (choice := _choice(word))]
    return re.compile("|".join(choices)) if choices else None


def _choice(word: str) -> str:
    pieces: list[str] = _PIECE.findall(_UNSPACED.sub(r" \g<0> ", _folded(word)))
    if not pieces:
        return ""
    pattern = re.escape(pieces[0])
    for before, piece in pairwise(pieces):
        unspaced = _UNSPACED.match(before) or _UNSPACED.match(piece)
        pattern += (r"[\W_]{0,8}" if unspaced else r"[\W_]{1,8}") + re.escape(piece)
    before, after = "" if _UNSPACED.match(pieces[0]) else r"(?<![^\W_])", r"(?![^\W_])"
    if _UNSPACED.match(pieces[-1]):
        after = ""
    elif _may_go_on(word):
        after = r"[^\W_]*"
    return before + pattern + after


def _folded(text: str) -> str:
    """Return a text in small letters without accents, character for character."""
    return text.lower() if text.isascii() else "".join(map(_fold, text))


@lru_cache(maxsize=4096)
def _fold(one: str) -> str:
    plain = unicodedata.normalize("NFD", one)[:1]
    return (one if _UNSPACED.match(one) else plain).lower()[:1] or one
