"""The bar that asks where to save a part of a result."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from omni_tui.face.port import REQUEST_ERRORS, CommandError, error_text
from omni_tui.face.shell import shell_of
from omni_tui.protocol import AnyCommand
from omni_tui.protocol.events import FileSaved
from omni_tui.security.text import safe_line


class SaveBar(Vertical):
    """Asks for a path. Enter saves to a new file; ctrl+y, once offered, replaces a file."""

    DEFAULT_CSS = """
    SaveBar { height: auto; padding: 0 1; background: $bar; border-left: outer $mine; }
    SaveBar Input { width: 1fr; height: 1; background: $cursor; color: $text-1; }
    SaveBar Static { height: auto; }
    """
    BINDINGS = [
        Binding("escape", "close", "close", show=False),
        Binding("ctrl+y", "replace", "replace the file", show=False, priority=True),
        Binding("down", "another(1)", "the next part", show=False),
        Binding("up", "another(-1)", "the part before", show=False),
    ]

    class Save(Message):
        """Save to this path."""

        def __init__(self, part: int, path: str, overwrite: bool) -> None:
            super().__init__()
            self.part = part
            self.path = path
            self.overwrite = overwrite

    class Another(Message):
        """Save the part `by` places after `part` instead."""

        def __init__(self, part: int, by: int) -> None:
            super().__init__()
            self.part = part
            self.by = by

    class Closed(Message):
        """The bar was closed without saving."""

    def __init__(self, part: int, what: str, suggestion: str, *, several: bool = False) -> None:
        super().__init__()
        self._several = several
        self._part = part
        self._what = what
        self._suggestion = suggestion
        self._exists = ""

    def compose(self) -> ComposeResult:
        """Lay out a title, the path, and a line for keys and errors."""
        yield Static(self._title(), id="what")
        yield Input(self._suggestion, compact=True, select_on_focus=False, placeholder="a path")
        yield Static(self._keys(), id="save-note")

    def _title(self) -> Content:
        return Content.assemble(("save ", "$text-2"), (self._what, "$text-1"), (" to", "$text-2"))

    def _keys(self) -> Content:
        more = "↑ ↓ another part · " if self._several else ""
        return Content.styled(f"enter save · {more}esc close", "$text-3")

    def set_part(self, part: int, what: str, suggestion: str) -> None:
        """Save another part; a path that the user changed stays."""
        path = self.query_one(Input)
        if path.value == self._suggestion:
            path.value = suggestion
            path.cursor_position = len(suggestion)
        self._part, self._what, self._suggestion, self._exists = part, what, suggestion, ""
        self.query_one("#what", Static).update(self._title())
        self.query_one("#save-note", Static).update(self._keys())

    def on_mount(self) -> None:
        """Focus the path."""
        path = self.query_one(Input)
        path.cursor_blink = False
        path.focus()

    async def save(self, command: AnyCommand) -> FileSaved | None:
        """Save; None, and the reason is shown, if that failed. A file in the way may be replaced."""
        try:
            saved: FileSaved = await shell_of(self).port.ask(command)
        except REQUEST_ERRORS as error:
            self._show_error(error_text(error), isinstance(error, CommandError) and error.failure.exists)
            return None
        return saved

    def _show_error(self, what: str, exists: bool) -> None:
        self._exists = self.query_one(Input).value if exists else ""
        lines = [Content.styled("✗ " + safe_line(what, limit=300), "$fail")]
        if exists:
            lines.append(
                Content.assemble(("ctrl+y", "bold $fail"), (" replace the file · esc close", "$text-2"))
            )
        self.query_one("#save-note", Static).update(Content("\n").join(lines))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Save to a new file."""
        event.stop()
        if event.value.strip():
            self.post_message(self.Save(self._part, event.value.strip(), overwrite=False))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Withdraw the offer to replace when the path changes."""
        event.stop()
        if event.value != self._exists:
            self._exists = ""

    def action_replace(self) -> None:
        """Replace the existing file."""
        if self._exists:
            self.post_message(self.Save(self._part, self._exists.strip(), overwrite=True))

    def action_another(self, by: int) -> None:
        """Save another part instead."""
        if self._several:
            self.post_message(self.Another(self._part, by))

    def action_close(self) -> None:
        """Close the bar."""
        self.post_message(self.Closed())
