"""Asks for the value that a command needs: what can be chosen is listed, anything else is typed."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from omni_tui.face.actions import Action
from omni_tui.face.argument_values import ANY_VALUE, ArgumentValue, is_whole
from omni_tui.security.text import safe_line

_LISTED = 50


class AskValueScreen(ModalScreen[str]):
    """Its result is the value, None if there is none. `listed` None: only typing."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "Input"
    BINDINGS = [
        Binding("escape", "back", "back"),
        Binding("up", "step(-1)", show=False, priority=True),
        Binding("down", "step(1)", show=False, priority=True),
    ]

    def __init__(self, action: Action, listed: Sequence[ArgumentValue] | None) -> None:
        super().__init__()
        self._action = action
        self._listed = listed
        self._shown: list[ArgumentValue] = []
        self._moved = False

    def compose(self) -> ComposeResult:
        """Yield what is asked, the line, the values, the keys."""
        with Vertical():
            head = Content.assemble(
                (self._action.title, "bold $text-1"), (f"   {self._action.description}", "$text-2")
            )
            yield Static(head, markup=False)
            line = Input(placeholder=self._action.argument, compact=True)
            line.cursor_blink = False
            yield line
            values = OptionList(markup=False)
            values.can_focus = False
            yield values
            yield Static(Content.styled("enter runs it · ↑ ↓ choose · esc back", "$text-3"), markup=False)

    def on_mount(self) -> None:
        """List the values."""
        self._fill("")

    def _fill(self, typed: str) -> None:
        found = [
            each
            for each in self._listed or ()
            if typed.lower() in each.text.lower() or typed.lower() in each.about.lower()
        ]
        self._shown = sorted(found, key=lambda each: not each.text.startswith(typed))[:_LISTED]
        values = self.query_one(OptionList)
        values.clear_options()
        values.add_options(
            Option(Content.assemble((safe_line(each.text), "$text-1"), (f"  {each.about}", "$text-3")))
            for each in self._shown
        )
        values.display = bool(self._shown)
        values.highlighted = 0 if self._shown else None
        self._moved = False

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill(event.value.strip())

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        values = self.query_one(OptionList)
        exact = any(each.text == typed for each in self._shown)
        any_value = self._listed is None or self._action.name in ANY_VALUE
        if self._shown and not exact and (self._moved or not is_whole(self._action.name, typed)):
            typed = self._shown[values.highlighted or 0].text
        if typed and (any_value or self._shown):
            self.dismiss(typed)

    def action_step(self, by: int) -> None:
        """Go to another value."""
        if self._shown:
            values = self.query_one(OptionList)
            values.highlighted = ((values.highlighted or 0) + by) % len(self._shown)
            self._moved = True

    def action_back(self) -> None:
        """Close without a value."""
        self.dismiss(None)
