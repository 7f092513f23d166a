"""Commands about the app itself: help, palette, theme, clipboard, leaving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.face.commands.turns import stop
from omni_tui.face.messages import CopyText
from omni_tui.face.shell import request
from omni_tui.protocol.health import HealthRead, ReadHealth

if TYPE_CHECKING:
    from omni_tui.face.shell import Shell

DOUBLE_PRESS_S = 2.0
"""Seconds within which a second ctrl+c asks whether to leave."""


def show_help(shell: Shell, _argument: str) -> None:
    """Show every key of the current pane and of the app."""
    shell.show_help()


def show_palette(shell: Shell, _argument: str) -> None:
    """Open the command palette."""
    shell.open_palette()


def theme(shell: Shell, name: str) -> None:
    """Change the theme; without a name the palette lists them."""
    if name:
        shell.change_theme(name)
    else:
        shell.open_palette("theme ")


def show_plugins(shell: Shell, _argument: str) -> None:
    """Show the plugins that are installed."""
    from omni_tui.face.screens.plugins import PluginsScreen

    shell.show(PluginsScreen())


def show_notifications(shell: Shell, _argument: str) -> None:
    """Show the notifications of this start again."""
    from omni_tui.face.screens.messages import MessagesScreen

    shell.show(MessagesScreen(shell.toasts))


def status(shell: Shell, _argument: str) -> None:
    """Show mode, model, servers, session, memory, budget and paths."""
    from omni_tui.face.screens.status import StatusScreen

    shell.show(StatusScreen())


def connections(shell: Shell, _argument: str) -> None:
    """Show each server: its state, how it is reached, what is wrong with it."""
    from omni_tui.face.screens.status import ConnectionsScreen

    shell.show(ConnectionsScreen())


def show_health(shell: Shell, _argument: str) -> None:
    """Show how everything does that the session depends on."""
    shell.in_background(_show_health(shell), "health")


async def _show_health(shell: Shell) -> None:
    from omni_tui.face.screens.health import HealthScreen

    reply = await request(shell, ReadHealth())
    if isinstance(reply, HealthRead):
        shell.show(HealthScreen(reply))


def interrupt(shell: Shell, _argument: str) -> None:
    """Copy what is selected, else stop the turn; twice within two seconds asks whether to leave."""
    if text := shell.selected_text():
        shell.post_message(CopyText(text, "the selection"))
        return
    now = shell.clock.monotonic()
    again = now - shell.last_interrupt <= DOUBLE_PRESS_S
    shell.last_interrupt = float("-inf") if again else now
    running = shell.overview.running
    if again:
        what = "The running turn is parked and can be continued." if running else "The session is saved."
        shell.confirm("Leave Omni TUI?", what, "leave", lambda yes: shell.leave() if yes else None)
    elif running:
        stop(shell, "")
    else:
        leave, key = shell.key("quit", spelled=True), shell.key("interrupt", spelled=True)
        shell.say(f"{leave} leaves. Pressing {key} once more asks first.", timeout=DOUBLE_PRESS_S)


def suspend(shell: Shell, _argument: str) -> None:
    """Give the shell its terminal back until `fg`."""
    shell.suspend_to_shell()


def restart_engine(shell: Shell, _argument: str) -> None:
    """Start the engine again."""
    shell.restart_engine()


def leave(shell: Shell, _argument: str) -> None:
    """Leave the app."""
    shell.leave()


def show_settings(shell: Shell, words: str) -> None:
    """Show and change the settings of the config file."""
    from omni_tui.face.screens.settings import SettingsScreen

    shell.show(SettingsScreen(words.strip()))
