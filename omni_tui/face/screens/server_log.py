"""The log of a server: what it wrote to stderr, and the history of its connection."""

from __future__ import annotations

from textual import work
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.formats import counted
from omni_tui.face.messages import CopyText
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.protocol.commands import ReadServerLog
from omni_tui.protocol.events import ServerLogRead
from omni_tui.security.text import safe


class ServerLogScreen(LinesScreen):
    """Shows the log, the newest lines at the end; `r` reloads it."""

    BINDINGS = [Binding("r", "read", "reload"), Binding("y", "copy", "copy")]

    def __init__(self, server: str) -> None:
        super().__init__(f"LOG · {safe(server, lines=False)}")
        self._server = server
        self._lines: tuple[str, ...] = ()

    def on_mount(self) -> None:
        """Read the log."""
        self.action_read()

    @work(group="log", exclusive=True, exit_on_error=False)
    async def action_read(self) -> None:
        """Read the newest lines."""
        reply = await request(shell_of(self), ReadServerLog(server=self._server), self._say)
        if isinstance(reply, ServerLogRead):
            self._lines = reply.lines
            self.view.show(Content.styled(line, "$text-1") for line in reply.lines)
            self.view.action_scroll_end()
            dropped = f"{reply.dropped} older dropped · " if reply.dropped else ""
            self._say(f"{dropped}{counted(len(reply.lines), 'line')}")

    def _say(self, words: str) -> None:
        self.foot(key_line(("esc", "back"), ("r", "reload"), ("y", "copy"), words=words))

    def action_copy(self) -> None:
        """Copy all lines."""
        self.post_message(CopyText("\n".join(self._lines), "the log"))
