"""The key that undoes a change of a text: ctrl+z suspends the whole app."""

from __future__ import annotations

from textual.binding import Binding

UNDO = Binding("ctrl+underscore,super+z", "undo", "Undo", show=False)
"""For every `TextArea`. In most terminals ctrl+/ sends the same as ctrl+_."""
