"""Calls with random arguments, and what of them must be readable on a card. Written apart from the card.

Every key and every text carries a word that stands nowhere else, so that finding it means something.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import TypeAlias

Node: TypeAlias = "str | Raw | Table | list[Node]"
_WIDE = "漢字かな한글ＡＢ"
_ODD = "\u200d\u200c\u200b\u202e\u00a0\u3000\ufe0f\u00ad"
_WORDS = ("path", "notes", "été", "Ωμέγα", "данные", "a\u0301b", "½", "🚀", "👍🏽", "🇩🇪", *_WIDE)


class Raw(str):
    """A number or a word of JSON, as it is sent."""


class Table(list[tuple[str, "Node"]]):
    """An object; a key may stand in it twice."""


class Maker:
    """Makes arguments from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._words = 0

    def arguments(self) -> Table:
        """Return the arguments of one call, of a size that travels with its card."""
        while len(sent(table := self._arguments())) > 40_000:
            self._words = 0
        return table

    def _arguments(self) -> Table:
        many = self.random.choice((0, 1, 1, 2, 3, 5, 8, 60))
        table = Table((self._key(), self._value(0)) for _ in range(many))
        if table and self.random.random() < 0.1:
            table = Table([*self._edit(), *table[:1]])
        if len(table) > 1 and self.random.random() < 0.1:
            table[-1] = (table[0][0], table[-1][1])
        return table

    def _word(self) -> str:
        self._words += 1
        return f"w{self._words}z"

    def _key(self) -> str:
        kind = self.random.random()
        if kind < 0.4:
            return self._word()
        if kind < 0.6:
            return (
                self._word() + self.random.choice(("_", ".", "-", "/")) * self.random.randint(1, 90) + "e"
            )
        if kind < 0.7:
            return self._word() + self.random.choice(_WIDE) * self.random.randint(1, 40)
        if kind < 0.8:
            return (
                f"{self._word()} {self.random.choice(('sent as', 'a: b', '12 lines', '“x”', '<U+200B>'))}"
            )
        if kind < 0.9:
            return self._word() + self.random.choice(_ODD) + "x"
        return self._text()[:80]

    def _text(self) -> str:
        pieces = [self._word()]
        for _ in range(self.random.choice((0, 0, 1, 3, 12, 12, 60))):
            kind = self.random.random()
            if kind < 0.7:
                pieces.append(self.random.choice(_WORDS))
            elif kind < 0.8:
                pieces.append(self.random.choice(_ODD + '\t"\\\x1b'))
            elif kind < 0.9:
                pieces.append(" " * self.random.choice((1, 2, 23, 24, 300)))
            else:
                pieces.append(self.random.choice("xyz") * self.random.randint(1, 300))
            pieces.append(self.random.choice(("", " ")))
        return "".join(pieces)

    def _lines(self) -> str:
        rows = [self._text()]
        for _ in range(self.random.choice((1, 2, 5, 12))):
            rows += [""] * self.random.choice((0, 0, 0, 1, 3, 4, 90))
            rows += [self._text() + " " * self.random.choice((0, 0, 1, 30))]
        return "\n".join(rows)

    def _edit(self) -> Table:
        old, new = self.random.choice(
            (("oldText", "newText"), ("old_str", "new_str"), ("search", "replace"))
        )
        before = self._lines().split("\n")
        after = [row for row in before if self.random.random() < 0.7] + [self._text()]
        return Table([(old, "\n".join(before)), (new, "\n".join(after))])

    def _value(self, depth: int) -> Node:
        kind = self.random.random()
        if kind < 0.35:
            return self._text()
        if kind < 0.45:
            return self._lines()
        if kind < 0.65 or depth > 30 or self._words > 300:
            self._words += 1
            number = f"{self._words}{self.random.randint(10**6, 10**9)}"
            return Raw(
                self.random.choice((number, f"-{number}", f"{number}.50", f"{number}e99", "true", "null"))
            )
        if kind < 0.7:
            return [self._edit() for _ in range(self.random.randint(1, 3))]
        many = self.random.choice((0, 1, 2, 4, 12 if depth < 2 else 1))
        if self.random.random() < 0.5:
            return Table((self._key(), self._value(depth + 1)) for _ in range(many))
        return [self._value(depth + 1) for _ in range(many)]


def sent(value: Node) -> str:
    """Return a value as it goes to the server."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Table):
        return "{" + ",".join(f"{json.dumps(key)}:{sent(item)}" for key, item in value) + "}"
    return "[" + ",".join(sent(item) for item in value) + "]"


def cells(text: str) -> str:
    """Return what is left of painted text for comparing: everything but the blanks."""
    return "".join(text.split())


def missing(key: str, value: Node, painted: str) -> list[str]:
    """Return what of an argument is not in the painted cells (as `cells` gives them)."""
    return [
        options[0] for options in _needed(key, value) if not any(cells(one) in painted for one in options)
    ]


def missing_of_edit(table: Table, painted: str) -> list[str]:
    """Return what of the two texts of an edit is not in the painted cells."""
    rows = [row for _key, text in table[:2] if isinstance(text, str) for row in text.split("\n")]
    return [row for row in rows if cells(_row(row)) not in painted]


def _needed(key: str, value: Node) -> Iterator[tuple[str, ...]]:
    """Yield what has to be there, each with the forms it may have."""
    if isinstance(value, Raw):
        yield tuple(name + value for name in _names(key))
    elif isinstance(value, str) and "\n" in value:
        yield tuple(f"{name}{value.count(chr(10)) + 1} lines" for name in _names(key))
        yield from ((_row(row),) for row in value.split("\n") if row)
        yield from ((_exactly(row),) for row in value.split("\n") if _is_odd(row))
    elif isinstance(value, str):
        shown = (_row(value), _row(json.dumps(value, ensure_ascii=False)))
        yield tuple(name + text for name in _names(key) for text in shown)
        if _is_odd(value):
            yield (_exactly(value),)
    else:
        yield tuple(_names(key))
        yield from ((one,) for one in _inside(value))
        if _is_odd(sent(value).encode().decode("unicode_escape", "replace")) and not _edits(value):
            yield (sent(value),)


def _inside(value: Node) -> Iterator[str]:
    if isinstance(value, Raw):
        yield str(value)
    elif isinstance(value, str):
        yield marked(json.dumps(value, ensure_ascii=False))
    elif _edits(value):
        for edit in value:
            assert isinstance(edit, Table)
            yield from (_row(row) for _key, text in edit[:2] for row in str(text).split("\n"))
    elif isinstance(value, Table):
        for key, item in value:
            name = marked(json.dumps(key, ensure_ascii=False))
            first, *rest = _inside(item) if not isinstance(item, list) else (None,)
            yield f"{name}:{first}" if first is not None else f"{name}:"
            yield from (one for one in rest if one is not None)
            if isinstance(item, list):
                yield from _json_inside(item)
    else:
        for one in value:
            yield from _json_inside(one)


def _json_inside(value: Node) -> Iterator[str]:
    """Yield the leaves of a value that is drawn as JSON, whatever its shape."""
    if isinstance(value, Table):
        for key, item in value:
            yield marked(json.dumps(key, ensure_ascii=False)) + ":"
            yield from _json_inside(item)
    elif not isinstance(value, str):
        for one in value:
            yield from _json_inside(one)
    else:
        yield str(value) if isinstance(value, Raw) else marked(json.dumps(value, ensure_ascii=False))


def _edits(value: Node) -> bool:
    def is_edit(one: Node) -> bool:
        return (
            isinstance(one, Table)
            and len(one) == 2
            and one[0][0] in ("oldText", "old_str", "search")
            and all(isinstance(text, str) and not isinstance(text, Raw) for _key, text in one)
        )

    return (
        isinstance(value, list)
        and not isinstance(value, Table)
        and bool(value)
        and all(map(is_edit, value))
    )


def _names(key: str) -> tuple[str, ...]:
    return marked(key), marked(json.dumps(key, ensure_ascii=False)), json.dumps(key)


def _exactly(text: str) -> str:
    return json.dumps(text)


def _row(text: str) -> str:
    """Return one line as a card writes it: long gaps counted, blanks at its end as dots."""
    text = marked(text)
    end = len(text.rstrip(" "))
    tail = len(text) - end
    body = re.sub(" {24,}", lambda gap: f" ⋯ {len(gap.group())} spaces ⋯ ", text[:end])
    return body + ("·" * tail if tail < 24 else f"⋯ {tail} spaces")


def marked(text: str) -> str:
    """Return a text with what does not show written out."""
    return re.sub(f"[{_ODD}\t\x1b]", lambda odd: f"<U+{ord(odd.group()):04X}>", text)


def _is_odd(text: str) -> bool:
    return re.search(f"[{_ODD}\x1b]", text) is not None
