"""The actions about what a model is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.input_order import OrderedInputApp

if TYPE_CHECKING:
    from omni_tui.face.port import Port

actions.add(
    Action("context", "", "app", "Show what is in the model's window", "", "context"),
    Action("system", "", "app", "Show and change what the model is told first", "", "system"),
    Action("pin", "", "app", "Keep words in every request of this session", "", "pin", "WORDS"),
)


class ContextActions(OrderedInputApp):
    """The `action_*` methods about the window and the system prompt."""

    port: Port

    def action_context(self) -> None:
        """Show what the last request carried."""
        from omni_tui.face.screens.context import ContextScreen

        self.push_screen(ContextScreen())

    def action_system(self) -> None:
        """Show the system prompt and let the person change their part of it."""
        from omni_tui.face.screens.system_prompt import SystemPromptScreen

        self.push_screen(SystemPromptScreen())

    def action_pin(self, words: str = "") -> None:
        """Add words to the person's part of the system prompt, which is in every request."""
        if words.strip():
            self.run_worker(self._pin(words.strip()), group="pin", exit_on_error=False)
        else:
            self.action_system()

    async def _pin(self, words: str) -> None:
        from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
        from omni_tui.protocol.context import ReadSystem, SetSystem, SystemText

        try:
            known = await self.port.ask(ReadSystem())
            assert isinstance(known, SystemText)
            await self.port.ask(SetSystem(text=f"{known.own}\n{words}".strip()))
        except REQUEST_ERRORS as error:
            self._tell(error_text(error), "error")
        else:
            self._tell(
                "Pinned: it is in every request of this session. /system shows and changes it.",
                "information",
            )

    def _tell(self, words: str, level: str) -> None:
        raise NotImplementedError
