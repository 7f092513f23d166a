"""What a terminal would make of a tape of bytes: text, and every control it would obey.

A parser after ECMA-48 as xterm reads it, with C1 controls in their UTF-8 form taken as controls. It
shares nothing with the code under test, nor with `pyte`, which forgives.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_PLAIN = re.compile("[^\x00-\x1f\x7f-\x9f\udc80-\udcff]*")
_STRINGS = {"P": "DCS", "X": "SOS", "]": "OSC", "^": "PM", "_": "APC"}


class Control(NamedTuple):
    """One thing a terminal would do: its `kind`, what tells it from others of the kind, and its data."""

    kind: str
    what: str
    data: str

    @property
    def sort(self) -> tuple[str, str]:
        """What an allow-list names."""
        return (self.kind, self.what)


class Text(str):
    """Characters a terminal would show."""

    __slots__ = ()


def read(tape: bytes) -> Iterator[Control | Text]:
    """Yield what is on the tape, in order. Bytes that are no UTF-8 are controls of the kind `BAD`."""
    text = tape.decode("utf-8", "surrogateescape")
    at = 0
    while at < len(text):
        plain = _PLAIN.match(text, at)
        assert plain is not None
        if plain.end() > at:
            yield Text(plain.group())
        if (at := plain.end()) < len(text):
            control, at = _control(text, at)
            yield control


def _control(text: str, at: int) -> tuple[Control, int]:
    one = text[at]
    if one == "\x1b" and at + 1 < len(text):
        following = text[at + 1]
        if following == "[":
            return _csi(text, at + 2)
        if following in _STRINGS:
            return _string(text, at + 2, _STRINGS[following])
        end = at + 1
        while end < len(text) and " " <= text[end] <= "/":
            end += 1
        return Control("ESC", text[at + 1 : end + 1], ""), end + 1
    if "\udc80" <= one <= "\udcff":
        return Control("BAD", hex(ord(one) & 0xFF), ""), at + 1
    return Control("C1" if one >= "\x80" else "C0", f"U+{ord(one):04X}", ""), at + 1


def _csi(text: str, at: int) -> tuple[Control, int]:
    end = at
    while end < len(text) and "0" <= text[end] <= "?":
        end += 1
    parameters = text[at:end]
    begun = end
    while end < len(text) and " " <= text[end] <= "/":
        end += 1
    final = text[begun : end + 1]
    private = parameters[:1] if parameters[:1] in ("<", "=", ">", "?") else ""
    # Modes and private sequences differ by their numbers; of colours and positions there are many.
    what = parameters + final if private or final not in ("m", "H") else final
    return Control("CSI", what, parameters), end + 1


def _string(text: str, at: int, kind: str) -> tuple[Control, int]:
    end = at
    while end < len(text) and text[end] not in "\x07\x9c\x1b":
        end += 1
    data = text[at:end]
    after = end + (2 if text[end : end + 2] == "\x1b\\" else 1)
    return Control(kind, data.partition(";")[0] if kind == "OSC" else "", data), after


def not_seen(text: str) -> set[str]:
    """Return the characters of a text that a person could not see, by Unicode's own categories.

    Joiners and selectors count as well: the texts of these tests have no emoji.
    """
    return {
        f"U+{ord(one):04X}"
        for one in set(text)
        if unicodedata.category(one) in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")
        or "\ufe00" <= one <= "\ufe0f"
        or "\U000e0000" <= one <= "\U000e0fff"
    }
