"""The app as commands, panes and screens know it: what they may read, say and ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from omni_tui.face.clock import Clock, Stillness
    from omni_tui.face.overview import Overview
    from omni_tui.face.port import Port
    from omni_tui.face.screens.main import MainScreen
    from omni_tui.protocol.events import CommandFailed

_Result = TypeVar("_Result")
Level = Literal["information", "warning", "error"]


class Shell(Protocol):
    """The app's interface. `OmniApp` has all of it, tests make smaller ones."""

    port: Port
    clock: Clock
    stillness: Stillness
    overview: Overview
    wants_demo: bool
    """Whether the person chose the demo; whoever started the app starts that next."""

    @property
    def main(self) -> MainScreen:
        """The main screen, whatever lies over it."""
        ...

    @property
    def keymap(self) -> dict[str, str]:
        """The keys that the person changed: action name to keys."""
        ...

    @property
    def private_dir(self) -> str:
        """A folder that only this person can read, "" if there is none."""
        ...

    def say(self, what: str, *, level: Level = "information", timeout: float = 5.0) -> None:
        """Show one line for `timeout` seconds."""
        ...

    def failed(self, failure: CommandFailed) -> None:
        """Show why a command failed and what to do."""
        ...

    def confirm(self, question: str, detail: str, yes: str, then: Callable[[bool | None], None]) -> None:
        """Ask a yes-or-no question; `then` gets the answer."""
        ...


def shell_of(node: DOMNode) -> Shell:
    """Return the app that a widget or screen belongs to."""
    return cast("Shell", node.app)
