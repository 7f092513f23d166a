"""A form of texts with suggestions from the server (completion/complete of MCP)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Literal

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget

from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.form.controls import TakeSuggestion, TextLine
from omni_tui.face.form.rows import FieldRow
from omni_tui.face.port import REQUEST_ERRORS
from omni_tui.face.shell import shell_of
from omni_tui.protocol import JsonText
from omni_tui.protocol.prompts_and_resources import CompleteArgument, Completions

SUGGEST_DELAY_S = 0.12
"""Seconds without a key before the server is asked."""
_LISTED = 8


class Suggested(Message):
    """The suggestions for the field with the cursor, as a line, which may be empty."""

    def __init__(self, line: Content) -> None:
        super().__init__()
        self.line = line


class ServerSuggester(Suggester):
    """Asks the form's server to complete a field."""

    def __init__(self, form: FieldsForm, name: str) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._form = form
        self._name = name

    async def get_suggestion(self, value: str) -> str | None:
        """Return the first suggestion that begins with `value`."""
        return await self._form.suggest(self._name, value)


class FieldsForm(ArgumentsForm):
    """Texts to fill in for a prompt or template, with suggestions if the server gives any."""

    BINDINGS = [Binding("ctrl+t", "next_suggestion", "next suggestion", show=False)]

    def __init__(
        self,
        server: str,
        kind: Literal["prompt", "template"],
        ref: str,
        schema: JsonText,
        values: str = "",
    ) -> None:
        super().__init__(schema, values)
        self._server = server
        self._ref = ref
        self._kind: Literal["prompt", "template"] = kind
        self._values: tuple[str, ...] = ()
        self._at = -1
        self._field = ""

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Suggest for the field that got the cursor."""
        name = _field_of(event.widget)
        completes = shell_of(self).overview.prompts_resources.completes(self._server)
        if name is None or not isinstance(event.widget, TextLine) or not completes:
            self._show(())
            return
        if event.widget.suggester is None:
            event.widget.suggester = ServerSuggester(self, name)
        asking = self.suggest(name, event.widget.value)
        self.run_worker(asking, group="suggest", exclusive=True, exit_on_error=False)

    async def suggest(self, name: str, value: str) -> str | None:
        """Ask the server, show its suggestions, and return the first that begins with `value`."""
        await asyncio.sleep(SUGGEST_DELAY_S)
        line = self._line
        if line is None or line.value != value or _field_of(line) != name:
            return None
        if name == self._field and self._at >= 0 and self._values[self._at] == value:
            return None  # the form put it there: its suggestions stay
        arguments = self.arguments_json
        given = json.loads(arguments) if arguments else {}
        others = json.dumps({key: text for key, text in given.items() if isinstance(text, str)})
        command = CompleteArgument(
            server=self._server, kind=self._kind, ref=self._ref, argument=name, value=value,
            others_json=JsonText(others),
        )  # fmt: skip
        try:
            reply = await shell_of(self).port.ask(command, timeout=5)
        except REQUEST_ERRORS:
            return None
        if not isinstance(reply, Completions) or line.value != value or self._line is not line:
            return None
        self._field, self._at = name, -1
        self._show(reply.values, reply.more)
        return next((one for one in reply.values if one.startswith(value) and one != value), None)

    @property
    def _line(self) -> TextLine | None:
        focused = self.screen.focused if self.is_attached else None
        return focused if isinstance(focused, TextLine) and self in focused.ancestors else None

    def _show(self, values: tuple[str, ...], more: int = 0) -> None:
        self._values = values
        line = Content("")
        if values:
            listed = "  ".join(values[:_LISTED])
            rest = len(values) - _LISTED + more
            line = Content.assemble(
                ("suggested: ", "$text-3"), (listed, "$text-2"),
                (f"  and {rest} more" if rest > 0 else "", "$text-3"),
                ("   → takes it · ctrl+t the next", "$text-3"),
            )  # fmt: skip
        self.post_message(Suggested(line))

    def on_take_suggestion(self, message: TakeSuggestion) -> None:
        """Put the first suggestion into an empty field."""
        message.stop()
        self._at = -1
        self.action_next_suggestion()

    def action_next_suggestion(self) -> None:
        """Put the next suggestion into the field."""
        line = self._line
        if line is None or not self._values or _field_of(line) != self._field:
            return
        self._at = (self._at + 1) % len(self._values)
        line.value = self._values[self._at]
        line.cursor_position = len(line.value)


def _field_of(widget: Widget) -> str | None:
    return widget.parent.node.field.name if isinstance(widget.parent, FieldRow) else None


def schema_of(fields: Mapping[str, tuple[str, bool]]) -> JsonText:
    """Return the JSON schema of an object of texts: name to (description, whether it is required)."""
    properties = {
        name: {"type": "string", "description": description} for name, (description, _) in fields.items()
    }
    required = [name for name, (_, needed) in fields.items() if needed]
    return JsonText(json.dumps({"type": "object", "properties": properties, "required": required}))
