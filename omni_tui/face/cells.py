"""Width of text in terminal cells, and where to cut and wrap it. Nothing is cut within a grapheme.

A grapheme is what a reader sees as one character: a letter with its marks, a Korean syllable, a flag, an
emoji sequence. Boundaries follow Unicode annex 29, except that marks which Unicode lets stand alone and
joined letters of all Indic scripts also stay together. A grapheme is cut only after `MAX_GRAPHEME` code
points, so that endless marks do not make endless rows. Widths are those that Textual paints.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from rich.cells import cell_len, get_character_cell_size

MAX_GRAPHEME = 32
"""Most code points in a grapheme. Real ones have up to 15; Unicode calls up to 30 marks safe."""

TAB = 8
"""Most cells that a tab is painted with. Textual measures it as none."""

_BLOCK = 4 * MAX_GRAPHEME
_CROWD = 8
"""Most code points per cell of a row, so that characters without width do not make endless rows."""

_PLAIN = re.compile("[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u2010-\u2027\u2500-\u25a9\u2800-\u28ff]*")
"""Characters of one cell, each a grapheme if followed by another of them."""


def graphemes(text: str, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, cells) of each grapheme from `at` on; one must begin there.

    The sum of the cells is at least the width of the text. It can be more: Textual does not count what
    follows a joiner.
    """
    for start, end, each in _runs(text, at):
        if each:
            for one in range(start, end):
                yield one, one + 1, each
        else:
            yield start, end, _cells_of(text[start:end])


def _runs(text: str, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, each): graphemes of one code point with `each` cells, or one grapheme if 0."""
    size, find = len(text), _pattern().finditer
    while at < size:
        kinds = text[at : at + _BLOCK].translate(_KINDS)
        edge = len(kinds) if at + len(kinds) < size else -1  # more of this grapheme may follow
        seen = 0
        for found in find(kinds):
            start, end = found.span()
            each = found.lastindex or 0
            long = not each and end - start > MAX_GRAPHEME
            if long:
                end = start + MAX_GRAPHEME
            elif end == edge:
                end = end - 1 if each else start
            if start < end:
                yield at + start, at + end, each
            seen = end
            if long:
                break
        at += seen


def _cells_of(one: str) -> int:
    """Return the cells to allow for a grapheme, even if it measures none."""
    if one == "\t":
        return TAB
    return cell_len(one) or int("\ufe0f" in one)  # it may widen a picture before it


def fitting(text: str, at: int, room: int) -> int:
    """Return the end of the graphemes from `at` on that fit in `room` cells, at least one."""
    end = at + room
    if _PLAIN.fullmatch(text, at, end + 1):
        return min(end, len(text))
    most = at + max(_CROWD * room, MAX_GRAPHEME)
    end = at
    for start, after, each in _runs(text, at):
        if each:
            count = min(after - start, room // each)
            if end == at:
                count = max(count, 1)
            end += count
            room -= count * each
            if count < after - start:
                break
        else:
            room -= _cells_of(text[start:after])
            if end > at and (room < 0 or after > most):
                break
            end = after
        if room < 0:
            break
    return end


def boundary(text: str, at: int) -> int:
    """Return a place near `at`, not after it, where a text can be cut, in the time of one grapheme."""
    for place in range(min(at, len(text)), max(0, at - MAX_GRAPHEME), -1):
        before, after = text[place - 1 : place].translate(_KINDS), text[place : place + 1].translate(_KINDS)
        if after not in _HOLDS_ON and before not in _REACHES_OUT:
            return place
    return at


def fits(text: str, room: int) -> bool:
    """Return whether a text needs no cut. Takes no longer for a long text than for a short one."""
    if len(text) > _CROWD * room or "\t" in text:
        return False
    return 2 * len(text) <= room or cell_len(text) <= room


def fit(text: str, room: int) -> str:
    """Return a text in at most `room` cells, with … at its end where something was left out."""
    if room <= 0:
        return ""
    if fits(text, room):
        return text
    kept = text[: fitting(text, 0, room - 1)] if room > 1 else ""
    return kept + "…" if cell_len(kept) < room else "…"


def pad(text: str, room: int) -> str:
    """Return a text with spaces added up to `room` cells."""
    return text + " " * max(0, room - cell_len(text))


def breaks(text: str, room: int, rest: int = 0, *, hard: bool = False) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the rows of one line: `room` cells for the first, `rest` for the others.

    A row ends at a space, which is left out, or after a wide character; a word is cut only if it is
    longer than a row. With `hard` every row is filled and nothing is left out. Takes time in proportion
    to the length of the text.
    """
    rest = rest or room
    at = 0
    while (end := fitting(text, at, room)) < len(text):
        cut, following = (end, end) if hard else _break(text, at, end, rest)
        yield at, cut
        at, room = following, rest
    yield at, len(text)


def _break(text: str, at: int, end: int, rest: int) -> tuple[int, int]:
    """Return where a row from `at` to `end` at most ends, and where the next one begins."""
    if _is_space(text, end):
        return end, end + 1
    space = _last_space(text, at, end)
    if wide := _last_wide(text, max(space + 1, at), end):
        return wide, wide
    worth_it = 3 * (space - at) > end - at or (space >= 0 and _word_fits(text, space + 1, rest))
    if space > at and worth_it and not text[at:space].isspace():
        return space, space + 1
    return end, end


def _word_fits(text: str, at: int, room: int) -> bool:
    end = text.find(" ", at, at + room + 1)
    if end < 0:
        end = len(text)
    return end - at <= room and fits(text[at:end], room)


def _last_wide(text: str, start: int, end: int) -> int:
    part, found = text[start:end], 0
    if not part.isascii():
        for left, right, size in graphemes(part):
            if size >= 2 and get_character_cell_size(part[left]) == 2:
                found = start + right
    return found


def _last_space(text: str, start: int, end: int) -> int:
    while (found := text.rfind(" ", start, end)) >= 0 and not _is_space(text, found):
        end = found
    return found


def _is_space(text: str, at: int) -> bool:
    """Return whether there is a space at `at` that nothing is joined to."""
    if text[at] != " ":
        return False
    before, after = text[at - 1 : at].translate(_KINDS), text[at + 1 : at + 2].translate(_KINDS)
    return before != "p" and (not after or after not in "ekmz")


# One letter for the kind of each code point, and the rules of annex 29 as a pattern of kinds:
# r CR, n LF, C control; p before a letter (Prepend); R half a flag; L V T H S Korean: leading, vowel,
# trailing, LV, LVT; x picture; c Indic letter; e mark that extends; k mark that links two letters;
# m mark with a width; z zero width joiner; o other of one cell, w of two, u of none.


@cache
def _pattern() -> re.Pattern[str]:
    """Compile the pattern. Its first two groups are runs of graphemes of one code point."""
    return re.compile(
        r"((?:[oc](?![ekmz]))+)|((?:[wHS](?![ekmzVT]))+)|rn|[rnC]"
        r"|p*(?:RR|L*(?:V+|HV*|S)T*|L+|T+|x(?:[ekm]*zx)*|k[ekzm]*c|[^rnC])"
        r"(?:[ezm]*k[ekzm]*c)*[ekmz]*"
    )


def _ranges(table: str) -> list[tuple[int, int]]:
    pairs = (item.partition("-") for item in table.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]


_FIRST = [
    (first, last, kind)
    for kind, table in {
        "r": "D",
        "n": "A",
        "z": "200D",
        "e": "200C 1F3FB-1F3FF FF9E-FF9F E0020-E007F",
        "m": "E33 EB3",
        "R": "1F1E6-1F1FF",
        "L": "1100-115F A960-A97C",
        "V": "1160-11A7 D7B0-D7C6 16D63 16D67-16D6A",
        "T": "11A8-11FF D7CB-D7FB",
        "p": "600-605 6DD 70F 890-891 8E2 D4E 110BD 110CD 111C2-111C3 113D1 1193F 11941 11A3A 11A84-11A89"
        " 11D46 11F02",
        "k": "94D 9CD A4D ACD B4D BCD C4D CCD D4D DCA 1039 17D2 1A60 1B44 1BAB A9C0 AAF6 10A3F 11046 110B9"
        " 11133 111C0 11235 1134D 113D0 1193E 119E0 11A47 11A99 11C3F 11D45 11D97 11F42",
        "x": "A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 2388 23CF 23E9-23F3 23F8-23FA"
        " 24C2 25AA-25AB 25B6 25C0 25FB-25FE 2600-27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55 3030 303D"
        " 3297 3299 1F000-1F1E5 1F200-1F3FA 1F400-1FAFF 1FC00-1FFFD",
    }.items()
    for first, last in _ranges(table)
]
_INDIC = _ranges(
    "900-DFF 1000-109F 1780-17FF 1A20-1AAF 1B00-1BBF A980-A9FF AA60-AAFF 10A00-10A5F 11000-11FFF"
)


class _Kinds(dict[int, str]):
    """Caches the kind of each code point."""

    def __missing__(self, code: int) -> str:
        if len(self) > 0xFFFF:  # more than any real text has
            self.clear()
        self[code] = kind = _kind(code)
        return kind


_KINDS = _Kinds()
_HOLDS_ON = frozenset("ekmzVTRnHSc")
"""Kinds that may belong to what is before them; after `boundary` there is none of them."""
_REACHES_OUT = frozenset("pzkLRr")
"""Kinds that may belong to what is after them."""


def _kind(code: int) -> str:
    if 0xAC00 <= code <= 0xD7A3:
        return "S" if (code - 0xAC00) % 28 else "H"
    for first, last, kind in _FIRST:
        if first <= code <= last:
            return kind
    kind = _by_category(code)
    return "uow"[get_character_cell_size(chr(code))] if kind == "o" else kind


def _by_category(code: int) -> str:
    character = chr(code)
    match unicodedata.category(character):
        case "Cc" | "Cf" | "Cs" | "Zl" | "Zp":
            return "C"
        case "Mn" | "Me":
            return "e"
        case "Mc":
            return "m"
        case "Cn" if not get_character_cell_size(character):
            return "e"  # newer than Python's tables, and known to Textual as a mark
        case "Lo" if any(first <= code <= last for first, last in _INDIC):
            return "c"
        case _:
            return "o"
