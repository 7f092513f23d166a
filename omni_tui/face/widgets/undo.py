"""The key that takes back a change of a text: ctrl+z puts the whole app in the background."""

from __future__ import annotations

from textual.binding import Binding

UNDO_KEYS = "ctrl+underscore,super+z"
"""In most terminals ctrl+/ sends the same. The shell's own line editor has it too."""

UNDO = Binding(UNDO_KEYS, "undo", "Undo", show=False)
"""For every `TextArea`."""
