"""Text on an approval card: every character that does not show is marked, joiners and odd spaces too.

In messages and results a joiner inside a word or an emoji stays as it is. On a card it could hide a
difference between what is read and what is sent, so here it is always written out as `<U+200D>`.
"""

from __future__ import annotations

import re

from omni_tui.protocol import SafeText
from omni_tui.security.identifiers import marked
from omni_tui.security.text import safe

_LIMIT = 10_000_000
"""Nothing on a card is cut by length: what has no room is counted by the card itself."""
_UNSEEN = re.compile(
    "[\u00a0\u00ad\u034f\u115f\u1160\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
"""Joiners, selectors, tags, and spaces that are no plain space."""


def visible(text: str, *, lines: bool = False) -> SafeText:
    """Return `text` with everything that does not show written out as `<U+XXXX>`."""
    return SafeText(_UNSEEN.sub(_name, safe(text, limit=_LIMIT, lines=lines, joined=False)))


def has_invisible(text: str) -> bool:
    """True if `visible` writes something out; line feeds and tabs are not counted."""
    plain = text.replace("\t", " ").replace("\n", " ")
    return visible(plain) != plain


def visible_identifier(text: str) -> SafeText:
    """Return a name made visible, with the code of every letter behind it that passes for another."""
    return visible(marked(text))


def _name(found: re.Match[str]) -> str:
    return _name_of(found.group())


def _name_of(one: str) -> str:
    return f"<U+{ord(one):04X}>"
