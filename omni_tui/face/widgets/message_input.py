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
"""Keys of `TextArea` that mean something else here or in the app."""


class MessageInput(TextArea, inherit_bindings=False):
    """The text. Its height follows its number of lines."""

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
        """Scroll the transcript by `step` pages."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    @property
    def composer(self) -> Composer:
        """The composer it is part of."""
        return cast("Composer", self.parent)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer Tab and Escape only while the list of commands is open."""
        if action in ("complete_command", "close_popup"):
            return self.composer.popup_open
        return True

    async def _on_key(self, event: events.Key) -> None:
        """Send at Enter, in its turn among the letters; bindings would run too early or too late."""
        if event.key != "enter":
            return
        event.prevent_default()
        bound = self._bindings.key_to_bindings.get("enter", [])
        if any(binding.action == "send_message" for binding in bound):
            event.stop()
            self.action_send_message()

    async def _on_paste(self, event: events.Paste) -> None:
        """Insert a paste; a large one as a mark."""
        event.stop()
        event.prevent_default()
        self.composer.paste(event.text)

    def action_copy_selection(self) -> None:
        """Copy the selection; without one, ctrl+c is left to the app."""
        if not self.selected_text:
            raise SkipAction
        self.app.copy_to_clipboard(self.composer.in_full(self.selected_text))

    def action_send_message(self) -> None:
        """Send the message, or run the picked command."""
        self.composer.submit()

    def action_new_line(self) -> None:
        """Start a new line."""
        self._replace_via_keyboard("\n", *self.selection)

    def action_older_message(self) -> None:
        """Go up in the list or the text; on the first line, to the message before."""
        if self.composer.popup_open:
            self.composer.pick(-1)
        elif self.navigator.is_first_wrapped_line(self.cursor_location):
            self.composer.recall(older=True)
        else:
            self.action_cursor_up()

    def action_newer_message(self) -> None:
        """Go down in the list or the text; on the last line, to the message after."""
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
        """Scroll the transcript up."""
        self.post_message(self.Scroll(-1))

    def action_page_on(self) -> None:
        """Scroll the transcript down."""
        self.post_message(self.Scroll(1))
