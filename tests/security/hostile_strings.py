"""Hostile strings without end, the same ones for the same seed: each has a number, so that it can be found.

What `PIECES` has by hand, in other orders, cut anywhere and put into each other, and beside it random
control strings, random characters of every category, markup, Markdown, JSON, paths, long lines and piles.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable
from functools import cache

from tests.security.hostile import PIECES

NUMBERED = re.compile(r"q(\d{6,})q")
_UNASSIGNED = "\u0378\ufdd0\uffff\ufffe\U0001ffff\U000e0fff\U000e01f0\U0010ffff"
_ENDS = ("\x07", "\x1b\\", "\x9c", "")
_MARKUP = (
    "[/]", "[bold", "[@click=app.quit]x[/]", "[link='http://evil.example']x[/link]", "[$text]",
    "[[", "]]", "\\[", "[on red]", "[/link]", "[reverse]y[/reverse]", "[#ff0000]", "[@click=app.bell()]",
)  # fmt: skip
_MARKDOWN = (
    "[a](javascript:x)", "![i](http://evil.example/i.png)", "<script>x</script>", "```\x1b[31m\n",
    "|a|b|\n|-|-|\n",
    "> " * 40, "* " * 60, "#" * 7 + " x", "<http://evil.example>", "[r]: javascript:x",
    "&#27;[31m", "&lt;", "~~~",
)  # fmt: skip
_JSON = (
    '{"a":"\\u001b[31m"}',
    '{"a":' * 30,
    "[" * 200,
    '"\\ud83d"',
    "NaN",
    "1e999",
    '{"a":1,"a":2}',
    "\\u202e",
)
_PATHS = (
    "../" * 20 + "etc/passwd", "C:\\con\\nul", "file:///\u202egpj.exe", "http://user:pass@evil.example/\x1b[2J",
    "https://xn--80ak6aa92e.example/", "javascript:alert(1)", "//evil\\@good", "a\x00b", "%1b%5b2J",
)  # fmt: skip
_SCRIPTS = (
    "漢字カナ",
    "עברית",
    "العربية",
    "हिन्दी",
    "ไทย",
    "👩\u200d👩\u200d👧",
    "🏳\ufe0f\u200d🌈",
    "e\u0301",
    "Ⅷ",
    "ａｂ",
)


@cache
def _assigned() -> tuple[str, ...]:
    """Return all characters that this Python knows, the rare categories first."""
    every = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) != "Cn"]
    return tuple(every)


@cache
def _unseen() -> tuple[str, ...]:
    return tuple(one for one in _assigned() if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Zs"))


@cache
def _marks() -> tuple[str, ...]:
    return tuple(one for one in _assigned() if unicodedata.category(one) in ("Mn", "Me", "Mc"))


_LENGTHS = (16, 24, 24, 40, 40, 80, 200, 4_000)


class HostileStrings:
    """A source of hostile strings. `made` counts them; the next one has that number."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.made = 0

    def next(self, limit: int = 4_000) -> str:
        """Return the next string, of at most `limit` characters and its number.

        Most are short, so that many of them have room on one screen.
        """
        limit = min(limit, self.random.choice(_LENGTHS))
        number = f"q{self.made:06d}q"
        self.made += 1
        text = "".join(self._part() for _ in range(self.random.choice((1, 1, 1, 2, 4))))
        whole = (number + text)[: max(limit, len(number))]
        # Two halves side by side are one character as soon as they were JSON once.
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

    def _part(self) -> str:
        return self.random.choice(_PARTS)(self.random)


def _piece(draw: random.Random) -> str:
    text = draw.choice(tuple(PIECES.values()))
    if draw.random() < 0.5:
        return text
    first, last = sorted((draw.randrange(len(text) + 1), draw.randrange(len(text) + 1)))
    return text[first:last]


def _sequence(draw: random.Random) -> str:
    begin = draw.choice(
        ("\x1b[", "\x9b", "\x1b]", "\x9d", "\x1bP", "\x90", "\x1b_", "\x1b^", "\x1bX", "\x1b")
    )
    numbers = ";".join(str(draw.choice((0, 1, 2, 6, 8, 52, 66, 201, 777, 1049, 9999))) for _ in range(3))
    private = draw.choice(("", "?", ">", "=", "<"))
    body = f"{private}{numbers}{draw.choice('mHJKhlnrtcqsu~@ABCDPXZ`')}"
    return f"{begin}{body}{draw.choice(_ENDS)}"


def _characters(draw: random.Random) -> str:
    return "".join(draw.choice(_assigned()) for _ in range(draw.randrange(1, 40)))


def _invisible(draw: random.Random) -> str:
    return "".join(draw.choice((draw.choice(_unseen()), "a", " ")) for _ in range(draw.randrange(1, 30)))


def _pile(draw: random.Random) -> str:
    return "a" + "".join(draw.choice(_marks()) for _ in range(draw.randrange(1, 60)))


def _long(draw: random.Random) -> str:
    return draw.choice(("x", "漢", " ", "\u3000", "\t", "\u200b", "a\u0301", "ab ")) * draw.choice(
        (60, 130, 250, 600)
    )


def _lines(draw: random.Random) -> str:
    return (
        draw.choice(("\n", "\r", "\r\n", "\u2028", "\x0b", "\x0c", "\x85", " \n"))
        * draw.choice((1, 1, 2, 3, 12))
        + "end"
    )


def _from(words: tuple[str, ...]) -> Callable[[random.Random], str]:
    def one(draw: random.Random) -> str:
        return draw.choice(words)

    return one


_PARTS: tuple[Callable[[random.Random], str], ...] = (
    _piece, _piece, _piece, _sequence, _sequence, _sequence, _characters, _characters, _invisible, _pile,
    _long, _lines, _from(_MARKUP), _from(_MARKDOWN), _from(_JSON), _from(_PATHS), _from(_SCRIPTS),
    _from(tuple(_UNASSIGNED)),
    _from(("\ud83d", "\udc00", "\udfff\ud800")),
)  # fmt: skip


def unseen_in(text: str) -> set[str]:
    """Return the characters of a text on a screen that a person could not see, by Unicode's own categories.

    Joiners and the selectors of emoji may stand between letters that join and in emoji.
    """
    return {
        f"U+{ord(one):04X}"
        for one in set(text)
        if one not in "\n\u200c\u200d\ufe0e\ufe0f"
        and (
            unicodedata.category(one) in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")
            or "\ufe00" <= one <= "\ufe0f"
            or "\U000e0000" <= one <= "\U000e0fff"
        )
    }
