"""Finds, among thousands of globs, those that may match a name, without trying each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, TypeVar

from omni_tui.policy.glob import composed, is_glob

_T = TypeVar("_T")
_WILD = re.compile(r"[*?]+")


class PatternIndex(Generic[_T]):
    """Items by the globs they are for: by the letters before the first wildcard, after the last, or else
    between.
    """

    def __init__(self) -> None:
        self._whole: dict[str, list[_T]] = {}
        self._by_start: dict[str, list[_T]] = {}
        self._by_end: dict[str, list[_T]] = {}
        self._by_part: list[tuple[str, _T]] = []
        self._starts: set[int] = set()
        self._ends: set[int] = set()

    def add(self, pattern: str, item: _T) -> None:
        """Add an item for a glob."""
        text = composed(pattern)
        if not is_glob(text):
            self._whole.setdefault(text, []).append(item)
            return
        start, *middle, end = _WILD.split(text)
        if start:
            self._by_start.setdefault(start, []).append(item)
            self._starts.add(len(start))
        elif end:
            self._by_end.setdefault(end, []).append(item)
            self._ends.add(len(end))
        else:
            self._by_part.append((max(middle, key=len, default=""), item))

    def find(self, name: str) -> Iterator[_T]:
        """Yield the items whose globs may match a name; some of them do not."""
        text = composed(name)
        yield from self._whole.get(text, ())
        for length in self._starts:
            yield from self._by_start.get(text[:length], ())
        for length in self._ends:
            yield from self._by_end.get(text[-length:], ())
        yield from [item for part, item in self._by_part if part in text]
