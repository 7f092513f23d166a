"""The approvals: a queue, and a card with exactly what would be sent. Decisions are made here only.

Calls wait here, and what servers ask of the person: values for a form, a page to visit, their model.
Plans wait here too.
"""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from omni_tui.face import actions
from omni_tui.face.approval.arming import BURST_S, Arming, Press
from omni_tui.face.approval.card import ApprovalCard
from omni_tui.face.approval.decide import ANSWERED, Decider, VerdictOrCancel
from omni_tui.face.approval.decision_keys import allowed_actions, key_lines
from omni_tui.face.approval.pending_items import PendingItem, copy_text, is_form, why_blocked
from omni_tui.face.approval.queue import PendingQueue, QueueRows
from omni_tui.face.keys import show_key
from omni_tui.face.messages import CopyText
from omni_tui.face.overview import plan_key, server_request_key
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import wrap
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.face.widgets.rows import RowList
from omni_tui.face.widgets.title import PaneTitle
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.server_requests import ServerRequestOpened

_RULINGS: dict[str, VerdictOrCancel] = {"approve": "approve", "reject": "reject", "cancel_ask": "cancel"}


class ApprovalsPane(Decider):
    """The queue and the card. Approving needs an armed card; rejecting never does."""

    TITLE = "Approvals"
    HELP = (
        "What the agent wants to do and may not do by itself, and what servers ask of you: values for a "
        "form, a page to visit, an answer of your model. A plan waits here before anything of it is done; "
        "rejected with words, it is planned anew. Approving counts only once the whole item "
        "has stood here unchanged for a moment; Enter, Space and small letters never approve. Nothing "
        "goes back to a server before you have decided."
    )
    BINDINGS = actions.bindings("approvals")

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.queue = PendingQueue()
        self._press: Press | None = None
        self._held: tuple[Press, VerdictOrCancel] | None = None
        self._was_armed = False
        self.said = ""
        self._keys_elsewhere = NextFrameCall(self, lambda: self.card.rearrange())

    def compose(self) -> ComposeResult:
        """Title, queue, card. The line for words and the editor are made when they are needed."""
        clock = shell_of(self).clock
        self.clock = clock
        self.stillness = shell_of(self).stillness
        self.arming = Arming(clock, self.stillness)
        yield PaneTitle(self.TITLE)
        yield QueueRows(self.queue, clock)
        yield ApprovalCard(self.arming, self._key_lines, self._empty_lines)

    def on_mount(self) -> None:
        """Ages count on while something waits; coming back from elsewhere starts the quiet time again."""
        self._ages = self.set_interval(1.0, self.rows.refresh, pause=True)
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
        """Where the keys go when somebody comes here: to what is being written, else to the list."""
        return next(iter(self.query(".-inline").results(Widget)), self.rows)

    @property
    def shown(self) -> PendingItem | None:
        """The item on the card."""
        return self.card.item

    # --- the fold

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account."""
        if self.queue.apply(event):
            self.forget_drafts()
            if self.is_mounted and self.children:
                self.redraw()
                self._follow_question(event)

    def _follow_question(self, event: AnyEvent) -> None:
        """A question the person has just answered, and that goes on, is on the card again; not armed."""
        if isinstance(event, ServerRequestOpened) and self.rows.selected is None and self.has_focus_within:
            key = server_request_key(event.ask)
            if self.queue.ended.get(key) == ANSWERED:
                self.rows.select(key)

    def clear_session(self) -> None:
        """Another session: nothing of this one waits any more."""
        self.queue.clear()
        self.end_forms("another session was opened")
        self.close_inline()
        self.redraw()

    def redraw(self) -> None:
        """Bring list and card up to date."""
        rows = self.rows
        was_empty = not rows.keys
        rows.set_keys(self.queue.calls)
        self.count = len(self.queue)
        self.query_one(PaneTitle).count = self.count
        self.set_class(self.count == 0, "-empty")
        # Who has just decided is not led on to the next call; who waits at an empty queue sees the first.
        if was_empty and rows.keys and not (self.has_focus_within and self.queue.ended):
            rows.select(rows.keys[0])
        (self._ages.resume if self.count else self._ages.pause)()
        self.card.show(self.queue.get(rows.selected))
        self.refresh_bindings()

    def focus_server_request(self) -> bool:
        """Put the cursor on the oldest question of a server; False if there is none."""
        return bool(self.queue.questions) and self.focus_call(self.queue.questions[0])

    def focus_call(self, call: str) -> bool:
        """Put the cursor on an item, by its key in the queue; False if it does not wait."""
        if self.queue.get(call) is None:
            return False
        self.rows.select(call)
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
        """The keys came here."""
        self.arming.disturb()
        if self.rows.selected is None and not self.queue.ended and self.rows.keys:
            self.rows.select(self.rows.keys[0])
        self._watch.resume()
        self.card.rearrange()

    def on_descendant_blur(self) -> None:
        """The keys went elsewhere: whatever was about to be decided is not."""
        self._held = None
        self.queue.ended = {}
        self.arming.disturb()
        self._watch.pause()
        self._keys_elsewhere.ask()

    def on_resize(self) -> None:
        """Another size, another picture."""
        self._held = None
        self.arming.disturb()

    def on_paste(self) -> None:
        """A paste decides nothing."""
        self._held = None
        self.arming.disturb()

    def on_key(self, event: events.Key) -> None:
        """Every key is weighed before any binding sees it."""
        self._held = None
        self._press = self.arming.press(event.key, event.time)
        if event.key.isdigit() and len(event.key) == 1 and self.rows.has_focus:
            index = int(event.key) - 1
            if 0 <= index < len(self.rows.keys):
                self.rows.select(self.rows.keys[index])

    def _follow_arming(self) -> None:
        """The word at the key brightens when the key begins to count."""
        if self.arming.armed != self._was_armed:
            self._was_armed = self.arming.armed
            self.card.rearrange()

    # --- deciding

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the item on the card is offered."""
        names = {a.name for a in actions.for_target("approvals")}
        if action not in names:
            return True
        if action == "approve_marked":
            return len(self.queue.marked) > 1
        item = self.shown
        return item is not None and item.call not in self.queue.deciding and action in allowed_actions(item)

    def action_approve(self) -> None:
        """Accept what is shown; if not all of it is, show the whole first."""
        item, press = self.shown, self._press
        if item is None or press is None:
            return
        if why := why_blocked(item):
            self.flash(why)
        elif is_form(item):  # nothing is sent by opening it
            self.decide(item.call, item.digest, "approve")
        elif press.painted is not None and not press.painted.whole and not press.doubt:
            self.action_view_call()
        elif press.armed:
            self._hold(press, "approve")
        else:
            self.flash(press.doubt or "not yet: it has to stand here unchanged for a moment")

    def action_reject(self) -> None:
        """Reject a call, or tell a server no."""
        if self._press is not None:
            self._hold(self._press, "reject")

    def action_cancel_ask(self) -> None:
        """Tell a server that nobody decided."""
        if self._press is not None:
            self._hold(self._press, "cancel")

    def _hold(self, press: Press, verdict: VerdictOrCancel) -> None:
        """Wait until it is certain that the key came alone, then decide."""
        item = self.shown
        if item is None or press.painted is None or press.doubt:
            self.flash(press.doubt)
        elif (press.painted.call, press.painted.digest) != (item.call, item.digest):
            self.flash("it changed under the key; look again")
        else:
            self._held = (press, verdict)
            self.set_timer(BURST_S + 0.005, self._settle)

    def _settle(self) -> None:
        if self._held is None:
            return
        press, verdict = self._held
        if not self.arming.due(press):
            self.set_timer(BURST_S + 0.005, self._settle)
            return
        self._held = None
        if press.painted is None or not self.arming.stands(press):
            self.flash("it changed under the key; look again")
        elif verdict == "approve" and self.covered():
            self.flash("a message covers it; look again")
        else:
            self.decide(press.painted.call, press.painted.digest, verdict)

    @property
    def holding(self) -> bool:
        """True while a decision waits to be sure that its key came alone."""
        return self._held is not None

    @on(ApprovalCard.Pressed)
    def _clicked(self, event: ApprovalCard.Pressed) -> None:
        item = self.shown
        if item is None or (item.call, item.digest) != (event.painted.call, event.painted.digest):
            self.flash("it changed under the mouse; look again")
        elif event.action == "approve" and not event.painted.whole:
            self.action_view_call()
        elif event.action in _RULINGS:
            self.decide(item.call, item.digest, _RULINGS[event.action])
        else:
            getattr(self, f"action_{event.action}")()

    def covered(self) -> bool:
        """True if a toast stands on the card."""
        return any(toast.region.overlaps(self.card.region) for toast in self.screen.query("Toast"))

    def action_later(self) -> None:
        """Put it at the end of the queue."""
        item, press = self.shown, self._press
        if press is not None and press.doubt:
            self.flash(press.doubt)
        elif item is not None:
            self.decide(item.call, item.digest, "defer")

    def action_mark(self) -> None:
        """Mark it for being approved with others."""
        item = self.shown
        if item is None:
            return
        why = self.queue.may_batch(item.call)
        if why:
            self.flash(why)
            return
        self.queue.marked ^= {item.call}
        self.rows.refresh()
        self.card.rearrange()
        self.refresh_bindings()

    def action_copy_call(self) -> None:
        """Copy the exact arguments, or what belongs to a question."""
        item = self.shown
        if item is not None:
            self.post_message(CopyText(*copy_text(item)))

    # --- what the card says besides the item

    def _key_lines(self) -> list[Content]:
        item = self.shown
        if item is None:
            return []
        if item.call in self.queue.deciding:
            return [Content.styled("sending …", "$text-3")]
        if not self.has_focus_within:
            key = show_key(actions.get("show_approvals").keys)
            return [Content.assemble((key, "bold $text-2"), (" to decide", "$text-3"))]
        ready = "$done" if self.arming.armed else "$text-3"
        lines = key_lines(item, self._key, ready, self.card.size.width)
        if self.said:
            lines[-1:] = wrap(Content.styled(self.said, "$waiting"), self.card.size.width)
        if len(self.queue.marked) > 1:
            words = f" approve the {len(self.queue.marked)} marked"
            lines.append(
                Content.assemble((self._key("approve_marked"), "bold $waiting"), (words, "$text-2"))
            )
        return lines

    def _empty_lines(self) -> list[Content]:
        if self.rows.keys:
            key, how = next(iter(self.queue.ended.items()), ("", ""))
            kinds = {server_request_key(""): "question", plan_key(""): "plan"}
            what = next((word for start, word in kinds.items() if key.startswith(start)), "call")
            done = [Content.styled(f"That {what} is {how}.", "$text-2"), Content("")] if how else []
            choose = Content.assemble(("↑ ↓", "bold $text-2"), (" or a number chooses the next", "$text-3"))
            return [*done, choose]
        return [
            Content.styled("Nothing waits for you.", "$text-2"),
            Content(""),
            Content.styled(
                "A call that needs approval is shown here exactly as it would be sent.", "$text-3"
            ),
        ]

    def _key(self, name: str) -> str:
        keymap = shell_of(self).keymap
        return show_key(keymap.get(name) or actions.get(name).keys)
