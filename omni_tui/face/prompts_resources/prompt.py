"""One prompt: its arguments, its text as the server makes it, and the way into the message."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from omni_tui.face.messages import InsertText, RunAction
from omni_tui.face.prompts_resources.arguments_screen import ArgumentsScreen
from omni_tui.face.prompts_resources.fields import FieldsForm, schema_of
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import JsonText
from omni_tui.protocol.prompts_and_resources import GetPrompt, PromptSummary, PromptText
from omni_tui.security.identifiers import identifier


class PromptScreen(ArgumentsScreen):
    """Gets a prompt and shows it. Only what the person has seen, and takes, goes into the message.

    Nothing is sent from here: the text is put where the person writes, and they press Enter there.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "put it into the message", show=False)
    ]

    def __init__(self, prompt: PromptSummary) -> None:
        self._prompt = prompt
        head = Content.assemble(
            (f"{identifier(prompt.server)} › ", "$text-3"), (prompt.label, "bold $mine")
        )
        form = None
        if prompt.arguments:
            fields = {one.name: (one.description, one.required) for one in prompt.arguments}
            form = FieldsForm(prompt.server, "prompt", prompt.name, schema_of(fields), completes=True)
        super().__init__(head, prompt.description or prompt.title, form)
        self.text: PromptText | None = None

    def below(self) -> ComposeResult:
        """The prompt's text."""
        yield LinesView(words=True, id="offers-text")

    @property
    def view(self) -> LinesView:
        """The prompt's text."""
        return self.query_one(LinesView)

    def on_mount(self) -> None:
        """A prompt without arguments needs no asking."""
        super().on_mount()
        if self.form is not None:
            self.form._completes = self.index.completes(self._prompt.server)
        else:
            self.action_run()

    def keys(self) -> str:
        """Say what can be done now."""
        if self.text is not None:
            return "enter puts it into the message · F9 gets it again · esc back"
        return "F9 gets the prompt · ctrl+r as JSON · esc back"

    def values_changed(self) -> None:
        """A text made from other values is not the one that would be taken."""
        if self.text is not None:
            self.text = None
            self.view.show(())
            self.say("the values changed: F9 gets the prompt", "$text-2")

    def action_run(self) -> None:
        """Get the prompt with what is filled in."""
        values = self.values()
        if values is not None:
            self._get(values)

    @work(group="prompt", exclusive=True, exit_on_error=False)
    async def _get(self, values: JsonText) -> None:
        self.text = None
        self.say("asking the server …", "$text-2")
        command = GetPrompt(server=self._prompt.server, name=self._prompt.name, arguments_json=values)
        try:
            reply = await self.port.ask(command)
        except REQUEST_ERRORS as error:
            self.view.show(())
            self.say(f"✗ {error_text(error)}", "$fail")
            return
        if isinstance(reply, PromptText):
            self._show(reply)

    def _show(self, reply: PromptText) -> None:
        self.text = reply
        self.view.show(Content.styled(line, "$text-1") for line in reply.text.splitlines())
        self.view.focus()
        if reply.truncated:
            self.say(f"only the first {len(reply.text):,} of {reply.size:,} characters", "$waiting")
        elif not reply.text.strip():
            self.say("the prompt is empty", "$waiting")
        else:
            self.say(f"these are the words of {self._prompt.server}", "$text-2")

    def action_take(self) -> None:
        """Put the text into the message; the person sends it there, or not."""
        if self.text is None or not self.text.text.strip():
            return
        # Its brackets must not stand for a paste or an attachment of the person's.
        text = self.text.text.replace("⟦", "[").replace("⟧", "]")
        self.app.post_message(RunAction("show_chat"))
        self.app.post_message(InsertText(text))
