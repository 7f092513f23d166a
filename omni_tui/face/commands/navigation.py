"""Commands that go to a pane, zoom it or close what is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from omni_tui.face.commands.turns import stop

if TYPE_CHECKING:
    from omni_tui.face.screens.main import PaneName
    from omni_tui.face.shell import Shell


def go_to(pane: PaneName) -> Callable[[Shell, str], None]:
    """Return the command that goes to a pane."""

    def go(shell: Shell, _argument: str) -> None:
        shell.go(pane)

    return go


def show_server_request(shell: Shell, _argument: str) -> None:
    """Go to the oldest request of a server."""
    if shell.main.approvals.focus_server_request():
        shell.go("approvals")
    else:
        shell.say("No server asks anything of you.")


def zoom(shell: Shell, _argument: str) -> None:
    """Give the window to the current pane, or give it back."""
    shell.main.toggle_zoom()


def close(shell: Shell, _argument: str) -> None:
    """Close the innermost thing, else stop the turn."""
    main = shell.main
    if shell.screen is not main:
        shell.screen.dismiss(None)
    elif main.pane(main.current).close_innermost():
        pass
    elif main.zoomed:
        main.toggle_zoom()
    elif main.folded and main.current != "chat":
        main.focus_pane("chat")
    elif shell.overview.running:
        stop(shell, "")
