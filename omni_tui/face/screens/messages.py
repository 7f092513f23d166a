"""All messages that were shown as toasts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from textual.content import Content

from omni_tui.face.formats import counted
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.shell import ToastMessage
from omni_tui.face.widgets.lines_view import wrap_rows

_COLOURS = {"error": "$fail", "warning": "$waiting"}
_TIME = 10


class MessagesScreen(LinesScreen):
    """Lists the messages since the app was started, the newest at the end."""

    def __init__(self, messages: Sequence[ToastMessage]) -> None:
        super().__init__("MESSAGES")
        self._messages = tuple(messages)

    def draw(self) -> None:
        """Show them as soon as the width is known."""
        self.foot(key_line(("esc", "back"), words=counted(len(self._messages), "message")))
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        self.view.show(self._lines(max(self.view.room - _TIME, 20)))
        self.view.action_scroll_end()

    def _lines(self, width: int) -> Iterator[Content]:
        for one in self._messages:
            head = time.strftime("%H:%M:%S", time.localtime(one.at)).ljust(_TIME)
            for row in wrap_rows(one.words, width):
                words = Content.styled(row, _COLOURS.get(one.severity, "$text-1"))
                yield Content.styled(head, "$text-3") + words
                head = " " * _TIME
