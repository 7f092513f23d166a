"""Bring texts into one form, so that a copy is recognised in another layout or encoding.

Only letters and digits count, whatever their case and width: `Mark.Black@x.org`, `MARK BLACK @ X ORG` and
`mark\\nblack%40x.org` are the same. What a program would decode is decoded, once: escapes of JSON,
percent-encoding, HTML's references, Base64.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

SHORTEST = 6
"""Letters and digits from which a text is looked for: shorter ones stand in every text."""

_NOT_LETTERS = re.compile(r"[\W_]+")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_SPACES = dict.fromkeys("bfnrt", " ")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_LEAST = 16
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{{_LEAST},}}={{0,2}}")
_URL_SAFE = str.maketrans("-_", "+/")
_NO_TEXT = "\ufffd"
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")
_WORD = re.compile(r"[^\s<>()\[\]{}\"'`,;|/?#&=:\\*]{6,}")
_NAME_MARK = re.compile(r"\d|\w[@._]\w")


def decoded(text: str) -> str:
    """Return what a text says once its escapes are read."""
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if "%" in text and _PERCENT.search(text):
        text = unquote(text, errors="replace")
    return html.unescape(text) if "&" in text else text


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the Base64 in a text says.

    `whole`: each piece that is text from its first to its last byte. `parts`: what there is of text in all
    pieces, once for each of four places at which the Base64 may begin. It holds some chance letters too: a
    short value that is found there means nothing.
    """

    whole: list[str]
    parts: list[str]


def hidden(text: str) -> Hidden:
    """Return what the Base64 in a text says.

    What stands before it without a gap, as in `/leak/TEXT` of an address, is of the same alphabet. So each
    piece is read from its first four places, and the same for its parts between slashes: no character is
    decoded more than eight times. Controls do not count, as they do not elsewhere. Bytes that are no text
    part the others.
    """
    pieces = [found.rstrip("=") for found in _BASE64.findall(text)]
    pieces += [part for piece in pieces if "/" in piece for part in piece.split("/") if len(part) >= _LEAST]
    whole: list[str] = []
    places: list[list[str]] = [[], [], [], []]
    for piece in pieces:
        for place, runs in enumerate(places):
            said = _said(piece[place:])
            plain = _CONTROLS.sub("", said)
            if not place and plain == said and _NO_TEXT not in said:
                whole.append(said)
            long = (run for run in plain.split(_NO_TEXT) if len(run) >= SHORTEST)
            runs += [run for run in long if len(letters(run)) >= SHORTEST]
    return Hidden(whole, ["\n".join(runs) for runs in places if runs])


def folded(text: str) -> str:
    """Return a text without differences of case and width."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def letters(text: str) -> str:
    """Return the letters and digits of a folded text."""
    return _NOT_LETTERS.sub("", text)


def names(text: str) -> set[str]:
    """Return the addresses, hosts, numbers, dates and identifiers in a folded text, by their letters.

    That is every word of at least six letters and digits with a digit, an @, a dot or a low line in it.
    """
    marked = {letters(word) for word in _WORD.findall(text) if _NAME_MARK.search(word)}
    return {name for name in marked if len(name) >= SHORTEST}


def _unescaped(found: re.Match[str]) -> str:
    sign = found[0][1:]
    return chr(int(sign[1:], 16)) if len(sign) > 1 else _SPACES.get(sign, sign)


def _said(body: str) -> str:
    """Return what Base64 says, whatever its length."""
    body = body[:-1] if len(body) % 4 == 1 else body
    raw = base64.b64decode(body.translate(_URL_SAFE) + "=" * (-len(body) % 4))
    return raw.decode(errors="replace")
