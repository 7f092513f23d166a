"""The system prompt: the user's part to edit, and the full prompt below."""

from __future__ import annotations

from functools import partial

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static, TextArea

from omni_tui.face.form.controls import TextBox
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol.context import ReadSystem, SetSystem, SystemText

_FROM = {
    "config": "Your part of the system prompt, from your config. Changes here are for this session.",
    "session": "Your part of the system prompt, as set for this session.",
}
_NONE = "Add instructions to the system prompt of this session. Your config has none."


class SystemPromptScreen(TitledScreen[None]):
    """F9 saves for this session. With unsaved changes, a second escape closes the screen."""

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
        super().__init__("SYSTEM PROMPT")
        self._saved = ""
        self._leaving = False

    def body(self) -> ComposeResult:
        """Lay out the user's part and the full prompt."""
        yield Static(id="system-from", classes="words", markup=False)
        box = TextBox("")
        box.disabled = True
        yield box
        yield Static("The full system prompt:", classes="words", markup=False)
        yield LinesView(words=True)

    def on_mount(self) -> None:
        """Read the system prompt."""
        self._say()
        self.run_worker(self._read(), group="system", exclusive=True, exit_on_error=False)

    @property
    def _changed(self) -> bool:
        return self.query_one(TextBox).text.strip() != self._saved.strip()

    async def _read(self) -> None:
        reply = await request(shell_of(self), ReadSystem(), partial(self._say, style="$fail"))
        if not isinstance(reply, SystemText):
            return
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
        self.view.show(Content.styled(line, "$text-2") for line in reply.whole.splitlines())

    @on(TextArea.Changed)
    def _typed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._leaving = False
        self._say("not saved" if self._changed else "")

    def _say(self, words: str = "", style: str = "$waiting") -> None:
        keys = ("f9", "save"), ("tab", "full prompt"), ("esc", "back")
        self.foot(key_line(*keys, words=words, style=style))

    @work(group="system", exclusive=True, exit_on_error=False)
    async def action_save(self) -> None:
        """Save the user's part for this session."""
        box = self.query_one(TextBox)
        if box.disabled:
            return
        command = SetSystem(text=box.text)
        if await request(shell_of(self), command, partial(self._say, style="$fail")) is not None:
            self._saved = box.text
            await self._read()
            self._say("saved; it applies from your next message on", "$done")

    def action_back(self) -> None:
        """Close; with unsaved changes only at the second time."""
        box = self.query_one(TextBox)
        if not box.disabled and self._changed and not self._leaving:
            self._leaving = True
            self._say("not saved: f9 saves, esc again discards")
            return
        self.dismiss(None)
