"""Screens that fill in arguments: of a prompt, whose text goes into the message, and of a template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.input_order import EngineGone, FormScreen
from omni_tui.face.messages import InsertText, RunAction
from omni_tui.face.prompts_resources.fields import FieldsForm, Suggested, schema_of
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import JsonText
from omni_tui.protocol.prompts_and_resources import (
    GetPrompt,
    OpenResource,
    PromptSummary,
    PromptText,
    ResourceOpened,
    TemplateSummary,
)
from omni_tui.security.identifiers import identifier


class ArgumentsScreen(FormScreen[None]):
    """A form of texts. `action_run` of each kind of screen sends them (F9)."""

    CSS_PATH = "../styles/prompts_resources.tcss"
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

    def compose(self) -> ComposeResult:
        """Yield head, form, suggestions, the part below, keys."""
        yield Static(self._head, id="offers-title", markup=False)
        if self._about:
            yield Static(Content.styled(self._about, "$text-2"), id="offers-about", markup=False)
        if self.form is not None:
            yield self.form
            yield Static(id="offers-suggested", markup=False)
        yield from self.below()
        yield Static(id="offers-foot", markup=False)

    def below(self) -> ComposeResult:
        """Yield the part below the form."""
        yield from ()

    def on_mount(self) -> None:
        """Start in the first field."""
        self.say("", "")
        if self.form is not None:
            self.call_after_refresh(self._begin, self.form)
        else:
            self.form_is_ready()

    def _begin(self, form: ArgumentsForm) -> None:
        form.focus_first()
        self.form_is_ready()

    def on_suggested(self, event: Suggested) -> None:
        """Show the suggestions of the server."""
        event.stop()
        for line in self.query("#offers-suggested").results(Static):
            line.update(event.line)

    def on_arguments_form_changed(self, event: ArgumentsForm.Changed) -> None:
        """Keep the message to this screen."""
        event.stop()

    def values(self) -> JsonText | None:
        """Return the values; None, and the missing fields are marked, if some are missing."""
        if self.form is None:
            return JsonText("{}")
        arguments = self.form.arguments_json
        if self.form.show_problems() or arguments is None:
            self.fail("fill in what is marked")
            return None
        return arguments

    def on_engine_gone(self, event: EngineGone) -> None:
        """Show that nothing can be sent now; the values stay."""
        event.stop()
        self.fail("the engine stopped; what you typed stays here")

    def fail(self, why: str) -> None:
        """Show beside the keys what went wrong."""
        self.say(f"✗ {why}", "$fail")

    def say(self, words: str, style: str) -> None:
        """Show words beside the keys."""
        said = Content.styled(f"{words}   ", style) if words else Content("")
        keys = Content.styled(self.keys(), "$text-3")
        self.query_one("#offers-foot", Static).update(said + keys)

    def keys(self) -> str:
        """Return the keys that work here and now."""
        return self.KEYS

    def action_back(self) -> None:
        """Close."""
        self.dismiss()


class PromptScreen(ArgumentsScreen):
    """Gets a prompt and shows it; `values` fill in its form.

    Enter puts the text that is shown into the composer; nothing is sent.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "put it into the message", show=False)
    ]

    def __init__(self, prompt: PromptSummary, values: Mapping[str, str] | None = None) -> None:
        self._prompt = prompt
        self._given = dict(values or {})
        head = Content.assemble(
            (f"{identifier(prompt.server)} › ", "$text-3"), (prompt.label, "bold $mine")
        )
        form = None
        if prompt.arguments:
            fields = {one.name: (one.description, one.required) for one in prompt.arguments}
            given = json.dumps(self._given) if self._given else ""
            form = FieldsForm(prompt.server, "prompt", prompt.name, schema_of(fields), given)
        super().__init__(head, prompt.description or prompt.title, form)
        self.text: PromptText | None = None
        self._asked = JsonText("")
        """The values that the text was made from."""

    def below(self) -> ComposeResult:
        """The prompt's text."""
        yield LinesView(words=True, id="offers-text")

    @property
    def view(self) -> LinesView:
        """The prompt's text."""
        return self.query_one(LinesView)

    def on_mount(self) -> None:
        """Get a prompt without arguments at once."""
        if self.form is None:
            self.action_run()

    def _begin(self, form: ArgumentsForm) -> None:
        """Get a prompt at once that was given all that it needs."""
        super()._begin(form)
        needed = [one.name for one in self._prompt.arguments if one.required]
        if self._given and all(self._given.get(name) for name in needed):
            self.action_run()

    def keys(self) -> str:
        """Return the keys that work now."""
        if self.text is not None:
            return "enter puts it into the message · F9 gets it again · esc back"
        return "F9 gets the prompt · ctrl+r as JSON · esc back"

    def on_arguments_form_changed(self, event: ArgumentsForm.Changed) -> None:
        """Drop the text if it was made from other values."""
        event.stop()
        if self.text is not None and self.form is not None and self._asked != self.form.arguments_json:
            self.text = None
            self.view.show(())
            self.say("the values changed: F9 gets the prompt", "$text-2")

    def action_run(self) -> None:
        """Get the prompt with what is filled in."""
        values = self.values()
        if values is not None:
            self._asked = values
            self._get(values)

    @work(group="prompt", exclusive=True, exit_on_error=False)
    async def _get(self, values: JsonText) -> None:
        self.text = None
        self.say("asking the server …", "$text-2")
        command = GetPrompt(server=self._prompt.server, name=self._prompt.name, arguments_json=values)
        reply = await request(shell_of(self), command, self.fail)
        if not isinstance(reply, PromptText):
            self.view.show(())
            return
        self.text = reply
        self.view.show(Content.styled(line, "$text-1") for line in reply.text.splitlines())
        self.view.focus()
        if reply.truncated:
            self.say(f"only the first {len(reply.text):,} of {reply.size:,} characters", "$waiting")
        elif not reply.text.strip():
            self.say("the prompt is empty", "$waiting")
        else:
            self.say(f"this text comes from {self._prompt.server}", "$text-2")

    def action_take(self) -> None:
        """Put the text into the message that is being written."""
        if self.text is None or not self.text.text.strip():
            return
        # Its brackets must not pass for the mark of a paste or an attachment.
        text = self.text.text.replace("⟦", "[").replace("⟧", "]")
        self.app.post_message(RunAction("show_chat"))
        self.app.post_message(InsertText(text))


class TemplateScreen(ArgumentsScreen):
    """Fills in a template's variables and reads that resource."""

    KEYS = "F9 reads it · ctrl+r as JSON · esc back"

    def __init__(self, template: TemplateSummary) -> None:
        self._template = template
        head = Content.assemble(
            (f"{identifier(template.server)} › ", "$text-3"), (template.label, "bold $mine"),
            (f"   {template.address}", "$text-2"),
        )  # fmt: skip
        fields = {name: ("", False) for name in template.variables}
        form = FieldsForm(template.server, "template", template.uri_template, schema_of(fields))
        super().__init__(head, template.description or template.title, form)

    def action_run(self) -> None:
        """Read the resource."""
        values = self.values()
        if values is not None:
            self._read(values)

    @work(group="read", exclusive=True, exit_on_error=False)
    async def _read(self, values: JsonText) -> None:
        from omni_tui.face.prompts_resources.resource import ResourceScreen

        self.say("reading …", "$text-2")
        template = self._template
        command = OpenResource(
            server=template.server, uri=template.uri_template, template=True, variables_json=values
        )
        opened = await request(shell_of(self), command, self.fail)
        if isinstance(opened, ResourceOpened):
            self.say("", "")
            if self.app.screen is self:
                self.app.push_screen(ResourceScreen(opened, label=opened.address))
