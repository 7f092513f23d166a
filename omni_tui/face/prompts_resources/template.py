"""One resource template: its variables, and the way to the resource that they name."""

from __future__ import annotations

from textual import work
from textual.content import Content

from omni_tui.face.prompts_resources.arguments_screen import ArgumentsScreen
from omni_tui.face.prompts_resources.fields import FieldsForm, schema_of
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.protocol import JsonText
from omni_tui.protocol.prompts_and_resources import OpenResource, ResourceOpened, TemplateSummary
from omni_tui.security.identifiers import identifier


class TemplateScreen(ArgumentsScreen):
    """Fills in a template's variables and reads what they name."""

    KEYS = "F9 reads it · ctrl+r as JSON · esc back"

    def __init__(self, template: TemplateSummary) -> None:
        self._template = template
        head = Content.assemble(
            (f"{identifier(template.server)} › ", "$text-3"), (template.label, "bold $mine"),
            (f"   {template.address}", "$text-2"),
        )  # fmt: skip
        fields = {name: ("", False) for name in template.variables}
        form = FieldsForm(
            template.server, "template", template.uri_template, schema_of(fields), completes=True
        )
        super().__init__(head, template.description or template.title, form)

    def on_mount(self) -> None:
        """Suggest only where the server does."""
        super().on_mount()
        if self.form is not None:
            self.form._completes = self.index.completes(self._template.server)

    def action_run(self) -> None:
        """Read what the variables name."""
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
        try:
            opened = await self.port.ask(command)
        except REQUEST_ERRORS as error:
            self.say(f"✗ {error_text(error)}", "$fail")
            return
        self.say("", "")
        if isinstance(opened, ResourceOpened) and self.app.screen is self:
            self.app.push_screen(ResourceScreen(opened, label=opened.address))
