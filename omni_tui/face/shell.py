"""The app as commands, panes and screens know it: what they may read, say and ask for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, runtime_checkable

from omni_tui.face.port import REQUEST_ERRORS, error_text

if TYPE_CHECKING:
    from textual.dom import DOMNode
    from textual.message import Message
    from textual.screen import Screen

    from omni_tui.face.clock import Clock, Stillness
    from omni_tui.face.overview import Overview
    from omni_tui.face.port import Port
    from omni_tui.face.screens.main import MainScreen, PaneName
    from omni_tui.protocol import AnyCommand, AnyEvent
    from omni_tui.protocol.events import CommandFailed

Result = TypeVar("Result")
Level = Literal["information", "warning", "error"]
MAX_TOASTS = 200
"""How many notifications are kept for `/messages`."""


@dataclass(frozen=True, slots=True)
class ToastMessage:
    """One notification: Unix time in seconds, how grave, and its words."""

    at: float
    severity: Level
    words: str


@runtime_checkable
class EventListener(Protocol):
    """A pane or an open screen that follows the engine's events."""

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account. Cheap: note what changed, draw with the next frame."""


class Shell(Protocol):
    """The app's interface. `OmniApp` has all of it; tests make smaller ones."""

    clock: Clock
    stillness: Stillness
    overview: Overview
    last_interrupt: float
    """When ctrl+c was pressed last, in seconds of `clock.monotonic`."""

    @property
    def port(self) -> Port:
        """The way to the engine."""

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""

    @property
    def screen(self) -> Screen[Any]:
        """The screen on top."""

    @property
    def keymap(self) -> dict[str, str]:
        """The keys that the person changed: action name to keys."""

    def key(self, action: str, *, spelled: bool = False) -> str:
        """Return the first key of an action, as a person writes it; see `key_names.show_key`."""

    def input_since(self, stamp: float) -> bool:
        """Return whether anything may have come from the terminal after a key with the time `stamp`."""

    def show_help(self) -> None:
        """Show every key of the current pane and of the app."""

    @property
    def private_dir(self) -> str:
        """A folder that only this person can read, "" if there is none."""

    @property
    def toasts(self) -> Sequence[ToastMessage]:
        """The notifications of this start, oldest first."""

    def say(self, what: str, *, level: Level = "information", timeout: float = 5.0) -> None:
        """Show one line for `timeout` seconds."""

    def failed(self, failure: CommandFailed) -> None:
        """Show why a command failed and what to do."""

    def confirm(self, question: str, detail: str, yes: str, then: Callable[[bool | None], None]) -> None:
        """Ask a yes-or-no question; `then` gets the answer."""

    def go(self, name: PaneName) -> None:
        """Close every other screen and give the keys to a pane."""

    def show(self, screen: Screen[Result], then: Callable[[Result | None], None] | None = None) -> None:
        """Open a screen; `then` gets its result."""

    def in_background(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Run a coroutine as a worker of the app."""

    def post_message(self, message: Message) -> bool:
        """Send one of `face.messages` to the app."""

    def open_palette(self, text: str = "") -> None:
        """Open the command palette with `text` typed into it."""

    @property
    def theme_names(self) -> Sequence[str]:
        """The names of the themes that can be used."""

    def change_theme(self, name: str) -> None:
        """Use a theme and remember it."""

    def change_session(self, command: AnyCommand, failed: Callable[[str], None] | None = None) -> None:
        """Send a command that opens another session, and show that session; `failed` gets why not."""

    def show_whole_session(self) -> None:
        """Show the beginning of a long session too."""

    def selected_text(self) -> str:
        """Return what is selected with the mouse or in a field."""

    def restart_engine(self) -> None:
        """Start the engine again if it has stopped."""

    def suspend_to_shell(self) -> None:
        """Give the shell its terminal back until `fg`."""

    def leave(self, *, for_demo: bool = False) -> None:
        """Leave the app; with `for_demo` the demo starts next."""


def shell_of(node: DOMNode) -> Shell:
    """Return the app that a widget or screen belongs to."""
    return cast("Shell", node.app)


async def request(shell: Shell, command: AnyCommand, failed: Callable[[str], object] | None = None) -> Any:
    """Return the engine's reply to a command, None if there is none.

    `failed` gets the error in words; without it they are shown as a toast.
    """
    try:
        return await shell.port.ask(command)
    except REQUEST_ERRORS as error:
        if failed is None:
            shell.say(error_text(error), level="error")
        else:
            failed(error_text(error))
        return None


async def say_reply(shell: Shell, command: AnyCommand, end: str = "") -> None:
    """Show the words of the engine's reply to a command."""
    from omni_tui.protocol.events import CommandDone

    if isinstance(reply := await request(shell, command), CommandDone):
        shell.say(f"{reply.text}{end}")
