"""Commands that go to a pane, zoom it or close what is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.face.commands.turns import stop

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell


def show_servers(shell: Shell, _argument: str) -> None:
    """Go to the servers."""
    shell.go("servers")


def show_tools(shell: Shell, _argument: str) -> None:
    """Go to the tools."""
    shell.go("tools")


def show_chat(shell: Shell, _argument: str) -> None:
    """Go to the chat."""
    shell.go("chat")


def show_approvals(shell: Shell, _argument: str) -> None:
    """Go to the approvals."""
    shell.go("approvals")


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
