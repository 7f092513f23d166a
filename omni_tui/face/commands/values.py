"""Asks for the value that a command was given without."""

from __future__ import annotations

from omni_tui.face.messages import RunAction
from omni_tui.face.shell import Shell


def ask_for_value(shell: Shell, name: str) -> None:
    """Ask for the value of an action, then run it with that."""
    from omni_tui.face import actions
    from omni_tui.face.argument_values import argument_values
    from omni_tui.face.screens.ask_value import AskValueScreen

    action = actions.get(name)

    def given(value: str | None) -> None:
        if value:
            shell.post_message(RunAction(name, value))

    if not isinstance(shell.screen, AskValueScreen):
        shell.show(AskValueScreen(action, argument_values(action, shell)), given)
