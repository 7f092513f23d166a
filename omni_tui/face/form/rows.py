"""A row of a settings form: a name, a control, and below it what is wrong."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from omni_tui.face.form.controls import ChoiceBar, TextBox, TextLine
from omni_tui.face.form.server_fields import ServerField
from omni_tui.security.text import safe


class FormRow(Horizontal):
    """One field. `value` is its text, or the value of the choice; `bad` that something is wrong with it."""

    def __init__(self, field: ServerField) -> None:
        super().__init__(id=f"form-{field.name}")
        self.field = field
        self.bad = False

    def compose(self) -> ComposeResult:
        """Name at the left; control and problem at the right."""
        yield Static(Content(self.field.label), classes="form-name", markup=False)
        with Vertical():
            yield self._control()
            yield Static(classes="form-problem", markup=False)

    def _control(self) -> Widget:
        if self.field.kind == "choice":
            return ChoiceBar([label for _, label in self.field.choices], 0, optional=False)
        if self.field.kind == "box":
            box = TextBox("")
            box.placeholder = Content(self.field.hint)
            return box
        line = TextLine("", lines=True)
        line.placeholder = self.field.hint
        return line

    @property
    def control(self) -> Widget:
        """The control."""
        return next(each for each in self.query("*") if isinstance(each, TextLine | TextBox | ChoiceBar))

    @property
    def fixed(self) -> bool:
        """Whether it cannot be changed."""
        return self.control.disabled

    @fixed.setter
    def fixed(self, fixed: bool) -> None:
        self.control.disabled = fixed

    @property
    def value(self) -> str:
        """What stands there."""
        control = self.control
        if isinstance(control, ChoiceBar):
            return self.field.choices[max(0, control.choice)][0]
        if isinstance(control, TextBox):
            return control.text
        assert isinstance(control, TextLine)
        return control.value

    def fill(self, value: str) -> None:
        """Put something there."""
        control = self.control
        if isinstance(control, ChoiceBar):
            known = [choice for choice, _ in self.field.choices]
            control.choice = known.index(value) if value in known else 0
        elif isinstance(control, TextBox):
            control.text = value
        elif isinstance(control, TextLine):
            control.value = value

    def enter(self) -> None:
        """Take the keys."""
        self.control.focus()

    def tell(self, words: str, style: str) -> None:
        """Say below the control what is wrong ("" for nothing)."""
        self.bad = style == "$fail" and bool(words)
        self.set_class(bool(words), "-told")
        self.query_one(".form-problem", Static).update(
            Content.styled(safe(words, limit=400), style or "$text-3")
        )
