"""A list of one-line rows with a cursor."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.scrollbar import CalmScrolling


class RowList(CalmScrolling, ScrollView, can_focus=True):
    """Rows identified by keys. `selected` is the key of the row with the cursor, None if there is none.

    Subclasses draw rows. The cursor stays on its row when others are added or removed.
    """

    DEFAULT_CSS = """
    RowList { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    """
    BINDINGS = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("home", "go(0)", show=False),
        Binding("end", "go(-1)", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Moved(Message):
        """The cursor moved to another row (`key`), or to none."""

        def __init__(self, rows: RowList, key: str | None) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

        @property
        def control(self) -> RowList:
            """The sender."""
            return self.rows

    class Chosen(Moved):
        """Enter or a double click on a row."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.keys: list[str] = []
        self.selected: str | None = None

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return a row; `number` counts from 1."""
        return Content(key)

    def set_keys(self, keys: Sequence[str]) -> None:
        """Show these rows."""
        self.keys = list(keys)
        if self.selected is not None and self.selected not in self.keys:
            self.selected = None
        self.virtual_size = Size(self.size.width, len(self.keys))
        self.refresh(layout=True)

    def select(self, key: str | None) -> None:
        """Put the cursor on a row, or on none."""
        if key == self.selected:
            return
        self.selected = key
        if key is not None:
            self.scroll_to_region(Region(0, self.keys.index(key), 1, 1), animate=False)
        self.refresh()
        self.post_message(self.Moved(self, key))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of rows, at least 1."""
        return max(1, len(self.keys))

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Return the full width."""
        return container.width

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Draw the cursor in another colour."""
        super().watch_has_focus(_has_focus)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        width = self.size.width
        index = y + round(self.scroll_offset.y)
        if index >= len(self.keys):
            return Strip.blank(width, self.rich_style)
        key = self.keys[index]
        row = fit_content(self.render_row(key, width, index + 1), width)
        row = row.extend_right(width - row.cell_length)
        if key == self.selected:
            row = row.stylize_before("on $cursor" if self.has_focus else "on $bar")
        return Visual.to_strips(self, row, width, 1, self.visual_style, pad=True)[0]

    def action_move(self, by: int) -> None:
        """Move the cursor; without one, go to the first or last row."""
        if not self.keys:
            return
        if self.selected is None:
            self.select(self.keys[0 if by > 0 else -1])
            return
        index = self.keys.index(self.selected) + by
        self.select(self.keys[max(0, min(index, len(self.keys) - 1))])

    def action_go(self, index: int) -> None:
        """Move the cursor to a row, counted from the end if negative."""
        if self.keys:
            self.select(self.keys[index])

    def action_choose(self) -> None:
        """Choose the row with the cursor."""
        if self.selected is not None:
            self.post_message(self.Chosen(self, self.selected))

    def on_click(self, event: events.Click) -> None:
        """Select the row under the mouse; a double click chooses it."""
        index = event.y + round(self.scroll_offset.y)
        if 0 <= index < len(self.keys):
            self.select(self.keys[index])
            if event.chain >= 2:
                self.action_choose()
