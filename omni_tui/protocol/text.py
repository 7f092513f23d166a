"""The types of strings that are safe to show."""

from __future__ import annotations

from typing import NewType

SafeText = NewType("SafeText", str)
"""Text that has passed `omni_tui.security.text`: no control, escape, bidi or invisible characters.

It may still look like Textual markup; widgets must take it as `Content`, never as a markup string.
"""

JsonText = NewType("JsonText", str)
"""A JSON document in printable ASCII (everything else is `\\uXXXX`): exact, and inert on a terminal.

Used where the very value matters (arguments, schemas). Strings inside it are *not* safe to show
once decoded; pass them through `omni_tui.security.text.safe`.
"""
