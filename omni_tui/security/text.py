"""Makes text from outside safe for a terminal: only visible characters pass. Standard library only.

`safe` and the functions like it are the first ring: they write invisible characters as `<U+XXXX>`.
`SAFE_FILTER` is the second ring, just before the terminal.

Safe are letters, marks, digits, punctuation, symbols and spaces of Unicode 17, and line feeds. Joiners
stay between letters of scripts that need them (Persian, Hindi); joiners, selectors and tags stay in an
emoji or a flag. In names, identifiers and on approval cards they are written out too (`joined=False`),
since they could hide a difference.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from omni_tui.security import _ranges

if TYPE_CHECKING:
    from omni_tui.protocol.text import JsonText, SafeText
else:
    JsonText = SafeText = str

MAX_MARKS = 4
"""Most marks on one character; further ones are counted instead of shown."""

MAX_DEPTH = 64
"""Levels of nesting that `safe_json` shows."""

_Range = tuple[int, int]
_LOW = [(0, 0xFFFF)]
_WIDE = re.compile("[\U00010000-\U0010ffff]")

_ASCII_ODD = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
# Nearly all text; it needs neither the large tables nor a check of marks.
_COMMON = (
    "\n -~\xa0-\xac\xae-\u02ff\u0391-\u03a1\u03a3-\u03ff\u0410-\u044f\u2010-\u2027\u2030-\u205e"
    "\u20a0-\u20c0\u2190-\u23ff\u2460-\u27ff\u2900-\u2b73"
)
_COMMON_IN_THE_EAST = "\u3001-\u3029\u3041-\u3096\u309b-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff9f"
_UNCOMMON = re.compile(f"[^{_COMMON}]")
_PICTURES = (
    "A9 AE 203C 2049 2122 2139 2190-21FF 2300-23FF 24C2 25A0-27BF 2934-2935 2B00-2BFF 3030 303D"
    " 3297 3299 1F000-1FAFF"
)
_LOOKS_EMPTY = re.compile(
    "[\u00a0\u00ad\u034f\u115f\u1160\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
"""Joiners, selectors, tags, and spaces other than the plain space."""
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
_TAGS = "".join(map(chr, range(0xE0020, 0xE0080)))
_FLAG = "\U0001f3f4"
_FLAGS = tuple(
    _FLAG + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
"""England, Scotland, Wales: the only flags made of tags."""
_HALVES = _JOINERS + _TAGS
_SPECIAL = "\t\r" + _HALVES
_MAY_STAY = re.compile(f"[\t\r{_JOINERS}\U000e0020-\U000e007f]")


class _Rules(NamedTuple):
    unsafe: re.Pattern[str]
    """A run of unsafe characters, tabs, joiners and selectors included."""
    pile: re.Pattern[str]
    orphan: re.Pattern[str]
    """A mark at the start of a line, which would be drawn onto the character before it."""
    joins: re.Pattern[str]


def _is_common(text: str) -> bool:
    return _UNCOMMON.search(text) is None or _uncommon_anywhere().search(text) is None


@cache
def _uncommon_anywhere() -> re.Pattern[str]:
    """Compile the class with the scripts of tens of thousands: `re` takes four milliseconds for them."""
    return re.compile(f"[^{_COMMON}{_COMMON_IN_THE_EAST}]")


def _rules(text: str) -> _Rules:
    return _compiled(_WIDE.search(text) is not None)


@cache
def _compiled(wide: bool) -> _Rules:
    """Compile the large tables: a few milliseconds, so only when a text needs them.

    `re` looks up code points to U+FFFF in a table and tries the ranges beyond one after the other.
    So text without such characters gets classes without such ranges, and the others are written as
    "none of the safe ones", the frequent ones first, which spares ordinary characters the long tail.
    """
    unsafe = _overlap(_parse(_ranges.UNSAFE), _complement(_parse(_ranges.NEWER)))
    marks = _parse(_ranges.MARKS)
    low = f"[{_class(_overlap(unsafe, _LOW))}]"
    mark = f"[^{_class(_by_use(_complement(marks)))}]" if wide else f"[{_class(_overlap(marks, _LOW))}]"
    joining = _class(_parse(_ranges.JOINING))
    pictures = _class(_overlap(_parse(_PICTURES), _complement(unsafe)))
    return _Rules(
        unsafe=re.compile(f"[^{_class(_by_use(_complement(unsafe)))}]{low}*" if wide else f"{low}+"),
        pile=re.compile(mark * (MAX_MARKS + 1) + f"{mark}*"),
        orphan=re.compile(rf"{mark}(?:(?<=\A.)|(?<=\n.))"),
        joins=re.compile(
            rf"(?<=[{pictures}])[\ufe0e\ufe0f]"
            r"|(?<=[0-9#*])\ufe0f(?=\u20e3)"
            rf"|(?:(?<=[{pictures}])|(?<=[{pictures}]\ufe0f))\u200d(?=[{pictures}])"
            rf"|(?<=[{joining}])[\u200c\u200d](?=[{joining}])"
        ),
    )


def _by_use(ranges: list[_Range]) -> list[_Range]:
    return sorted(ranges, key=lambda pair: (pair[0] > 0xFFFF, not 0x1F000 <= pair[0] <= 0x1FAFF, pair[0]))


def _parse(table: str) -> list[_Range]:
    pairs = (item.partition("-") for item in table.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]


def _complement(ranges: list[_Range]) -> list[_Range]:
    edges = [(-1, -1), *ranges, (0x110000, 0x110000)]
    gaps = ((before[1] + 1, after[0] - 1) for before, after in pairwise(edges))
    return [(first, last) for first, last in gaps if first <= last]


def _overlap(ours: list[_Range], others: list[_Range]) -> list[_Range]:
    pairs = ((max(a, c), min(b, d)) for a, b in ours for c, d in others)
    return [(first, last) for first, last in pairs if first <= last]


def _class(ranges: list[_Range]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def safe(text: str, *, limit: int = 64_000, lines: bool = True, joined: bool | None = None) -> SafeText:
    """Return `text` with invisible characters written as `<U+XXXX>`.

    `limit` is the greatest length of the result in characters; a longer text ends with how many
    characters are missing. With `lines`, line feeds stay, CR LF counts as one, and tabs become spaces up
    to the next multiple of four; without, they are written out. More than four marks on a character
    become `<+N marks>`. Applying it twice changes nothing.

    `joined`: keep joiners that form a word or an emoji. Default: like `lines`; names are one line. Pass
    False for an approval card.
    """
    if len(text) <= limit and _is_clean(text) and (lines or "\n" not in text):
        return SafeText(text)
    joined = lines if joined is None else joined
    return SafeText(_shown(text, limit, _LINES if lines else _STRICT, joined=joined))


def safe_line(text: str, *, limit: int = 200, joined: bool = False) -> SafeText:
    """Return `text` as one safe line: like `safe`, with line breaks as ` ⏎ `.

    Without `joined`, for names, joiners are written out.
    """
    if len(text) <= limit and _is_clean(text) and "\n" not in text:
        return SafeText(text)
    return SafeText(_shown(text, limit, _ONE_LINE, joined=joined))


def safe_for_card(text: str, *, lines: bool = False) -> SafeText:
    """Return `text` for an approval card: joiners and spaces other than the plain one are marked too.

    In messages and results a joiner inside a word or an emoji stays. On a card it could hide a difference
    between what is read and what is sent. Nothing is cut: the card counts what it has no room for.
    """
    shown = safe(text, limit=max(64_000, 16 * len(text)), lines=lines, joined=False)
    return SafeText(_LOOKS_EMPTY.sub(lambda found: _name(found.group()), shown))


def safe_part(text: SafeText, start: int, end: int) -> SafeText:
    """Return a part of a safe text, character by character, so that all parts together are the whole."""
    return SafeText(text[start:end])


def count_hidden(text: str, *, joined: bool = True) -> int:
    """Return how many characters of `text` `safe` writes out, without tabs and line breaks."""
    if _is_clean(text):
        return 0
    rules = _rules(text)
    text = text.replace("\r\n", "\n")
    kept = _kept if joined else _tabs
    count = sum(len(run.group()) - len(kept(run)) for run in rules.unsafe.finditer(text))
    count += sum(len(run.group()) - MAX_MARKS for run in rules.pile.finditer(text))
    return count + sum(1 for _ in rules.orphan.finditer(text))


def strip_invisible(text: str) -> tuple[str, int]:
    """Return `text` without invisible characters, for the model, and how many were removed.

    For names, descriptions, instructions and schemas; the model gets results whole. Tabs, line breaks and
    joiners of words and emoji stay (CR LF becomes LF), and four marks per character.
    """
    if _is_clean(text):
        return text, 0
    rules = _rules(text)
    text = text.replace("\r\n", "\n")
    kept = text
    for _ in range(3):  # a removal can leave marks and joiners without their character
        former = kept
        kept = rules.pile.sub(lambda run: run.group()[:MAX_MARKS], rules.unsafe.sub(_kept, kept))
        if kept == former:
            break
    return kept, len(text) - len(kept)


def encodable(text: str) -> str:
    """Return `text` with half characters (lone surrogates, which JSON can hold) as U+FFFD.

    Nothing else changes. UTF-8 has no form for half characters.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def safe_json(value: object, *, limit: int = 64_000, joined: bool = True) -> SafeText:
    """Return `value` as JSON, indented by two, with every key and string made safe first.

    For reading: keys that differ only in invisible characters look different, but a `<U+200B>` may also
    be the sender's own text. `count_hidden` tells them apart; `exact_json` is exact. Values that JSON does
    not have are shown in quotes. Pass `joined=False` on an approval card.
    """
    pieces: list[str] = []
    size = 0
    for piece in _json_pieces(value, 0, limit, joined):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            end = "… (more is not shown)"
            shown = _cut("".join(pieces), limit - len(end)) + end if limit > 40 else "…"[:limit]
            return SafeText(shown)
    return SafeText("".join(pieces))


def exact_json(value: object) -> JsonText:
    """Return `value` as compact JSON in printable ASCII, keys in their own order.

    Raises `ValueError` for NaN, infinities and too deep nesting, `TypeError` for what JSON does not have.
    """
    try:
        return JsonText(json.dumps(value, separators=(",", ":"), allow_nan=False))
    except RecursionError:
        raise ValueError("the value is nested too deep to be written as JSON") from None


def _terminal_filter(text: str) -> str:
    """Replace what must not reach the terminal; the text keeps its width in cells."""
    if _is_common(text):
        return text
    return _rules(text).unsafe.sub(_same_width, text)


SAFE_FILTER: Callable[[str], str] = _terminal_filter
"""The last filter before the terminal: one search for ordinary text, else one replacement for each
unsafe character. Without width it is removed; else it becomes one or two U+FFFD."""


def _is_clean(text: str) -> bool:
    if text.isascii():
        return _ASCII_ODD.search(text) is None
    if _is_common(text):
        return True
    rules = _rules(text)
    return not (rules.unsafe.search(text) or rules.pile.search(text) or rules.orphan.search(text))


def _kept(run: re.Match[str]) -> str:
    """Return the part of an unsafe run that stays: tabs, and joiners that form an emoji."""
    text = run.group()
    if _MAY_STAY.search(text) is None:
        return ""
    return "".join(one for at, one in enumerate(text, run.start()) if one == "\t" or _joins(run.string, at))


def _tabs(run: re.Match[str]) -> str:
    """Return the tabs of an unsafe run, which are not counted where joiners are marked."""
    return "\t" * run.group().count("\t")


def _joins(text: str, at: int) -> bool:
    one = text[at]
    if one in _JOINERS:
        return _compiled(True).joins.match(text, at) is not None
    return one in _TAGS and _in_flag(text, at)


def _in_flag(text: str, at: int) -> bool:
    start = text.rfind(_FLAG, max(0, at - len(_FLAGS[0]) + 1), at)
    return start >= 0 and any(text.startswith(flag, start) and at < start + len(flag) for flag in _FLAGS)


def _same_width(run: re.Match[str]) -> str:
    return "".join(
        one if one in _HALVES and _joins(run.string, at) else "\ufffd" * _cells(one)
        for at, one in enumerate(run.group(), run.start())
    )


def _cells(one: str) -> int:
    """Return the cells a layout counted for an unsafe character."""
    category = unicodedata.category(one)
    if category in ("Cn", "Co", "Cs"):
        return 2 if "\U00020000" <= one <= "\U0003fffd" else 1
    if category == "Cf":
        # The soft hyphen and signs that enclose the digits after them have a width.
        return int(one == "\xad" or one in "\u06dd\u070f\u0890\u0891\u08e2" or "\u0600" <= one <= "\u0605")
    return 0


_LINES = (("\r\n", "\n"),)
_ONE_LINE = (("\r\n", "\n"), ("\n", " ⏎ "))
_STRICT = (("\n", "<U+000A>"), ("\t", "<U+0009>"))


def _shown(
    text: str, limit: int, replaced: tuple[tuple[str, str], ...], keep: str = "", *, joined: bool = True
) -> str:
    """Return `text` safely written in at most `limit` characters; those in `keep` stay."""
    head = text[: max(limit, 0)]
    for old, new in replaced:
        head = head.replace(old, new)
    rules = _rules(head)
    head = rules.pile.sub(
        lambda run: f"{run.group()[:MAX_MARKS]}<+{len(run.group()) - MAX_MARKS} marks>", head
    )
    head = rules.orphan.sub(lambda mark: _name(mark.group()), head)
    beyond = len(text) - max(limit, 0)
    out, taken = _fill(head, limit, keep, joined)
    if beyond <= 0 and taken == len(head):
        return out
    room = limit - len(f"… ({len(text) + len(head)} more characters)")
    if room < 12:
        return _cut(out, limit - 1) + "…"[: max(limit, 0)]
    out, taken = _fill(head, room, keep, joined)
    return f"{_cut(out, room)}… ({max(beyond, 0) + len(head) - taken} more characters)"


def _fill(head: str, room: int, keep: str, joined: bool) -> tuple[str, int]:
    """Return the safe form of the part of `head` that fits into `room`, and the length of that part."""
    out: list[str] = []
    size = line_start = at = 0
    for run in _rules(head).unsafe.finditer(head):
        plain = head[at : run.start()]
        if size + len(plain) > room:
            break
        out.append(plain)
        line_break = plain.rfind("\n")
        if line_break >= 0:
            line_start = size + line_break + 1
        size += len(plain)
        for at, one in enumerate(run.group(), run.start()):
            special = one in _SPECIAL
            piece = _piece(head, at, one, keep, size - line_start, joined) if special else _name(one)
            if size + len(piece) > room:
                return "".join(out), at
            out.append(piece)
            size += len(piece)
        at = run.end()
    rest = head[at : at + max(room - size, 0)]
    return "".join(out) + rest, at + len(rest)


def _piece(text: str, at: int, one: str, keep: str, column: int, joined: bool) -> str:
    if one in keep or (joined and _joins(text, at)):
        return one
    return " " * (4 - column % 4) if one == "\t" else _name(one)


def _name(one: str) -> str:
    return f"<U+{ord(one):04X}>"


def _cut(text: str, length: int) -> str:
    """Shorten `text` without leaving half a joined character."""
    return text[: max(length, 0)].rstrip(_HALVES)


def _json_pieces(value: object, depth: int, limit: int, joined: bool) -> Iterator[str]:
    if isinstance(value, dict | list | tuple) and value and depth >= MAX_DEPTH:
        yield f'"<more than {MAX_DEPTH} levels deep>"'
    elif isinstance(value, dict) and value:
        keyed = ((_json_string(str(key), limit, joined) + ": ", item) for key, item in value.items())
        yield from _json_items("{}", keyed, depth, limit, joined)
    elif isinstance(value, list | tuple) and value:
        yield from _json_items("[]", (("", item) for item in value), depth, limit, joined)
    else:
        yield _json_scalar(value, limit, joined)


def _json_items(
    braces: str, items: Iterator[tuple[str, object]], depth: int, limit: int, joined: bool
) -> Iterator[str]:
    before = braces[0]
    for key, item in items:
        yield f"{before}\n{'  ' * (depth + 1)}{key}"
        yield from _json_pieces(item, depth + 1, limit, joined)
        before = ","
    yield f"\n{'  ' * depth}{braces[1]}"


def _json_scalar(value: object, limit: int, joined: bool) -> str:
    if isinstance(value, str):
        return _json_string(value, limit, joined)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 10_000:
        return f'"<a whole number of {value.bit_length()} bits>"'
    if value is None or isinstance(value, bool | int | float | dict | list | tuple):
        return json.dumps(value)
    return _json_string(repr(value), limit, joined)


def _json_string(text: str, limit: int, joined: bool) -> str:
    # JSON escapes line breaks and tabs itself.
    if not _is_clean(text) or len(text) > limit:
        text = _shown(text, limit, (), keep="\r\t", joined=joined)
    return json.dumps(text, ensure_ascii=False)
