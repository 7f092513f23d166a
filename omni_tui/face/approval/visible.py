"""Text on an approval card: every invisible character is written out, joiners and odd spaces too.

In messages and results a joiner inside a word or an emoji stays. On a card it could hide a difference
between what is read and what is sent, so it becomes `<U+200D>`.
"""

from __future__ import annotations

import re

from omni_tui.protocol import SafeText
from omni_tui.security.identifiers import marked
from omni_tui.security.text import safe

_LIMIT = 10_000_000
"""Nothing on a card is cut by length: the card counts what it has no room for."""
_UNSEEN = re.compile(
    "[\u00a0\u00ad\u034f\u115f\u1160\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
"""Joiners, selectors, tags, and spaces other than the plain space."""


def visible(text: str, *, lines: bool = False) -> SafeText:
    """Return `text` with everything invisible written out as `<U+XXXX>`."""
    return SafeText(_UNSEEN.sub(_code, safe(text, limit=_LIMIT, lines=lines, joined=False)))


def has_invisible(text: str) -> bool:
    """Return whether `visible` writes something out; line feeds and tabs do not count."""
    plain = text.replace("\t", " ").replace("\n", " ")
    return visible(plain) != plain


def visible_identifier(text: str) -> SafeText:
    """Return a name made visible; a letter that looks like another is followed by its code."""
    return visible(marked(text))


def _code(found: re.Match[str]) -> str:
    return f"<U+{ord(found.group()):04X}>"
