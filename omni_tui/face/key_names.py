"""How keys are written on the screen, and the key that undoes in every text."""

from __future__ import annotations

from textual.binding import Binding

_NAMES = {
    "escape": "esc",
    "question_mark": "?",
    "slash": "/",
    "space": "space",
    "delete": "del",
    "backspace": "bksp",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "plus": "+",
    "minus": "-",
    "underscore": "_",
}
UNDO = Binding("ctrl+underscore,super+z", "undo", "Undo", show=False)
"""Undo in every `TextArea`: ctrl+z suspends the app. In most terminals ctrl+/ sends the same as ctrl+_."""


def show_key(key: str, *, spelled: bool = False) -> str:
    """Return the first of some keys as a person writes it: `^p` (`spelled`: `ctrl+p`), `F2`, `esc`."""
    first = key.split(",")[0].strip()
    *modifiers, last = first.split("+") if first != "+" else [first]
    last = _NAMES.get(last, last.upper() if last[:1] == "f" and last[1:].isdigit() else last)
    if modifiers == ["ctrl"] and not spelled:
        return f"^{last}"
    return "+".join([*modifiers, last])
