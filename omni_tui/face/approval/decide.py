"""Sending a verdict, and the inline line and editor that some verdicts need first."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from omni_tui.face.approval.pending_items import PendingItem, why_blocked
from omni_tui.face.approval.plan_card import PendingPlanItem
from omni_tui.face.approval.request_forms import RequestForms
from omni_tui.face.approval.server_request_card import PendingRequestItem
from omni_tui.face.panes.base import Pane
from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.protocol import AnyCommand, JsonText, LinkClosed
from omni_tui.protocol.commands import DecideCall, EditCall, Verdict
from omni_tui.protocol.events import ApprovalRequested
from omni_tui.protocol.plan import DecidePlan, EditPlan
from omni_tui.protocol.server_requests import AnswerServerRequest, EditServerRequest

if TYPE_CHECKING:
    from omni_tui.face.panes.approvals import ApprovalsPane

_log = logging.getLogger(__name__)
VerdictOrCancel: TypeAlias = Verdict | Literal["cancel"]
"""What a person says about an item; `cancel` is for questions, `defer` is not told to servers."""
_DONE = {"approve": "approved", "reject": "rejected", "defer": "put off"}
ANSWERED = "answered"
_ANSWERED = {"approve": ANSWERED, "reject": "declined", "cancel": "cancelled", "defer": "put off"}
_ACTIONS: dict[str, Literal["accept", "decline", "cancel"]] = {
    "approve": "accept", "reject": "decline", "cancel": "cancel",
}  # fmt: skip


FLASH_S = 2.5
"""How long the card says why a key did nothing."""


class Decider(RequestForms, Pane):
    """The part of the approvals pane that talks to the engine."""

    @property
    def _me(self) -> ApprovalsPane:
        return cast("ApprovalsPane", self)

    def flash(self, words: str) -> None:
        """Say why a key did nothing: on the card itself, since a toast over it would forbid the next."""
        if not words:
            return
        if self._me.shown is None:
            self.app.notify(words[:1].upper() + words[1:] + ".", markup=False, timeout=2.0)
            return
        self._say_on_card(words)
        self.set_timer(FLASH_S, lambda: self._say_on_card(""))

    def _say_on_card(self, words: str) -> None:
        self._me.said = words
        self._me.card.rearrange()

    def decide(self, call: str, digest: str, verdict: VerdictOrCancel, feedback: str = "") -> None:
        """Send a verdict on exactly this. The cursor leaves the item and does not go to the next."""
        pane = self._me
        item = pane.queue.get(call)
        if call in pane.queue.deciding or item is None:
            return
        if verdict == "approve" and (why := why_blocked(item)):
            self.flash(why)
            return
        if isinstance(item, PendingRequestItem) and item.event.kind == "form" and verdict == "approve":
            if item.digest == digest:
                pane.open_form(item)
            return
        pane.queue.ended = {call: (_ANSWERED if isinstance(item, PendingRequestItem) else _DONE)[verdict]}
        pane.close_inline()
        pane.rows.select(None)
        command = _command(item, digest, verdict, feedback)
        if command is None:
            pane.queue.put_off(call)
            pane.redraw()
            return
        pane.queue.deciding[call] = digest
        self.run_worker(
            self._send_verdict(call, command, later=verdict == "defer"), group="decide", exit_on_error=False
        )

    async def _send_verdict(self, call: str, command: AnyCommand, *, later: bool) -> None:
        pane = self._me
        try:
            await pane.port.ask(command)
        except CommandError as refused:
            pane.queue.deciding.pop(call, None)
            pane.queue.ended = {}
            shell_of(pane).failed(refused.failure)
        except (TimeoutError, LinkClosed) as error:
            pane.queue.deciding.pop(call, None)
            pane.queue.ended = {}
            _log.warning("a verdict got no answer: %r", error)
            self.app.notify(_unanswered(error), severity="warning", markup=False, timeout=8.0)
        else:
            if later:
                pane.queue.put_off(call)
        pane.redraw()

    # --- reject with words

    def action_reject_why(self) -> None:
        """Open a line for the words that go to the model."""
        pane = self._me
        item = pane.shown
        if item is None:
            return
        from omni_tui.face.approval.inline_editors import FeedbackInput

        pane.close_inline()
        line = FeedbackInput(item.call, item.digest)
        pane.mount(line)
        self.screen.set_focus(line)

    def reject_with(self, call: str, digest: str, words: str) -> None:
        """Reject with words for the model."""
        pane = self._me
        pane.close_inline(refocus=True)
        self.decide(call, digest, "reject", words.strip())

    # --- edit

    def action_edit_call(self) -> None:
        """Open the exact arguments in an editor, in the card's place."""
        pane = self._me
        item = pane.shown
        if item is None:
            return
        if not item.complete:
            self.flash("it is too long to edit here; reject it instead")
            return
        from omni_tui.face.approval.inline_editors import ArgumentsEditor

        pane.close_inline()
        editor = ArgumentsEditor(item)
        pane.add_class("-editing")
        pane.mount(editor)
        editor.focus_text()

    async def send_edit(self, item: PendingItem, content: JsonText) -> None:
        """Put something else in the item's place; it needs its own approval then. Raises `CommandError`."""
        command: AnyCommand
        if isinstance(item, PendingRequestItem):
            command = EditServerRequest(ask=item.event.ask, digest=item.digest, content_json=content)
        elif isinstance(item, PendingPlanItem):
            command = EditPlan(plan=item.event.plan, digest=item.digest, plan_json=content)
        else:
            command = EditCall(call=item.call, digest=item.digest, arguments_json=content)
        await self._me.port.ask(command)
        self._me.close_inline(refocus=True)

    def close_inline(self, *, refocus: bool = False) -> None:
        """Close the line for words or the editor."""
        pane = self._me
        inline = list(pane.query(".-inline"))
        if not inline:
            return
        had_keys = pane.has_focus_within
        pane.remove_class("-editing")
        for widget in inline:
            widget.remove()
        if refocus or had_keys:
            self.screen.set_focus(pane.rows, scroll_visible=False)

    # --- seeing all of it

    def action_view_call(self) -> None:
        """Open the whole of the arguments."""
        pane = self._me
        item = pane.shown
        if item is None:
            return
        from omni_tui.face.screens.full_view import FullViewScreen

        self.app.push_screen(FullViewScreen(item, pane.clock, pane.stillness), self._seen)

    def _seen(self, verdict: tuple[str, str, Verdict] | None) -> None:
        if verdict is not None:
            self.decide(*verdict)

    def action_approve_marked(self) -> None:
        """Open the sheet with every marked call."""
        pane = self._me
        items = [item for call in pane.queue.calls if call in pane.queue.marked
                 if isinstance(item := pane.queue.get(call), ApprovalRequested)]  # fmt: skip
        if len(items) < 2:
            return
        from omni_tui.face.screens.batch import BatchScreen

        self.app.push_screen(BatchScreen(items, pane.clock, pane.stillness), self._approve_all)

    def _approve_all(self, verdicts: list[tuple[str, str]] | None) -> None:
        for call, digest in verdicts or ():
            self.decide(call, digest, "approve")


def _unanswered(error: Exception) -> str:
    """Say what is known of a verdict that the engine did not answer."""
    if isinstance(error, LinkClosed):
        return "The engine stopped and may not have heard this decision. Start it again and look."
    return "The engine has not answered yet: whether this decision counts is not known."


def _command(item: PendingItem, digest: str, verdict: VerdictOrCancel, feedback: str) -> AnyCommand | None:
    """Return what is sent; None for what concerns the face alone."""
    if isinstance(item, PendingRequestItem):
        action = _ACTIONS.get(verdict)
        return (
            None
            if action is None
            else AnswerServerRequest(ask=item.event.ask, digest=digest, action=action)
        )
    if verdict == "cancel":
        return None
    if isinstance(item, PendingPlanItem):
        if verdict == "defer":
            return None
        return DecidePlan(plan=item.event.plan, digest=digest, verdict=verdict, feedback=feedback)
    return DecideCall(call=item.call, digest=digest, verdict=verdict, feedback=feedback)
