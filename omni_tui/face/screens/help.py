"""F1: the keys of the focused pane, then those that work everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.content import Content

from omni_tui.face.actions import Action, for_target
from omni_tui.face.key_names import show_key
from omni_tui.face.keys import with_keys
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.widgets.lines_view import wrap

if TYPE_CHECKING:
    from omni_tui.face.screens.main import PaneName

_NOTES = (
    "Select with the mouse and press {interrupt} to copy; hold Shift to use the terminal's own selection.",
    "Change keys in the [keys] table of the config file, by the names at the right.",
)
_MARGIN = 5
"""Cells beside a row: padding and scroll bar."""
_WIDE = 100
_KEYS_WIDE, _KEYS_NARROW = 28, 16
"""Width of the column of keys on a wide and a narrow screen. Longer keys have their own row."""


class HelpScreen(LinesScreen):
    """Lists the keys of a pane and of the app. `about` is the pane's `HELP`."""

    BINDINGS = [Binding("escape,q,f1", "back", "back", priority=True)]

    def __init__(self, pane: PaneName, about: str, keymap: Mapping[str, str]) -> None:
        super().__init__(f"KEYS · {pane.upper()}")
        self._about = with_keys(about, keymap)
        self._notes = [with_keys(note, keymap) for note in _NOTES]
        writing = [("writing", for_target("composer"))] if pane == "chat" else []
        sections = [("here", for_target(pane)), *writing, ("from anywhere", for_target("app"))]
        self._sections = [(name, list(_rows(found, keymap))) for name, found in sections]

    def draw(self) -> None:
        """Show the list in columns that fit."""
        self.view.show(self._lines(max(20, self.size.width - _MARGIN)))
        self.foot(key_line(("esc", "back"), ("↑ ↓", "scroll")))

    def _lines(self, width: int) -> Iterator[Content]:
        if self._about:
            yield Content.styled(self._about, "$text-2")
            yield Content("")
        shown = [len(keys) for _title, rows in self._sections for keys, _what, _name in rows]
        column = min(max(shown, default=0), _KEYS_WIDE if width >= _WIDE else _KEYS_NARROW)
        for title, rows in self._sections:
            yield Content.styled(title.upper(), "bold $text-2")
            for keys, what, name in rows:
                yield from _row(keys, what, name, column, width)
            yield Content("")
        for note in self._notes:
            yield Content.styled(note, "$text-3")


def _rows(found: Iterable[Action], keymap: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (keys, what it does, name) of the actions that have a key or a command."""
    for action in found:
        shown = "  ".join(show_key(key) for key in action.keys_now(keymap).split(",") if key)
        if shown or action.usage:
            yield shown, f"{action.description}  {action.usage}".rstrip(), action.name


def _row(keys: str, what: str, name: str, column: int, width: int) -> list[Content]:
    """Return the lines of one action: its keys, then what it does in the second column."""
    text, slash, command = what.partition("  /")
    said = Content.assemble(
        (text, "$text-2"),
        (f"  {slash.strip()}{command}" if slash else "", "$mine"),
        (f"  {name}", "$text-3"),
    )  # fmt: skip
    margin = " " * (column + 4)
    lines = wrap(said, max(16, width - len(margin)))
    if len(keys) > column:
        return [Content.styled(f"  {keys}", "bold $text-1"), *(margin + line for line in lines)]
    first = Content.styled(f"  {keys:<{column}}  ", "bold $text-1")
    return [first + lines[0], *(margin + line for line in lines[1:])]
