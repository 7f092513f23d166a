"""Text on an approval card: every invisible character is written out, joiners and odd spaces too."""

from __future__ import annotations

from omni_tui.protocol import SafeText
from omni_tui.security.identifiers import marked
from omni_tui.security.text import safe_for_card


def visible(text: str, *, lines: bool = False) -> SafeText:
    """Return `text` with everything invisible written out as `<U+XXXX>`."""
    return safe_for_card(text, lines=lines)


def has_invisible(text: str) -> bool:
    """Return whether `visible` writes something out; line feeds and tabs do not count."""
    plain = text.replace("\t", " ").replace("\n", " ")
    return visible(plain) != plain


def visible_identifier(text: str) -> SafeText:
    """Return a name made visible; a letter that looks like another is followed by its code."""
    return visible(marked(text))
