"""What is in the model's window: tokens by part, what was shrunk, left out and summarised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.context.window_lines import window_lines
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.context import ContextChanged

if TYPE_CHECKING:
    pass


class ContextScreen(Screen[None]):
    """Follows the requests of the session as they are made."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [Binding("escape,q", "back", "back"), Binding("s", "system", "system prompt")]

    def compose(self) -> ComposeResult:
        """Title, lines, keys."""
        yield Static(Content.styled("CONTEXT", "bold $mine"), id="screen-title", markup=False)
        yield LinesView(words=True)
        foot = Content.assemble(
            ("esc", "bold $text-2"), (" back   ", "$text-3"),
            ("s", "bold $text-2"), (" the system prompt", "$text-3"),
        )  # fmt: skip
        yield Static(foot, id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Show what the last request carried."""
        self._show()

    def on_resize(self) -> None:
        """Draw the bars anew."""
        self._show()

    def apply(self, event: AnyEvent) -> None:
        """Show the next request."""
        if isinstance(event, ContextChanged) and event.agent == "root":
            self._show()

    def _show(self) -> None:
        told = shell_of(self).overview.window
        self.query_one(LinesView).show(window_lines(told, self.size.width))

    def action_system(self) -> None:
        """Go on to the system prompt."""
        from omni_tui.face.screens.system_prompt import SystemPromptScreen

        self.app.push_screen(SystemPromptScreen())

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)
