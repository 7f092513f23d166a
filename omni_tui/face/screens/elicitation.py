"""The form of a server's question: its words above, the fields below, and what is said about sending."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.approval.server_request_card import PendingRequestItem, chip, quoted_lines
from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.form.checkboxes import CheckboxRow, fits_checkboxes
from omni_tui.face.form.checks import limits_check
from omni_tui.face.form.field_rows import FieldRow
from omni_tui.face.form.model import FormDraft
from omni_tui.face.form.nodes import ArrayNode, Node
from omni_tui.face.input_order import EngineGone, FormScreen
from omni_tui.face.messages import CopyText
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.shell import shell_of
from omni_tui.protocol import JsonText
from omni_tui.protocol.server_requests import (
    AnswerServerRequest,
    ServerRequestAction,
    ServerRequestClosed,
    ServerRequestOpened,
)
from omni_tui.security.text import safe, safe_line

if TYPE_CHECKING:
    from omni_tui.protocol import AnyEvent

_DECLINE_AGAIN = "F12 again declines: the server is told no, and what was typed is gone"


class ElicitationForm(ArgumentsForm):
    """The values a server asks for."""

    NOTHING: ClassVar[str] = "It asks for no values; F9 agrees."

    def row_of(self, node: Node) -> FieldRow:
        """Lists of some of a few values are boxes to tick."""
        if isinstance(node, ArrayNode) and fits_checkboxes(node):
            return CheckboxRow(node)
        return super().row_of(node)

    def unfolds(self, node: Node) -> bool:
        """What is ticked has no rows of its own."""
        return super().unfolds(node) and not fits_checkboxes(node)


class ElicitationScreen(FormScreen[None]):
    """Fills in one question and answers it. Esc goes back and keeps what was typed in the draft.

    It answers the question as it was when it was opened and nothing else: when that changes or is
    over, nothing can be sent from here, and what was typed stays to be copied.
    """

    CSS_PATH = "../styles/screens.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]
    AUTO_FOCUS = ""
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
        """Who asks, its words, the fields, keys."""
        item = self.item
        name = f"{safe(item.server, lines=False)} › {item.label}"
        head = Content.styled(name, "bold $text-1") + Content("   ") + chip(item.event)
        if item.course:
            head += Content.styled(f"\nin the course of {item.course}", "$text-2")
        for why in item.event.why[:4]:
            head += Content.styled(f"\n! {safe_line(why, limit=300)}", "$waiting")
        yield Static(head, id="screen-title", markup=False)
        with VerticalScroll(id="ask-words"):
            yield Static(id="ask-says", markup=False)
        schema = item.event.content_json
        yield ElicitationForm(schema, check=limits_check(self._draft.model.field), draft=self._draft)
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
        """Wrap the server's words anew."""
        width = max(20, self.size.width - 6)
        self.query_one("#ask-says", Static).update(
            Content("\n").join(quoted_lines(self.item.event.message, width))
        )

    # --- what is said

    def on_engine_gone(self, event: EngineGone) -> None:
        """Say that nothing can be sent now; what is written stays."""
        event.stop()
        self._say("✗ the engine stopped; what is written here stays", "$fail")

    def _say(self, words: str, style: str) -> None:
        said, self._said_of = self.query_one("#ask-said", Static), self.form.arguments_json
        said.display = bool(words)
        said.update(Content.styled(safe_line(words, limit=600), style) if words else Content(""))

    def _foot(self) -> None:
        keys = [("F9", "send"), ("F12", "decline"), ("F7", "copy"), ("^r", "JSON"),
                ("esc", "back (it is kept)")]  # fmt: skip
        if self.over:
            keys = [("F7", "copy what is typed"), ("esc", "close")]
        parts = [part for key, word in keys for part in ((key, "bold $text-2"), (f" {word}   ", "$text-3"))]
        self.query_one("#screen-foot", Static).update(Content.assemble(*parts))

    def on_arguments_form_changed(self, event: ArgumentsForm.Changed) -> None:
        """What was said of the former values no longer holds."""
        event.stop()
        same = self.form.arguments_json == self._said_of
        if not (self.over or self._sending or same):
            self._insisted, self._declining = None, False
            self._say("", "")

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """The question changed or is over: nothing more can be sent from here."""
        if isinstance(event, ServerRequestClosed) and event.ask == self.item.event.ask:
            if self._sending and event.decider == "user":
                self._finish()  # the answer that was sent from here
                return
            by = f" by the {event.decider}" if event.decider in ("server", "policy") else ""
            why = f": {event.reason}" if event.reason else ""
            self.end(f"the question was {event.outcome}{by}{why}")
        elif isinstance(event, ServerRequestOpened) and event.ask == self.item.event.ask:
            self._changed(event.digest)

    def _changed(self, digest: str) -> None:
        if digest != self.item.digest:
            self.end("the question changed; go back and look at it again")

    def _finish(self) -> None:
        """Close, now or when what lies over it is closed."""
        self._done = True
        if self.is_current:
            self.dismiss()

    def on_screen_resume(self) -> None:
        """It was answered while something else lay over it."""
        if self._done:
            self.dismiss()

    def end(self, why: str) -> None:
        """Say that nothing can be sent from here any more. What was typed stays."""
        if not self.over:
            self.over = why
            if self.is_mounted:
                self._say(f"✗ not sent · {why}", "$fail")
                self._foot()

    # --- answering

    async def action_send(self) -> None:
        """Send the values, or say what is missing. What the engine refuses is said here and stays."""
        if self.over or self._sending:
            return
        form, self._declining = self.form, False
        await form.check_now()
        values = form.arguments_json
        if values is None or (form.problems and self._insisted != values):
            self._insisted = values
            form.insist()
            again = " · F9 again sends it" if values is not None else ""
            self._say(f"✗ correct what is marked{again}", "$fail")
            return
        self._answer("accept", values)

    def action_decline(self) -> None:
        """Tell the server no, when the key comes a second time."""
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
        port = shell_of(self).port
        event = self.item.event
        answer = AnswerServerRequest(ask=event.ask, digest=event.digest, action=action, content_json=values)
        try:
            await port.ask(answer)
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
        """Copy what is filled in, as JSON; as it stands where that is none yet."""
        form = self.form
        self.post_message(CopyText(form.arguments_json or self._draft.text, "what was typed"))

    def action_back(self) -> None:
        """Go back; what was typed is kept while the question is open."""
        self.dismiss()
