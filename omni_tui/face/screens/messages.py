"""What the app said in passing, whole: a toast is gone after a few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.shell import ToastMessage
from omni_tui.face.widgets.lines_view import LinesView, wrap_rows

_COLOURS = {"error": "$fail", "warning": "$waiting"}
_TIME = 10


class MessagesScreen(Screen[None]):
    """Lists the messages of this start, the newest at the end."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [Binding("escape,q", "back", "back")]

    def __init__(self, told: Sequence[ToastMessage]) -> None:
        super().__init__()
        self._told = tuple(told)

    def compose(self) -> ComposeResult:
        """Title, messages, keys."""
        yield Static(Content.styled("MESSAGES", "bold $mine"), id="screen-title", markup=False)
        yield LinesView(id="messages")
        yield Static(
            Content.assemble(("esc", "bold $text-2"), (" back   ", "$text-3"), (self._count(), "$text-3")),
            id="screen-foot",
            markup=False,
        )

    def on_mount(self) -> None:
        """Lay them out at this width."""
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        """Lay them out again."""
        self.call_after_refresh(self._fill)

    def _count(self) -> str:
        many = len(self._told)
        return "nothing was said so far" if not many else f"{many} message{'s' * (many != 1)}"

    def _fill(self) -> None:
        view = self.query_one(LinesView)
        view.show(self._lines(max(view.room - _TIME, 20)))
        view.scroll_end(animate=False)

    def _lines(self, width: int) -> Iterator[Content]:
        for one in self._told:
            head = time.strftime("%H:%M:%S", time.localtime(one.at)).ljust(_TIME)
            for row in wrap_rows(one.words, width):
                yield Content.styled(head, "$text-3") + Content.styled(
                    row, _COLOURS.get(one.severity, "$text-1")
                )
                head = " " * _TIME

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)
