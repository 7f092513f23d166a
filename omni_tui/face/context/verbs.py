"""The actions about what a model is told."""

from __future__ import annotations

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.turns import InTurn

actions.add(
    Action("context", "", "app", "Show what is in the model's window", "", "context"),
    Action("system", "", "app", "Show and change what the model is told first", "", "system"),
)


class Telling(InTurn):
    """The `action_*` methods about the window and the system prompt."""

    def action_context(self) -> None:
        """Show what the last request carried."""
        from omni_tui.face.screens.context import ContextScreen

        self.push_screen(ContextScreen())

    def action_system(self) -> None:
        """Show the system prompt and let the person change their part of it."""
        from omni_tui.face.screens.system import SystemScreen

        self.push_screen(SystemScreen())
