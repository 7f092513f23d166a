"""The text area of the composer: which key does what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from omni_tui.face import actions

if TYPE_CHECKING:
    from omni_tui.face.widgets.composer import Composer

# Without the Kitty protocol a terminal sends ESC CR for alt+enter, which Textual 8.2.8 reads as a plain
# enter: the message would be sent where a new line was meant.
cast("dict[str, Any]", ANSI_SEQUENCES_KEYS).setdefault("\x1b\r", (SimpleNamespace(value="alt+enter"),))


_OTHERWISE = frozenset({"f6", "f7", "up", "down", "pageup", "pagedown", "ctrl+c,super+c", "ctrl+z,super+z"})
"""Keys of `TextArea` that mean something else here, or in the whole app."""


class MessageInput(TextArea, inherit_bindings=False):
    """The text itself. Its height changes only with its number of lines, never while a line is typed."""

    DEFAULT_CSS = """
    MessageInput {
        height: 1;
        border: none;
        padding: 0;
        background: $bar;
        color: $text-1;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
        & .text-area--cursor-line { background: $bar; }
        & .text-area--placeholder { color: $text-3; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(b for b in TextArea.BINDINGS if isinstance(b, Binding) and b.key not in _OTHERWISE),
        *actions.bindings("composer"),
        Binding("ctrl+c,super+c", "copy_selection", "Copy", show=False),
        Binding("escape", "close_popup", "Close the list of commands", show=False),
    ]

    class Scroll(Message):
        """The person wants to look at another page of the transcript."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    @property
    def composer(self) -> Composer:
        """The composer this is part of."""
        return cast("Composer", self.parent)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tab and Escape are for the list of commands only while it is there."""
        if action in ("complete_command", "close_popup"):
            return self.composer.popup_open
        return True

    async def _on_key(self, event: events.Key) -> None:
        """Enter is a binding here, not a character. (Textual itself calls the handler of `TextArea`.)

        What it sends is what was written before it, so it acts in its turn among the letters, and
        not when bindings are looked at: keys that came together would be sent with it by then.
        """
        if event.key != "enter":
            return
        event.prevent_default()
        bound = self._bindings.key_to_bindings.get("enter", [])
        if any(binding.action == "send_message" for binding in bound):
            event.stop()
            self.action_send_message()

    async def _on_paste(self, event: events.Paste) -> None:
        """Insert a paste as it is, holding a large one aside."""
        event.stop()
        event.prevent_default()
        self.composer.paste(event.text)

    def action_copy_selection(self) -> None:
        """Copy what is selected; with nothing selected the key means something else."""
        if not self.selected_text:
            raise SkipAction
        self.app.copy_to_clipboard(self.composer.in_full(self.selected_text))

    def action_send_message(self) -> None:
        """Send, or take the command that is picked."""
        self.composer.submit()

    def action_new_line(self) -> None:
        """Begin a new line."""
        self._replace_via_keyboard("\n", *self.selection)

    def action_older_message(self) -> None:
        """Go up in the list or in the text; at its first line, to the message before."""
        if self.composer.popup_open:
            self.composer.pick(-1)
        elif self.navigator.is_first_wrapped_line(self.cursor_location):
            self.composer.recall(older=True)
        else:
            self.action_cursor_up()

    def action_newer_message(self) -> None:
        """Go down in the list or in the text; at its last line, to the message after."""
        if self.composer.popup_open:
            self.composer.pick(1)
        elif self.navigator.is_last_wrapped_line(self.cursor_location):
            self.composer.recall(older=False)
        else:
            self.action_cursor_down()

    def action_complete_command(self) -> None:
        """Complete the command."""
        self.composer.complete()

    def action_close_popup(self) -> None:
        """Close the list of commands."""
        self.composer.close_popup()

    def action_page_back(self) -> None:
        """Scroll what is above: the text here has no pages."""
        self.post_message(self.Scroll(-1))

    def action_page_on(self) -> None:
        """Scroll what is above on."""
        self.post_message(self.Scroll(1))
