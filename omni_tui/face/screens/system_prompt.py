"""The system prompt: the user's part to edit, and the full prompt below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static, TextArea

from omni_tui.face.form.controls import TextBox
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol.context import ReadSystem, SetSystem, SystemText

if TYPE_CHECKING:
    from omni_tui.face.port import Port

_FROM = {
    "config": "Your part of the system prompt, from your config. Changes here are for this session.",
    "session": "Your part of the system prompt, as set for this session.",
}
_NONE = "Add instructions to the system prompt of this session. Your config has none."


class SystemPromptScreen(Screen[None]):
    """F9 saves for this session. With unsaved changes, a second escape closes the screen."""

    CSS_PATH = "../styles/screens.tcss"
    DEFAULT_CSS = """
    SystemPromptScreen { background: $page; color: $text-1; }
    SystemPromptScreen .words { height: auto; padding: 0 2; color: $text-2; }
    SystemPromptScreen TextBox { margin: 1 2; padding: 0 1; min-height: 4; max-height: 10; }
    SystemPromptScreen TextBox { background: $bar; color: $text-1; }
    SystemPromptScreen TextBox:focus { background: $cursor; }
    """
    AUTO_FOCUS = "TextBox"
    BINDINGS = [
        Binding("escape", "back", "back"),
        Binding("f9", "save", "save", priority=True),
        Binding("ctrl+s", "save", "save", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._saved = ""
        self._leaving = False

    def compose(self) -> ComposeResult:
        """Lay out the title, the user's part, the full prompt and the keys."""
        yield Static(Content.styled("SYSTEM PROMPT", "bold $mine"), id="screen-title", markup=False)
        yield Static(id="system-from", classes="words", markup=False)
        box = TextBox("")
        box.disabled = True
        yield box
        yield Static("The full system prompt:", classes="words", markup=False)
        yield LinesView(words=True)
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Read the system prompt."""
        self._foot()
        self._read()

    @property
    def _port(self) -> Port:
        return shell_of(self).port

    @property
    def _changed(self) -> bool:
        return self.query_one(TextBox).text.strip() != self._saved.strip()

    @work(group="system", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        await self._take()

    async def _take(self) -> None:
        try:
            reply = await self._port.ask(ReadSystem())
        except REQUEST_ERRORS as error:
            self._foot(error_text(error), "$fail")
            return
        assert isinstance(reply, SystemText)
        box = self.query_one(TextBox)
        untouched = box.disabled or not self._changed
        self._saved = reply.own
        if untouched and self._changed:
            box.text = reply.own
        if box.disabled:
            box.disabled = False
            box.focus()
        words = _FROM[reply.source] if reply.own or reply.source == "session" else _NONE
        self.query_one("#system-from", Static).update(Content.styled(words, "$text-2"))
        lines = (Content.styled(line, "$text-2") for line in reply.whole.splitlines())
        self.query_one(LinesView).show(lines)

    @on(TextArea.Changed)
    def _typed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._leaving = False
        self._foot("not saved" if self._changed else "")

    def _foot(self, words: str = "", style: str = "$waiting") -> None:
        foot = Content.assemble(
            ("f9", "bold $text-2"), (" save   ", "$text-3"),
            ("tab", "bold $text-2"), (" full prompt   ", "$text-3"),
            ("esc", "bold $text-2"), (" back   ", "$text-3"), (words, style),
        )  # fmt: skip
        self.query_one("#screen-foot", Static).update(foot)

    @work(group="system", exclusive=True, exit_on_error=False)
    async def action_save(self) -> None:
        """Save the user's part for this session."""
        box = self.query_one(TextBox)
        if box.disabled:
            return
        try:
            await self._port.ask(SetSystem(text=box.text))
        except REQUEST_ERRORS as error:
            self._foot(error_text(error), "$fail")
            return
        self._saved = box.text
        await self._take()
        self._foot("saved; it applies from your next message on", "$done")

    def action_back(self) -> None:
        """Close; with unsaved changes only at the second time."""
        box = self.query_one(TextBox)
        if not box.disabled and self._changed and not self._leaving:
            self._leaving = True
            self._foot("not saved: f9 saves, esc again discards")
            return
        self.dismiss(None)
