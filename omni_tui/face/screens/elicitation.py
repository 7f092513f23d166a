"""The form of an elicitation: the server's words above, the fields below, and the state of sending."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.approval.pending_request import PendingRequestItem, quoted_lines
from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.form.checks import limit_problems
from omni_tui.face.form.model import ArrayNode, FormDraft, Node
from omni_tui.face.form.rows import CheckboxRow, FieldRow, fits_checkboxes
from omni_tui.face.input_order import EngineGone, FormScreen
from omni_tui.face.messages import CopyText
from omni_tui.face.port import REQUEST_ERRORS, error_text
from omni_tui.face.screens.base import key_line
from omni_tui.face.shell import shell_of
from omni_tui.protocol import JsonText
from omni_tui.protocol.deciders import outcome_words
from omni_tui.protocol.server_requests import (
    AnswerServerRequest,
    ServerRequestAction,
    ServerRequestClosed,
)
from omni_tui.security.text import safe_line

if TYPE_CHECKING:
    from omni_tui.protocol import AnyEvent

_DECLINE_AGAIN = "F12 again declines: the server is told no, and what you typed is lost"


class ElicitationForm(ArgumentsForm):
    """The fields that a server asks for."""

    NOTHING: ClassVar[str] = "It needs no values; F9 agrees."

    def row_of(self, node: Node) -> FieldRow:
        """Return boxes to tick for a list of a few values."""
        if isinstance(node, ArrayNode) and fits_checkboxes(node):
            return CheckboxRow(node)
        return super().row_of(node)

    def unfolds(self, node: Node) -> bool:
        """Return whether what a node holds has rows of its own; boxes to tick have none."""
        return super().unfolds(node) and not fits_checkboxes(node)


class ElicitationScreen(FormScreen[None]):
    """Fills in one elicitation and answers it. Esc goes back; the draft keeps what was typed.

    It answers the request as it was when it was opened: once that changes or is over, nothing can be
    sent from here, and what was typed can only be copied.
    """

    CSS_PATH = "../styles/screens.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "send", "send", priority=True),
        Binding("ctrl+enter", "send", "send", show=False, priority=True),
        Binding("f7", "copy_values", "copy", priority=True),
        Binding("f12", "decline", "decline", priority=True),
        Binding("escape", "back", "back"),
    ]

    def __init__(self, item: PendingRequestItem, draft: FormDraft) -> None:
        super().__init__()
        self.item = item
        self.over = ""
        self._draft = draft
        self._sending = self._declining = self._done = False
        self._insisted: JsonText | None = None
        self._said_of: JsonText | None = None

    @property
    def form(self) -> ElicitationForm:
        """The fields."""
        return self.query_one(ElicitationForm)

    def compose(self) -> ComposeResult:
        """Server, its words, the fields, keys."""
        item = self.item
        head = Content.styled(item.name, "bold $text-1") + Content("   ") + item.chip()
        if item.during:
            head += Content.styled(f"\nduring {item.during}", "$text-2")
        for why in item.event.why[:4]:
            head += Content.styled(f"\n! {safe_line(why, limit=300)}", "$waiting")
        if item.deadline:
            head += Content.styled(f"\n{item.deadline}", "$waiting")
        yield Static(head, id="screen-title", markup=False)
        with VerticalScroll(id="ask-words"):
            yield Static(id="ask-says", markup=False)
        schema = item.event.content_json
        check = partial(limit_problems, self._draft.model.field)
        yield ElicitationForm(schema, check=check, draft=self._draft)
        yield Static(id="ask-said", markup=False)
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Begin in the first field."""
        self._say("", "")
        self._foot()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.form.focus_first()
        self.form_is_ready()

    def on_resize(self) -> None:
        """Wrap the server's words again."""
        width = max(20, self.size.width - 6)
        self.query_one("#ask-says", Static).update(
            Content("\n").join(quoted_lines(self.item.event.message, width))
        )

    # --- what is said

    def on_engine_gone(self, event: EngineGone) -> None:
        """Say that nothing can be sent now; what was typed stays."""
        event.stop()
        self._say("✗ the engine stopped; what you typed stays here", "$fail")

    def _say(self, words: str, style: str) -> None:
        said, self._said_of = self.query_one("#ask-said", Static), self.form.arguments_json
        said.display = bool(words)
        said.update(Content.styled(safe_line(words, limit=600), style) if words else Content(""))

    def _foot(self) -> None:
        keys = [("F9", "send"), ("F12", "decline"), ("F7", "copy"), ("^r", "JSON"),
                ("esc", "back (it is kept)")]  # fmt: skip
        if self.over:
            keys = [("F7", "copy what you typed"), ("esc", "close")]
        self.query_one("#screen-foot", Static).update(key_line(*keys))

    def on_arguments_form_changed(self, event: ArgumentsForm.Changed) -> None:
        """Forget what was said about the former values."""
        event.stop()
        same = self.form.arguments_json == self._said_of
        if not (self.over or self._sending or same):
            self._insisted, self._declining = None, False
            self._say("", "")

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Stop if the request changed or is over."""
        if isinstance(event, ServerRequestClosed) and event.ask == self.item.event.ask:
            if self._sending and event.decider == "user":
                self._finish()  # the answer that was sent from here
                return
            words = safe_line(outcome_words(event.outcome, event.decider), limit=60)
            why = f": {event.reason}" if event.reason else ""
            self.end(f"the request was {words}{why}")
        elif self.item.changed_by(event):
            self.end("the request changed; go back and look at it again")

    def _finish(self) -> None:
        """Close, now or when the screen on top is closed."""
        self._done = True
        if self.is_current:
            self.dismiss()

    def on_screen_resume(self) -> None:
        """Close if it was answered while another screen was on top."""
        if self._done:
            self.dismiss()

    def end(self, why: str) -> None:
        """Say why nothing can be sent from here any more. What was typed stays."""
        if not self.over:
            self.over = why
            if self.is_mounted:
                self._say(f"✗ not sent · {why}", "$fail")
                self._foot()

    # --- answering

    async def action_send(self) -> None:
        """Send the values, or say what is missing or why the engine refused them."""
        if self.over or self._sending:
            return
        form, self._declining = self.form, False
        await form.check_now()
        values = form.arguments_json
        if values is None or (form.problems and self._insisted != values):
            self._insisted = values
            form.show_problems()
            again = " · F9 again sends it" if values is not None else ""
            self._say(f"✗ correct what is marked{again}", "$fail")
            return
        self._answer("accept", values)

    def action_decline(self) -> None:
        """Decline when the key is pressed a second time."""
        if self.over or self._sending:
            return
        if self._declining:
            self._answer("decline", JsonText("{}"))
        else:
            self._declining = True
            self._say(_DECLINE_AGAIN, "$waiting")

    @work(group="answer", exclusive=True, exit_on_error=False)
    async def _answer(self, action: ServerRequestAction, values: JsonText) -> None:
        self._sending = True
        self._say("sending …", "$text-3")
        event = self.item.event
        answer = AnswerServerRequest(ask=event.ask, digest=event.digest, action=action, content_json=values)
        try:
            await shell_of(self).port.ask(answer)
        except REQUEST_ERRORS as error:
            if self.is_mounted and not self._done:
                self._say(f"✗ not sent · {self.over or error_text(error)}", "$fail")
        else:
            if not self._done:
                self._finish()
        finally:
            self._sending = self._declining = False

    # --- the rest

    def action_copy_values(self) -> None:
        """Copy the values as JSON, or as typed while they are not JSON."""
        form = self.form
        self.post_message(CopyText(form.arguments_json or self._draft.text, "what you typed"))

    def action_back(self) -> None:
        """Go back; what was typed is kept while the request waits."""
        self.dismiss()
