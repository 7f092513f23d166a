"""A list that is filtered by words and read a page at a time: what the screens of rules and audit share."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.widgets.rows import RowList

_AHEAD = 20
"""Rows before the end of what is loaded at which the next page is asked for."""
_SOON_S = 0.15
"""Seconds from a change to reading again: letters and events come in bursts."""


class FilteredListScreen(TitledScreen[None]):
    """Rows that have every word of a query.

    A subclass lays out `filter_line()`, its rows and `empty_line()`, reads pages with `read` and
    `read_more`, and shows them with `fill`. `message` stands beside the keys, and in an empty list.
    """

    HINT: ClassVar[str] = ""
    """What the words may be of."""
    BINDINGS = [Binding("escape,q", "back", "back"), Binding("slash", "filter", "filter")]

    def __init__(self, title: str, rows: RowList, words: str = "") -> None:
        super().__init__(title)
        self.words = words
        self.total = 0
        self.message = "reading …"
        self.has_more = False
        """Whether there is a further page, and it is not being read."""
        self._heading = title
        self._list = rows
        self._soon: Timer | None = None
        self._from_start = True

    # --- what a subclass is asked for

    def read(self, *, from_start: bool) -> None:
        """Read the rows; unless `from_start`, as many as were shown before."""

    def read_more(self) -> None:
        """Read the next page."""

    def draw(self) -> None:
        """Bring everything up to date."""

    # --- reading

    def filter_line(self) -> Input:
        """Return the line for the words."""
        line = Input(self.words, placeholder=self.HINT, id="list-filter", compact=True)
        line.cursor_blink = False
        return line

    def empty_line(self) -> Static:
        """Return what stands in the place of rows where there are none."""
        return Static(id="list-empty", markup=False)

    def on_mount(self) -> None:
        """Read the first page."""
        self.set_class(bool(self.words), "-filtering")
        self._read()

    def read_soon(self) -> None:
        """Read again, once nothing more has changed for a moment."""
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_SOON_S, self._read)

    def _read(self) -> None:
        from_start, self._from_start = self._from_start, False
        self.read(from_start=from_start)

    def fill(self, keys: list[str]) -> None:
        """Show rows; the cursor stays on its row, or where that was."""
        rows = self._list
        index = rows.keys.index(rows.selected) if rows.selected in rows.keys else 0
        rows.set_keys(keys)
        if rows.selected is None and rows.keys:
            rows.select(rows.keys[min(index, len(rows.keys) - 1)])
        self.draw()

    @on(RowList.Moved)
    def _moved(self) -> None:
        rows = self._list
        at = rows.keys.index(rows.selected) if rows.selected in rows.keys else 0
        if self.has_more and at + _AHEAD >= len(rows.keys):
            self.read_more()
        self.draw()

    # --- the picture

    def draw_list(self, none: str, no_match: str) -> None:
        """Draw the rows and their number; of no rows say that there are none, or none with these words."""
        self._list.refresh()
        title = Content.assemble((self._heading, "bold $mine"), (f" {self.total:,}", "$text-3"))
        self.query_one("#screen-title", Static).update(title)
        self.set_class(not self._list.keys, "-empty")
        if not self._list.keys:
            words = self.message or (no_match if self.words else none)
            self.query_one("#list-empty", Static).update(Content.styled(words, "$text-2"))

    def draw_keys(self, *keys: tuple[str, str]) -> None:
        """Draw the line of keys, with what there is to say."""
        line = key_line(("/", "filter"), *keys, ("esc", "back"))
        if self.message:
            line += Content.styled(f"   {self.message}", "$waiting")
        self.foot(line)

    def say(self, words: str) -> None:
        """Say something beside the keys."""
        self.message = words
        self.draw()

    # --- the filter

    def action_filter(self) -> None:
        """Filter by words."""
        self.add_class("-filtering")
        self.query_one("#list-filter", Input).focus()

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        if event.value.strip() != self.words:
            self.words = event.value.strip()
            self.has_more, self._from_start = False, True
            self.read_soon()

    @on(Input.Submitted)
    def _filter_done(self, event: Input.Submitted) -> None:
        event.stop()
        self._leave_filter()

    def _leave_filter(self, *, clear: bool = False) -> None:
        line = self.query_one("#list-filter", Input)
        if clear:
            line.value = ""
        self.set_class(bool(line.value.strip()), "-filtering")
        self._list.focus()

    def action_back(self) -> None:
        """Leave the filter, or close the screen."""
        if self.query_one("#list-filter", Input).has_focus:
            self._leave_filter(clear=True)
        else:
            self.dismiss(None)
