"""Texts in which others are looked up: what servers returned, or what the person typed.

A text is known by its letters and digits (`comparable_text`). Of a long value a passage is looked for, of a
short one the whole. Whether a passage is found does not depend on where it stands.

How it works: of each known text the pieces at every `_STRIDE`-th place are in a table. A passage of
`PASSAGE` letters holds one of them whole, wherever it begins; so each place of a value is looked up, and a
hit is compared letter by letter. The work is bounded: see `TooMuch`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

PASSAGE = 24
"""Letters and digits that two texts must share for one to be copied from the other."""
_PIECE = 10
_STRIDE = PASSAGE - _PIECE + 1
_MOST_PLACES = 16
"""Places of a piece that are kept; a more frequent one is searched for in the whole text."""
_COMPARED = 20_000
"""Places of pieces that are compared in one look."""
_SEARCHED = 100_000_000
"""Letters that are searched through in one look."""
_LEAST_SEARCH = 50_000
"""Letters that a search counts at least."""
_INDEXED = 4_000
"""Pieces or names that are put into a table in one go."""

Visible = Callable[[int], bool]
"""Whether a text counts, by the number that `add` gave it."""


def every(_number: int) -> bool:
    """Count every text."""
    return True


class TooMuch(Exception):
    """There is more to compare than bounded work allows."""


@dataclass(slots=True)
class Work:
    """What may still be done in one look."""

    compared: int = _COMPARED
    searched: int = _SEARCHED

    def compare(self) -> None:
        """Count a place that is compared. Raises `TooMuch`."""
        self.compared -= 1
        if self.compared < 0:
            raise TooMuch

    def search(self, letters: int) -> None:
        """Count a search through so many letters. Raises `TooMuch`."""
        self.searched -= max(letters, _LEAST_SEARCH)
        if self.searched < 0:
            raise TooMuch


@dataclass(slots=True)
class _Places:
    """Where a piece stands; `more`: also elsewhere."""

    at: list[int] = field(default_factory=list)
    more: bool = False


class KnownText:
    """Texts, one after the other. `size` is their length in letters and digits."""

    def __init__(self) -> None:
        self.size = 0
        self._texts: list[str] = []
        self._starts: list[int] = []
        self._length = 0
        self._joined = ""
        self._pieces: dict[str, int | _Places] = {}
        self._names: dict[str, int] = {}
        """By each name the first text that it stands in."""

    def __bool__(self) -> bool:
        return bool(self._texts)

    def add(self, text: str, names: Iterable[str]) -> Iterator[None]:
        """Add a text's letters and the names in it; yields after each bounded step of the work."""
        number, start = len(self._texts), self._length
        self._starts.append(start)
        self._texts.append(text)
        self._length += len(text) + 1
        self.size += len(text)
        for done, name in enumerate(names, 1):
            self._names.setdefault(name, number)
            if not done % _INDEXED:
                yield
        for done, at in enumerate(range(0, len(text) - _PIECE + 1, _STRIDE), 1):
            self._note(text[at : at + _PIECE], start + at)
            if not done % _INDEXED:
                yield

    def has_name(self, name: str, visible: Visible, work: Work) -> bool:
        """Whether a name stands in a text that counts. Raises `TooMuch`."""
        first = self._names.get(name)
        return first is not None and (visible(first) or self.has_whole(name, visible, work))

    def has_whole(self, value: str, visible: Visible, work: Work) -> bool:
        """Whether a whole value stands in a text that counts. Raises `TooMuch`."""
        work.search(self._length)
        text, at = self._text(), -1
        while (at := text.find(value, at + 1)) >= 0:
            number = self._number(at)
            if visible(number):
                return True
            at = self._starts[number] + len(self._texts[number])
        return False

    def has_passage(self, value: str, visible: Visible, work: Work) -> bool:
        """Whether a passage of a value stands in a text that counts. Raises `TooMuch`."""
        places = range(len(value) - _PIECE + 1 if len(value) >= PASSAGE else 0)
        known = (at for at in places if value[at : at + _PIECE] in self._pieces)
        return any(self._passage(value, at, 0, visible, work) for at in known)

    def without_passages(self, value: str, work: Work) -> Iterator[str]:
        """Yield what is left of a value if every known passage is cut out. Raises `TooMuch`."""
        at = left = 0
        while at + _PIECE <= len(value):
            found = None
            if value[at : at + _PIECE] in self._pieces:
                found = self._passage(value, at, left, every, work)
            if found is None:
                at += 1
                continue
            yield value[left : found[0]]
            at = left = found[1]
        yield value[left:]

    # --- inside ---------------------------------------------------------------------------------

    def _note(self, piece: str, at: int) -> None:
        known = self._pieces.get(piece)
        if known is None:
            self._pieces[piece] = at
        elif isinstance(known, int):
            self._pieces[piece] = _Places([known, at])
        elif len(known.at) < _MOST_PLACES:
            known.at.append(at)
        else:
            known.more = True

    def _passage(
        self, value: str, at: int, since: int, visible: Visible, work: Work
    ) -> tuple[int, int] | None:
        """Return where a passage begins and ends that holds the piece of the value at a place."""
        known = self._pieces.get(value[at : at + _PIECE])
        if known is None:
            return None
        places = [known] if isinstance(known, int) else known.at
        for place in places:
            work.compare()
            if visible(self._number(place)) and (found := self._around(value, at, place, since)):
                return found
        if isinstance(known, _Places) and known.more:
            return self._searched(value, at, since, visible, work)
        return None

    def _searched(
        self, value: str, at: int, since: int, visible: Visible, work: Work
    ) -> tuple[int, int] | None:
        """Search for every passage around a frequent piece."""
        for begin in range(max(since, at + _PIECE - PASSAGE), min(at, len(value) - PASSAGE) + 1):
            if self.has_whole(value[begin : begin + PASSAGE], visible, work):
                return begin, begin + PASSAGE
        return None

    def _around(self, value: str, at: int, place: int, since: int) -> tuple[int, int] | None:
        """Compare to both sides of a piece; return what is equal if it is long enough."""
        text = self._text()
        begin, end = at, at + _PIECE
        shift = place - at
        while begin > since and begin + shift > 0 and value[begin - 1] == text[begin - 1 + shift]:
            begin -= 1
        step = PASSAGE
        while step:
            if end + step <= len(value) and text.startswith(value[end : end + step], end + shift):
                end += step
                step *= 2
            else:
                step //= 2
        return (begin, end) if end - begin >= PASSAGE else None

    def _number(self, at: int) -> int:
        """Return the number of the text that a place is in."""
        return bisect_right(self._starts, at) - 1

    def _text(self) -> str:
        """Return all texts; no value that is looked for has a line end."""
        if len(self._joined) < self._length:
            self._joined = "".join(f"{each}\n" for each in self._texts)
        return self._joined
