"""The whole of what would be sent. Here too approving counts only once its end was on the screen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.card import LARGE
from omni_tui.face.approval.held_decision import HeldDecision
from omni_tui.face.approval.pending_items import (
    PendingItem,
    chip,
    compose_body,
    decision_labels,
    is_form,
    item_name,
    why_blocked,
)
from omni_tui.face.approval.plan_card import PendingPlanItem
from omni_tui.face.approval.server_request_card import PendingRequestItem
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.protocol import LinkClosed
from omni_tui.protocol.commands import ReadArguments, Verdict
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished, TextPage
from omni_tui.protocol.plan import PlanDecided, PlanProposed
from omni_tui.protocol.server_requests import ServerRequestClosed, ServerRequestOpened

if TYPE_CHECKING:
    from omni_tui.protocol import AnyEvent

PAGE = 60_000
_AHEAD = 60
"""Rows before the end of what is loaded at which the next page is fetched."""
_EXACT: dict[type, str] = {
    PendingRequestItem: "exactly as it came",
    PendingPlanItem: "exactly as it is carried out",
}
FullViewOutcome = tuple[str, str, Verdict] | None


class FullViewScreen(Screen[FullViewOutcome]):
    """Pages through an item; returns (its key, digest, verdict), or None for Esc.

    Of a call that is too long for one event the rest is fetched; of a question it cannot be.
    """

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [
        Binding("A", "approve", "approve", id="approve"),
        Binding("R", "reject", "reject", id="reject"),
        Binding("escape,q", "back", "back"),
    ]

    def __init__(self, item: PendingItem, clock: Clock, stillness: Stillness | None = None) -> None:
        super().__init__()
        self.item = item
        self.arming = Arming(clock, stillness)
        self._decision = HeldDecision(self.arming, self.set_timer)
        self._drawing = NextFrameCall(self, self._draw)
        self._read = 0
        self._rest = ""
        self._total: int | None = None
        self._busy = False
        self._trouble = ""

    def compose(self) -> ComposeResult:
        """What it is, all of it, where one is."""
        head = Content.styled(item_name(self.item), "bold $text-1") + Content("   ") + chip(self.item)
        yield Static(head, id="screen-title", markup=False)
        yield LinesView(id="whole")
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Draw what is here already, or fetch the first page of what is not."""
        self.set_interval(0.1, self._look)
        if self._all_here:
            self._read = self._total = len(self.item.arguments_json)
            self._drawing.ask()
        else:
            self._fetch()

    @work(group="draw", exclusive=True, exit_on_error=False)
    async def _draw(self) -> None:
        """Show it as the card does, and below that the very text that is sent."""
        room = self.view.room
        if len(self.item.arguments) > LARGE:
            body = await asyncio.to_thread(compose_body, self.item, room)
        else:
            body = compose_body(self.item, room)
        asked = isinstance(self.item, PendingRequestItem)
        raw = [
            Content.styled(_EXACT.get(type(self.item), "exactly as it is sent"), "$text-2"),
            Content.styled(self.item.arguments_json, "$text-3"),
        ]
        head = [*body.head[1:], Content("")] if asked and len(body.head) > 1 else []
        exact = [Content(""), *raw] if self.item.complete else []
        self.view.show([*head, *body.arguments, Content(""), *body.verdict, *exact])

    @property
    def _all_here(self) -> bool:
        return self.item.complete or isinstance(self.item, PendingRequestItem)

    @property
    def view(self) -> LinesView:
        """The text."""
        return self.query_one(LinesView)

    @property
    def complete(self) -> bool:
        """True once everything has been fetched."""
        return self._total is not None and self._read >= self._total

    @work(group="whole", exit_on_error=False)
    async def _fetch(self) -> None:
        if self._busy or self.complete:
            return
        self._busy = True
        port = shell_of(self).port
        try:
            page = await port.ask(ReadArguments(call=self.item.call, offset=self._read, limit=PAGE))
        except CommandError as refused:
            self._trouble = " ".join(filter(None, (refused.failure.what, refused.failure.why)))
        except (TimeoutError, LinkClosed):
            self._trouble = "The engine did not answer; close this and open it again."
        else:
            self._take(page)
        self._busy = False
        self._look()

    def _take(self, page: TextPage) -> None:
        self._total = page.total
        self._read = page.offset + len(page.text) if page.text else page.total
        *rows, self._rest = (self._rest + page.text).split("\n")
        if self.complete:
            rows, self._rest = [*rows, self._rest], ""
        self.view.extend(Content.styled(row, "$text-1") for row in rows)

    def apply(self, event: AnyEvent) -> None:
        """The item changed or went: nothing of this counts any more."""
        if isinstance(event, PlanProposed | PlanDecided):
            ours = isinstance(self.item, PendingPlanItem) and event.plan == self.item.event.plan
            same = isinstance(event, PlanProposed) and event.digest == self.item.digest
            if ours and not same and self.is_current:
                self.app.notify("The plan changed or was decided on; look at it again.", markup=False)
                self.dismiss(None)
            return
        if isinstance(event, ServerRequestOpened | ServerRequestClosed):
            ours = isinstance(self.item, PendingRequestItem) and event.ask == self.item.event.ask
            same = isinstance(event, ServerRequestOpened) and event.digest == self.item.digest
            if ours and not same and self.is_current:
                self.app.notify("The question changed or is over; look at it again.", markup=False)
                self.dismiss(None)
            return
        if (
            isinstance(event, CallChanged | CallFinished | ApprovalRequested)
            and event.call == self.item.call
        ):
            waits = isinstance(event, CallChanged) and event.state in ("pending", "held")
            same = isinstance(event, ApprovalRequested) and event.digest == self.item.digest
            if not waits and not same and self.is_current:
                self.app.notify("The call changed; look at it again.", markup=False)
                self.dismiss(None)

    def _look(self) -> None:
        """Fetch ahead of the eye, arm at the end, and say where one is."""
        view = self.view
        bottom = round(view.scroll_offset.y) + view.size.height
        if not self.complete and not self._trouble and bottom + _AHEAD >= view.count:
            self._fetch()
        whole = self.complete and view.end_seen
        self.arming.paint(Painted(self.item.call, self.item.digest, whole))
        self.query_one("#screen-foot", Static).update(self._foot(whole))

    def _foot(self, whole: bool) -> Content:
        if self._trouble:
            return Content.styled(self._trouble, "$fail")
        ready = "$done" if self.arming.armed else "$text-3"
        total = self._total or 0
        where = f"{min(self._read, total):,} of {total:,} characters"
        state = "all of it seen" if whole else "approving counts at the end: page down, or End"
        state = "nothing is sent before you have filled it in" if is_form(self.item) else state
        words = decision_labels(self.item)
        accept = "" if why_blocked(self.item) else f" {words.accept}   "
        if why_blocked(self.item):
            state = why_blocked(self.item)
        return Content.assemble(
            ("A" if accept else "", f"bold {ready}"), (accept, "$text-2"),
            ("R", "bold $fail"), (f" {words.refuse}   ", "$text-2"),
            ("esc", "bold $text-2"), (" back   ", "$text-2"),
            (f"{where} · {state}", "$text-3" if whole else "$waiting"),
        )  # fmt: skip

    # --- the same safeguards as on the card

    def on_key(self, event: events.Key) -> None:
        """Every key is weighed before any binding sees it."""
        self._decision.key(event.key, event.time)

    def on_paste(self) -> None:
        """A paste decides nothing."""
        self._decision.disturb()

    def on_resize(self) -> None:
        """Another size, another picture."""
        self._decision.disturb()
        if self._all_here:
            self._drawing.ask()

    def on_screen_resume(self) -> None:
        """Back from elsewhere."""
        self._decision.disturb()

    def action_approve(self) -> None:
        """Approve, if the end was seen and nothing has happened for a moment."""
        why = why_blocked(self.item)
        if not why and is_form(self.item):
            self._decide("approve")
            return
        if why := why or self._decision.why_not("not yet: see the end of it first, then wait a moment"):
            self.app.notify(why[:1].upper() + why[1:] + ".", markup=False, timeout=2.0)
            return
        self._decision.hold(lambda: self._decide("approve"))

    def action_reject(self) -> None:
        """Reject."""
        self._decision.hold(lambda: self._decide("reject"))

    def _decide(self, verdict: Verdict) -> None:
        self.dismiss((self.item.call, self.item.digest, verdict))

    def action_back(self) -> None:
        """Back to the card; nothing is decided."""
        self.dismiss(None)
