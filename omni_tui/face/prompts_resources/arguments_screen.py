"""What the screens of a prompt and of a template share: a head, a form, something below it, keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.input_order import EngineGone, FormScreen
from omni_tui.face.prompts_resources.fields import FieldsForm, Suggested
from omni_tui.face.shell import shell_of
from omni_tui.protocol import JsonText

if TYPE_CHECKING:
    from omni_tui.face.port import Port
    from omni_tui.face.prompts_resources.index import PromptResourceIndex


class ArgumentsScreen(FormScreen[None]):
    """Fills in texts and asks for something with them (F9)."""

    CSS_PATH = "../styles/prompts_resources.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "run", "run", priority=True),
        Binding("ctrl+enter", "run", "run", show=False, priority=True),
        Binding("escape", "back", "back"),
    ]
    KEYS: ClassVar[str] = ""

    def __init__(self, head: Content, about: str, form: FieldsForm | None) -> None:
        super().__init__()
        self._head = head
        self._about = about
        self.form = form
        self._trouble = Content("")

    @property
    def index(self) -> PromptResourceIndex:
        """What is on offer."""
        return shell_of(self).overview.offers

    @property
    def port(self) -> Port:
        """The way to the engine."""
        return shell_of(self).port

    def compose(self) -> ComposeResult:
        """Head, form, suggestions, what the screen adds, keys."""
        yield Static(self._head, id="offers-title", markup=False)
        if self._about:
            yield Static(Content.styled(self._about, "$text-2"), id="offers-about", markup=False)
        if self.form is not None:
            yield self.form
            yield Static(id="offers-suggested", markup=False)
        yield from self.below()
        yield Static(id="offers-foot", markup=False)

    def below(self) -> ComposeResult:
        """What stands under the form."""
        yield from ()

    def on_mount(self) -> None:
        """Begin in the first field."""
        self.say("", "")
        if self.form is not None:
            self.call_after_refresh(self._begin, self.form)
        else:
            self.form_is_ready()

    def _begin(self, form: ArgumentsForm) -> None:
        form.focus_first()
        self.form_is_ready()

    def on_suggested(self, event: Suggested) -> None:
        """Show what the server suggests."""
        event.stop()
        for line in self.query("#offers-suggested").results(Static):
            line.update(event.line)

    def on_arguments_form_changed(self, event: ArgumentsForm.Changed) -> None:
        """What was said of the former values no longer holds."""
        event.stop()
        self.values_changed()

    def values_changed(self) -> None:
        """The values of the form changed."""

    def values(self) -> JsonText | None:
        """Return what is filled in; None, and what is missing is marked, if that is not enough."""
        if self.form is None:
            return JsonText("{}")
        arguments = self.form.arguments_json
        if self.form.show_problems() or arguments is None:
            self.say("✗ fill in what is marked", "$fail")
            return None
        return arguments

    def on_engine_gone(self, event: EngineGone) -> None:
        """Say that nothing can be sent now; what is written stays."""
        event.stop()
        self.say("✗ the engine stopped; what is written here stays", "$fail")

    def say(self, words: str, style: str) -> None:
        """Say something beside the keys."""
        said = Content.styled(f"{words}   ", style) if words else Content("")
        keys = Content.styled(self.keys(), "$text-3")
        self.query_one("#offers-foot", Static).update(said + keys)

    def keys(self) -> str:
        """Return the keys that work here and now."""
        return self.KEYS

    def action_run(self) -> None:
        """Ask for it."""
        raise NotImplementedError

    def action_back(self) -> None:
        """Close."""
        self.dismiss()
