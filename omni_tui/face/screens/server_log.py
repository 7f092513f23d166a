"""The log of a server: what it wrote to stderr, and the history of its connection."""

from __future__ import annotations

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.formats import counted
from omni_tui.face.messages import CopyText
from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import LinkClosed
from omni_tui.protocol.commands import ReadServerLog
from omni_tui.protocol.events import ServerLogRead
from omni_tui.security.text import safe


class ServerLogScreen(Screen[None]):
    """Shows the log, the newest lines at the end; `r` reloads it."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [
        Binding("escape,q", "back", "back"),
        Binding("r", "read", "reload"),
        Binding("y", "copy", "copy"),
    ]

    def __init__(self, server: str) -> None:
        super().__init__()
        self._server = server
        self._lines: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the title, the lines and the keys."""
        title = f"LOG · {safe(self._server, lines=False)}"
        yield Static(Content.styled(title, "bold $mine"), id="screen-title", markup=False)
        yield LinesView(words=True, id="log")
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Read the log."""
        self.action_read()

    @work(group="log", exclusive=True, exit_on_error=False)
    async def action_read(self) -> None:
        """Read the newest lines."""
        view, port = self.query_one(LinesView), shell_of(self).port
        try:
            reply = await port.ask(ReadServerLog(server=self._server))
        except CommandError as refused:
            self._say(" ".join(filter(None, (refused.failure.what, refused.failure.why))))
        except (TimeoutError, LinkClosed):
            self._say("The engine did not answer; r tries again.")
        else:
            assert isinstance(reply, ServerLogRead)
            self._lines = reply.lines
            view.show(Content.styled(line, "$text-1") for line in reply.lines)
            view.action_scroll_end()
            dropped = f"{reply.dropped} older dropped · " if reply.dropped else ""
            self._say(f"{dropped}{counted(len(reply.lines), 'line')}")

    def _say(self, words: str) -> None:
        foot = Content.assemble(
            ("esc", "bold $text-2"), (" back   ", "$text-3"),
            ("r", "bold $text-2"), (" reload   ", "$text-3"),
            ("y", "bold $text-2"), (" copy   ", "$text-3"), (words, "$text-3"),
        )  # fmt: skip
        self.query_one("#screen-foot", Static).update(foot)

    def action_copy(self) -> None:
        """Copy all lines."""
        self.post_message(CopyText("\n".join(self._lines), "the log"))

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)
