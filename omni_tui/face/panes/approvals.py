"""The approvals: a queue, and a card with exactly what would be sent. Every decision is made here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from textual import events, on, work
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from omni_tui.face import actions
from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.card import ApprovalCard, key_lines
from omni_tui.face.approval.held_decision import HeldDecision
from omni_tui.face.approval.pending_item import PendingItem, PersonVerdict
from omni_tui.face.approval.queue import EndedItem, PendingQueue, QueueRows
from omni_tui.face.approval.visible import visible_identifier
from omni_tui.face.form.model import FormDraft, FormModel
from omni_tui.face.messages import CopyText
from omni_tui.face.overview import server_request_key
from omni_tui.face.panes.base import Pane
from omni_tui.face.port import CommandError
from omni_tui.face.shell import request, shell_of
from omni_tui.face.toasts import covered_by_toast
from omni_tui.face.widgets.lines_view import wrap
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.face.widgets.rows import RowList
from omni_tui.face.widgets.title import PaneTitle
from omni_tui.protocol import AnyCommand, AnyEvent, LinkClosed
from omni_tui.protocol.commands import DecideCall, Verdict
from omni_tui.protocol.server_requests import ServerRequestOpened

if TYPE_CHECKING:
    from omni_tui.face.approval.pending_request import PendingRequestItem
    from omni_tui.face.screens.elicitation import ElicitationScreen

_log = logging.getLogger(__name__)
_VERDICTS: dict[str, PersonVerdict] = {
    "approve": "approve",
    "reject": "reject",
    "reject_stop": "stop",
    "cancel_ask": "cancel",
}
_CHANGED = "it changed under the key; look again"
FLASH_S = 2.5
"""How long the card says why a key did nothing."""


class ApprovalsPane(Pane):
    """The queue and the card. Approving needs an armed card; rejecting never does."""

    TITLE = "Approvals"
    HELP = (
        "Calls, plans and server requests that need your decision. Approving counts only after the whole "
        "item was here unchanged for a moment; Enter, Space and small letters never approve. Reject with "
        "feedback tells the model why; a rejected plan is made again with it. {reject_stop} rejects a call "
        "and stops its turn. Nothing is sent to a server before you decide."
    )
    BINDINGS = actions.bindings("approvals")

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.queue = PendingQueue()
        self.said = ""
        """Why the last key did nothing."""
        self._painted_armed = False
        """Whether the approving key was last written as one that counts."""
        self._keys_elsewhere = NextFrameCall(self, self._rearrange)
        self._drafts: dict[str, tuple[str, FormDraft]] = {}
        """Digest and form of each elicitation that was opened."""
        self._form_screen: ElicitationScreen | None = None

    def compose(self) -> ComposeResult:
        """Title, queue, card. Feedback line and editor are made when they are needed."""
        shell = shell_of(self)
        self.clock = shell.clock
        self.arming = Arming(shell.clock, shell.stillness)
        self.decision = HeldDecision(self.arming, self.set_timer, shell.input_since)
        yield PaneTitle(self.TITLE)
        yield QueueRows(self.queue, self.clock)
        yield ApprovalCard(self.arming, self._key_lines, self._empty_lines)

    def on_mount(self) -> None:
        """Prepare the timers of waiting times and arming."""
        self._ages = self.set_interval(1.0, self.rows.refresh, pause=True)
        self.was_covered = False
        """Whether a message was over the card when it was looked at last."""
        self._watch = self.set_interval(0.1, self._follow_arming, pause=True)
        self.redraw()

    @property
    def rows(self) -> QueueRows:
        """The list."""
        return self.query_one(QueueRows)

    @property
    def card(self) -> ApprovalCard:
        """The card."""
        return self.query_one(ApprovalCard)

    @property
    def entrance(self) -> Widget:
        """The widget that takes the keys: the text of the open editor or feedback line, else the list."""
        return next(iter(self.query("Input.-inline, .-inline TextArea").results(Widget)), self.rows)

    @property
    def shown(self) -> PendingItem | None:
        """The item on the card."""
        return self.card.item

    def _rearrange(self) -> None:
        self.card.rearrange()

    # --- events

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account."""
        if self.queue.apply(event):
            for key in [key for key in self._drafts if self.queue.get(key) is None]:
                del self._drafts[key]
            if self.is_mounted and self.children:
                self.redraw()
                self._follow_answered(event)

    def _follow_answered(self, event: AnyEvent) -> None:
        """Show a server request again that was just accepted and has a further stage; it is not armed."""
        if isinstance(event, ServerRequestOpened) and self.rows.selected is None and self.has_focus_within:
            key, ended = server_request_key(event.ask), self.queue.ended
            if ended is not None and ended.accepted and ended.key == key:
                self.rows.select(key)

    def clear_session(self) -> None:
        """Forget the queue: another session is about to be replayed."""
        self.rows.queue = self.queue = PendingQueue()
        self._drafts = {}
        if self._form_screen is not None:
            self._form_screen.end("another session was opened")
        self.close_inline()
        self.redraw()

    def redraw(self) -> None:
        """Bring list and card up to date."""
        rows = self.rows
        was_empty = not rows.keys
        rows.set_keys(self.queue.keys)
        self.count = len(self.queue)
        self.query_one(PaneTitle).count = self.count
        self.set_class(self.count == 0, "-empty")
        # After a decision the cursor does not move to the next item; in an empty queue it takes the first.
        if was_empty and rows.keys and not (self.has_focus_within and self.queue.ended):
            rows.select(rows.keys[0])
        (self._ages.resume if self.count else self._ages.pause)()
        self.card.show(self.queue.get(rows.selected))
        self.refresh_bindings()

    def focus_server_request(self) -> bool:
        """Put the cursor on the oldest server request; False if there is none."""
        return bool(self.queue.server_requests) and self.focus_call(self.queue.server_requests[0])

    def focus_call(self, key: str) -> bool:
        """Put the cursor on an item, by its key in the queue; False if it does not wait."""
        if self.queue.get(key) is None:
            return False
        self.rows.select(key)
        return True

    @on(RowList.Moved)
    def _show_selected(self) -> None:
        self.close_inline()
        self.card.show(self.queue.get(self.rows.selected))
        self.refresh_bindings()

    @on(RowList.Chosen)
    def _open(self) -> None:
        self.action_view_call()

    # --- what starts the quiet time again

    def on_descendant_focus(self) -> None:
        """Start the quiet time: the keys came here."""
        self.arming.disturb()
        if self.rows.selected is None and not self.queue.ended and self.rows.keys:
            self.rows.select(self.rows.keys[0])
        self._watch.resume()
        self.card.rearrange()

    def on_descendant_blur(self) -> None:
        """Drop a waiting decision: the keys went elsewhere."""
        self.decision.disturb()
        self.queue.ended = None
        self._watch.pause()
        self._keys_elsewhere.ask()

    def on_resize(self) -> None:
        """Drop a waiting decision: the picture is another one."""
        self.decision.disturb()

    def on_paste(self) -> None:
        """Drop a waiting decision: a paste decides nothing."""
        self.decision.disturb()

    def on_key(self, event: events.Key) -> None:
        """Take every key into account before any binding sees it. A digit selects its row."""
        self.decision.key(event.key, event.time)
        if event.key.isdigit() and len(event.key) == 1 and self.rows.has_focus:
            index = int(event.key) - 1
            if 0 <= index < len(self.rows.keys):
                self.rows.select(self.rows.keys[index])

    def _follow_arming(self) -> None:
        """Brighten the approving key when it begins to count; nothing is drawn while a decision waits."""
        if (covered := self.covered()) != self.was_covered:
            self.was_covered = covered
            self.arming.disturb()  # what lay under a message was out of sight
        if not self.decision.holding and self.arming.armed != self._painted_armed:
            self.card.rearrange()

    # --- the keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done with the item on the card."""
        if action not in {each.name for each in actions.for_target("approvals")}:
            return True
        if action == "approve_marked":
            return len(self.queue.marked) > 1 or bool(self.queue.offer and self.queue.marked)
        if action == "reject_marked":
            return len(self.queue.marked) > 1
        item = self.shown
        return item is not None and item.key not in self.queue.deciding and action in item.actions

    def action_approve(self) -> None:
        """Accept what is shown; if not all of it is shown, open the full view first."""
        item, press = self.shown, self.decision.press
        if item is None or press is None:
            return
        if item.why_blocked:
            self.flash(item.why_blocked)
        elif item.form is not None:  # opening it sends nothing
            self.decide(item.key, item.digest, "approve")
        elif press.painted is not None and not press.painted.whole and not press.doubt:
            self.action_view_call()
        elif press.armed:
            self._hold("approve")
        else:
            self.flash(press.doubt or "not yet: it must be here unchanged for a moment")

    def action_reject(self) -> None:
        """Reject a call or plan, or decline a server request."""
        self._hold("reject")

    def action_reject_stop(self) -> None:
        """Reject a call and stop its turn."""
        self._hold("stop")

    def action_cancel_ask(self) -> None:
        """Tell a server that nobody decided."""
        self._hold("cancel")

    def _hold(self, verdict: PersonVerdict) -> None:
        """Decide once it is certain that the key came alone."""
        item, press = self.shown, self.decision.press
        if press is None:
            return
        painted = press.painted
        if item is None or painted is None or press.doubt:
            self.flash(press.doubt)
        elif (painted.key, painted.digest) != (item.key, item.digest):
            self.flash(_CHANGED)
        else:
            self.decision.hold(lambda: self._decide_painted(painted, verdict), lambda: self.flash(_CHANGED))

    def _decide_painted(self, painted: Painted, verdict: PersonVerdict) -> None:
        if verdict == "approve" and self.covered():
            self.flash("a message covers it; look again")
        else:
            self.decide(painted.key, painted.digest, verdict)

    def covered(self) -> bool:
        """Return whether a toast is over the card."""
        return covered_by_toast(self.screen, self.card.region)

    @on(ApprovalCard.Pressed)
    async def _clicked(self, event: ApprovalCard.Pressed) -> None:
        item = self.shown
        if item is None or (item.key, item.digest) != (event.painted.key, event.painted.digest):
            self.flash("it changed under the mouse; look again")
        elif event.action == "approve" and not event.painted.whole:
            self.action_view_call()
        elif event.action in _VERDICTS:
            self._decide_painted(event.painted, _VERDICTS[event.action])
        else:
            await self.run_action(event.action)

    def action_later(self) -> None:
        """Put it at the end of the queue."""
        item, press = self.shown, self.decision.press
        if press is not None and press.doubt:
            self.flash(press.doubt)
        elif item is not None:
            self.decide(item.key, item.digest, "defer")

    def action_mark(self) -> None:
        """Mark it for approving several calls together, or unmark it."""
        item = self.shown
        if item is None:
            return
        if why := self.queue.why_not_in_batch(item.key):
            self.flash(why)
            return
        self.queue.marked ^= {item.key}
        self.rows.refresh()
        self.card.rearrange()
        self.refresh_bindings()

    def action_copy_call(self) -> None:
        """Copy the exact arguments, or what came with a server request."""
        if self.shown is not None:
            self.post_message(CopyText(*self.shown.copy_text))

    def action_view_call(self) -> None:
        """Open the full view."""
        if self.shown is not None:
            from omni_tui.face.screens.full_view import FullViewScreen

            shell = shell_of(self)
            screen = FullViewScreen(self.shown, shell.port, shell.clock, shell.stillness)
            self.app.push_screen(screen, self._viewed)

    def action_show_change(self) -> None:
        """Show how a call's tool and server were accepted, and how they are now."""
        if self.shown is not None and self.shown.tool:
            from omni_tui.face.screens.change import ChangeScreen

            shell = shell_of(self)
            shell.show(ChangeScreen(self.shown.server, self.shown.tool, shell.clock, shell.stillness))

    def _viewed(self, outcome: tuple[str, str, Verdict] | None) -> None:
        if outcome is not None:
            self.decide(*outcome)

    def action_approve_marked(self) -> None:
        """Open the batch with every marked call."""
        items = self.queue.marked_items()
        if len(items) > 1 or (items and self.queue.offer is not None):
            from omni_tui.face.screens.batch import BatchScreen

            shell = shell_of(self)
            self.app.push_screen(BatchScreen(items, shell.clock, shell.stillness), self._approve_all)

    def _approve_all(self, approved: list[tuple[str, str]] | None) -> None:
        self.queue.end_offer()
        items = approved or []
        for key, digest in items:
            self.decide(key, digest, "approve", batch=len(items) if len(items) > 1 else 0)
        self.redraw()

    def action_write_rule(self) -> None:
        """Open the composer of rules; writing one sends no call."""
        item = self.shown
        if item is not None:
            from omni_tui.face.screens.rule_composer import RuleComposerScreen

            shell = shell_of(self)
            self.app.push_screen(RuleComposerScreen(item, shell.clock, shell.stillness))

    @work(group="open-page", exit_on_error=False)
    async def action_open_page(self) -> None:
        """Open the page of a server request where the engine runs; the request still waits."""
        command = None if self.shown is None else self.shown.open_page()
        if command is not None and await request(shell_of(self), command, self.flash) is not None:
            self.flash("opened in a browser; your answer is still needed")

    # --- deciding

    def decide(
        self, key: str, digest: str, verdict: PersonVerdict, feedback: str = "", *, batch: int = 0
    ) -> None:
        """Send a decision on exactly this. The cursor leaves the item and does not go to the next.

        `batch`: how many are decided on together, 0 for this one alone.
        """
        item = self.queue.get(key)
        if key in self.queue.deciding or item is None:
            return
        if verdict == "approve" and item.why_blocked:
            self.flash(item.why_blocked)
            return
        if verdict == "approve" and item.form is not None:
            if item.digest == digest:
                self._open_form(item.form)
            return
        self.queue.ended = EndedItem(key, item.noun, item.done[verdict], accepted=verdict == "approve")
        self.close_inline()
        self.rows.select(None)
        command = item.decision(digest, verdict, feedback)
        if command is None:
            self.queue.defer(key)
            self.redraw()
            return
        if batch and isinstance(command, DecideCall):
            command = msgspec.structs.replace(command, batch=batch)
        self.queue.deciding.add(key)
        self._send(key, command, defers=verdict == "defer")

    @work(group="decide", exit_on_error=False)
    async def _send(self, key: str, command: AnyCommand, *, defers: bool) -> None:
        try:
            await self.port.ask(command)
        except CommandError as refused:
            self._not_decided(key)
            shell_of(self).failed(refused.failure)
        except (TimeoutError, LinkClosed) as error:
            self._not_decided(key)
            _log.warning("a decision got no answer: %r", error)
            shell_of(self).say(_unanswered(error), level="warning", timeout=8.0)
        else:
            if defers:
                self.queue.defer(key)
        self.redraw()

    def _not_decided(self, key: str) -> None:
        self.queue.deciding.discard(key)
        self.queue.ended = None

    def flash(self, words: str) -> None:
        """Say why a key did nothing: on the card, because a toast over it would block approving."""
        if not words:
            return
        if self.shown is None:
            shell_of(self).say(f"{words[:1].upper()}{words[1:]}.", timeout=2.0)
            return
        self._say_on_card(words)
        self.set_timer(FLASH_S, lambda: self._say_on_card(""))

    def _say_on_card(self, words: str) -> None:
        self.said = words
        self.card.rearrange()

    # --- feedback, editor and form

    def action_reject_why(self) -> None:
        """Open the line for feedback to the model."""
        if self.shown is not None:
            self._ask_why([self.shown])

    def action_reject_marked(self) -> None:
        """Open the line for feedback that goes to the model with each of the marked calls."""
        items = self.queue.marked_items()
        if len(items) > 1:
            self._ask_why(items)

    def _ask_why(self, items: Sequence[PendingItem]) -> None:
        from omni_tui.face.approval.inline_editors import FeedbackInput

        self.close_inline()
        line = FeedbackInput(items, self)
        self.mount(line)
        self.screen.set_focus(line)

    def action_edit_call(self) -> None:
        """Open the exact arguments in an editor, in place of the card."""
        item = self.shown
        if item is None:
            return
        if not item.complete:
            self.flash("it is too long to edit here; reject it instead")
            return
        from omni_tui.face.approval.inline_editors import ArgumentsEditor

        self.close_inline()
        editor = ArgumentsEditor(item, self)
        self.add_class("-editing")
        self.mount(editor)
        editor.focus_text()

    def close_inline(self, *, refocus: bool = False) -> None:
        """Close the feedback line or the editor."""
        inline = list(self.query(".-inline"))
        if not inline:
            return
        had_keys = self.has_focus_within
        self.remove_class("-editing")
        for widget in inline:
            widget.remove()
        if refocus or had_keys:
            self.screen.set_focus(self.rows, scroll_visible=False)

    def _open_form(self, item: PendingRequestItem) -> None:
        """Open the form of an elicitation, as it was left."""
        from omni_tui.face.screens.elicitation import ElicitationScreen

        digest, draft = self._drafts.get(item.key, ("", None))
        if draft is None or digest != item.digest:
            draft = FormDraft(FormModel(item.event.content_json))
            draft.model.prefill()
            self._drafts[item.key] = (item.digest, draft)
        self.close_inline()
        self._form_screen = ElicitationScreen(item, draft)
        self.app.push_screen(self._form_screen)

    # --- what the card says besides the item

    def _key_lines(self) -> list[Content]:
        self._painted_armed = self.arming.armed
        item = self.shown
        if item is None:
            return []
        if item.key in self.queue.deciding:
            return [Content.styled("sending …", "$text-3")]
        if not self.has_focus_within:
            key = self._key("show_approvals")
            return [Content.assemble((key, "bold $text-2"), (" to decide", "$text-3"))]
        ready = "$done" if self._painted_armed else "$text-3"
        lines = key_lines(item, self._key, ready, self.card.size.width)
        if self.said:
            lines[-1:] = wrap(Content.styled(self.said, "$waiting"), self.card.size.width)
        return [*lines, *self._marked_lines(self.card.size.width)]

    def _marked_lines(self, width: int) -> list[Content]:
        """Offer to decide together what is marked, by the person or because a new rule allows it."""
        offer, marked, offered = self.queue.offer, len(self.queue.marked), len(self.queue.offered)
        if offer is not None:
            calls = "1 waiting call is" if offered == 1 else f"{offered} waiting calls are"
            words = f"{calls} now allowed by the rule {visible_identifier(offer.rule)}"
            if not marked:
                return wrap(Content.styled(f"{words}; decide one by one", "$text-2"), width)
            which = "" if marked == offered else f" {marked} of"
            words = f" {words}: approve{which} {'it' if offered == 1 else 'them'}?"
        elif marked > 1:
            words = f" approve the {marked} marked   "
        else:
            return []
        line = Content.assemble((self._key("approve_marked"), "bold $waiting"), (words, "$text-2"))
        if offer is None:
            reject = self._key("reject_marked")
            line += Content.assemble((reject, "bold $fail"), (" reject them", "$text-2"))
        return wrap(line, width)

    def _empty_lines(self) -> list[Content]:
        if self.rows.keys:
            ended = self.queue.ended
            choose = Content.assemble(("↑ ↓", "bold $text-2"), (" or a number selects the next", "$text-3"))
            offered = self._marked_lines(self.card.size.width) if self.queue.offer is not None else []
            if offered:
                offered = [Content(""), *offered]
            if ended is None:
                return [choose, *offered]
            done = Content.styled(f"That {ended.noun} is {ended.how}.", "$text-2")
            return [done, Content(""), choose, *offered]
        about = "A call that needs approval is shown here exactly as it would be sent."
        return [
            Content.styled("Nothing waits for you.", "$text-2"),
            Content(""),
            Content.styled(about, "$text-3"),
        ]

    def _key(self, name: str) -> str:
        return shell_of(self).key(name)


def _unanswered(error: Exception) -> str:
    if isinstance(error, LinkClosed):
        return "The engine stopped and may not have received this decision. Start it again and check."
    return "The engine has not answered yet: it is not known whether this decision counts."
