"""A line of tabs, drawn as words: the one in front bright, the others dim."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class TabLine(Widget):
    """`text · JSON · structured · raw`, with a note at the right edge. A click goes to a tab."""

    DEFAULT_CSS = """
    TabLine { height: 1; width: 1fr; padding: 0 1; }
    """

    current: reactive[str] = reactive("")
    note: reactive[Content] = reactive(Content(""))

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, tabs: TabLine, name: str) -> None:
            super().__init__()
            self.tabs = tabs
            self.name = name

        @property
        def control(self) -> TabLine:
            """The line that sent this."""
            return self.tabs

    def __init__(self, names: Sequence[str], current: str) -> None:
        super().__init__()
        self.names = list(names)
        self.missing: frozenset[str] = frozenset()
        self.set_reactive(TabLine.current, current)

    def render(self) -> Content:
        """Draw the names, and the note where there is room."""
        dot = Content.styled(" · ", "$text-3")
        line = dot.join(Content.styled(name, self._style(name)) for name in self.names)
        room = self.size.width - line.cell_length - self.note.cell_length
        return line + Content(" " * room) + self.note if room > 1 else line

    def _style(self, name: str) -> str:
        if name == self.current:
            return "bold $mine"
        return "$text-3" if name in self.missing else "$text-2"

    def beside(self, by: int) -> str:
        """Return the name of the tab `by` places further, round the end."""
        return self.names[(self.names.index(self.current) + by) % len(self.names)]

    def on_click(self, event: events.Click) -> None:
        """Find the tab under the mouse."""
        right = 1
        for name in self.names:
            right += len(name) + 3
            if event.x < right - 1:
                self.post_message(self.Chosen(self, name))
                return
