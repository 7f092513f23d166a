"""A line diff that is fast for any two texts.

The standard library's matcher takes minutes for thousands of equal lines, which a model writes in a
moment. Here it compares small pieces only, between lines that are exactly once in both texts. A piece
without such a line is shown as removed and added as a whole, which is never wrong.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

SMALL = 4_000
"""Pairs of lines that the standard library's matcher compares in one piece."""
_DEEPEST = 8

DiffPiece = tuple[bool, int, int, int, int]
"""Whether the lines are equal, and their range (from, to) in the old text and in the new one."""


def diff_pieces(old: Sequence[str], new: Sequence[str]) -> list[DiffPiece]:
    """Return the pieces of two texts in order; each line of both is in exactly one."""
    pieces: list[DiffPiece] = []
    for equal, a, b, c, d in _compared(old, new, 0, len(old), 0, len(new), 0):
        if pieces and pieces[-1][0] == equal and (pieces[-1][2], pieces[-1][4]) == (a, c):
            equal, a, _, c, _ = pieces.pop()
        if b > a or d > c:
            pieces.append((equal, a, b, c, d))
    return pieces


def _compared(
    old: Sequence[str], new: Sequence[str], a: int, b: int, c: int, d: int, depth: int
) -> Iterator[DiffPiece]:
    head = 0
    while a + head < b and c + head < d and old[a + head] == new[c + head]:
        head += 1
    tail = 0
    while b - tail > a + head and d - tail > c + head and old[b - tail - 1] == new[d - tail - 1]:
        tail += 1
    yield True, a, a + head, c, c + head
    yield from _between(old, new, a + head, b - tail, c + head, d - tail, depth)
    yield True, b - tail, b, d - tail, d


def _between(
    old: Sequence[str], new: Sequence[str], a: int, b: int, c: int, d: int, depth: int
) -> Iterator[DiffPiece]:
    if (b - a) * (d - c) <= SMALL:
        for kind, i, j, k, m in SequenceMatcher(None, old[a:b], new[c:d], autojunk=False).get_opcodes():
            yield kind == "equal", a + i, a + j, c + k, c + m
        return
    anchors = _anchors(old, new, a, b, c, d) if depth < _DEEPEST else []
    if not anchors:
        yield False, a, b, c, d
        return
    for at, other in [*anchors, (b, d)]:
        yield from _compared(old, new, a, at, c, other, depth + 1)
        a, c = at, other


def _anchors(
    old: Sequence[str], new: Sequence[str], a: int, b: int, c: int, d: int
) -> list[tuple[int, int]]:
    """Return the places of lines that are once in both, as many as have the same order."""
    once_old = {line for line, count in Counter(old[a:b]).items() if count == 1}
    once_new = {line for line, count in Counter(new[c:d]).items() if count == 1}
    place = {new[at]: at for at in range(c, d) if new[at] in once_new}
    pairs = [(at, place[old[at]]) for at in range(a, b) if old[at] in once_old and old[at] in place]
    ends: list[int] = []
    best: list[int] = []
    before: list[int] = []
    for index, (_, other) in enumerate(pairs):
        length = bisect_left(ends, other)
        before.append(best[length - 1] if length else -1)
        if length == len(ends):
            ends.append(other)
            best.append(index)
        else:
            ends[length], best[length] = other, index
    chain: list[tuple[int, int]] = []
    index = best[-1] if best else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]
