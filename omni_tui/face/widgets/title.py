"""A pane's title with a count."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget


class PaneTitle(Widget):
    """`SERVERS 4 · 1 failed`, brighter while its pane has the focus (by style)."""

    DEFAULT_CSS = """
    PaneTitle { height: 1; width: 1fr; padding: 0 1 0 2; }
    """

    count: reactive[int | None] = reactive(None)
    failed: reactive[int] = reactive(0)
    hint: reactive[str] = reactive("")

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title.upper()

    def render(self) -> Content:
        """Return the title, its count and a hint at the right."""
        title = Content(self._title)
        if self.count is not None:
            title += Content.styled(f" {self.count}", "$text-3 not bold")
        if self.failed:
            title += Content.styled(f" · {self.failed} failed", "$fail not bold")
        if self.hint:
            room = max(1, self.size.width - title.cell_length - len(self.hint))
            title += Content.styled(" " * room + self.hint, "$text-3 not bold")
        return title
