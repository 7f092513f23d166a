"""The full view of a pending item. Here too approving counts only after its end was on the screen."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.approval.arming import Painted
from omni_tui.face.approval.card import LARGE
from omni_tui.face.approval.pending_item import PendingItem
from omni_tui.face.cells import boundary
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.port import REQUEST_ERRORS, Port, error_text
from omni_tui.face.screens.read_to_end import ReadToEndScreen
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import PIECE
from omni_tui.protocol import AnyCommand
from omni_tui.protocol.commands import Verdict
from omni_tui.protocol.events import TextPage

if TYPE_CHECKING:
    from omni_tui.protocol import AnyEvent

PAGE = 60_000
_AHEAD = 60
"""Rows before the end of what is loaded at which the next page is fetched."""
FullViewOutcome = tuple[str, str, Verdict] | None


class FullViewScreen(ReadToEndScreen[FullViewOutcome]):
    """Pages through an item; returns (its key, digest, verdict), or None for Esc.

    The rest of a call that is too long for one event is fetched page by page.
    """

    BINDINGS = [
        Binding("A", "approve", "approve", id="approve"),
        Binding("R", "reject", "reject", id="reject"),
        Binding("escape,q", "back", "back"),
    ]

    def __init__(
        self, item: PendingItem, port: Port, clock: Clock, stillness: Stillness | None = None
    ) -> None:
        heading = Content.styled(item.name, "bold $text-1") + Content("   ") + item.chip()
        super().__init__(heading, clock, stillness)
        self.item = item
        self._port = port
        self._paged = item.page(0, PAGE) is not None
        self._read = 0
        self._rest = ""
        self._total: int | None = None
        self._busy = False
        self._problem = ""

    def on_mount(self) -> None:
        """Draw the item, or fetch its first page."""
        if self._paged:
            self._fetch_next()
        else:
            self._read = self._total = len(self.item.arguments_json)
            self._drawing.ask()

    def draw(self) -> None:
        """Draw an item that needs no pages."""
        if not self._paged:
            self._draw_all()

    @work(group="draw", exclusive=True, exit_on_error=False)
    async def _draw_all(self) -> None:
        room = self.view.room
        if len(self.item.arguments) > LARGE:
            self.view.show(await asyncio.to_thread(self.item.full_view, room))
        else:
            self.view.show(self.item.full_view(room))

    @property
    def complete(self) -> bool:
        """True once everything has been fetched."""
        return self._total is not None and self._read >= self._total

    def _fetch_next(self) -> None:
        command = self.item.page(self._read, PAGE)
        if command is not None and not self._busy and not self.complete:
            self._busy = True
            self._fetch(command)

    @work(group="whole", exit_on_error=False)
    async def _fetch(self, command: AnyCommand) -> None:
        try:
            page = await self._port.ask(command)
        except REQUEST_ERRORS as error:
            self._problem = error_text(error)
        else:
            self._take(page)
        self._busy = False
        self.look()

    def _take(self, page: TextPage) -> None:
        self._total = page.total
        self._read = page.offset + len(page.text) if page.text else page.total
        *rows, self._rest = (self._rest + page.text).split("\n")
        if len(self._rest) > PIECE:  # a long line does not wait for its end
            rows.append(self._rest[: boundary(self._rest, len(self._rest) - 1)])
            self._rest = self._rest[len(rows[-1]) :]
        if self.complete:
            rows, self._rest = [*rows, self._rest], ""
        self.view.extend(Content.styled(row, "$text-1") for row in rows)

    def apply(self, event: AnyEvent) -> None:
        """Close if the item changed or no longer waits."""
        if self.item.changed_by(event) and self.is_current:
            self.app.notify(f"The {self.item.noun} changed or is over; look at it again.", markup=False)
            self.dismiss(None)

    def look(self) -> None:
        """Fetch ahead of the scroll position, and arm at the end."""
        bottom = round(self.view.scroll_offset.y) + self.view.size.height
        if not self._problem and bottom + _AHEAD >= self.view.count:
            self._fetch_next()
        super().look()

    def painted(self) -> Painted:
        """Return the item, and whether its end was on the screen."""
        return Painted(self.item.key, self.item.digest, self.complete and self.view.end_seen)

    def keys(self) -> Content:
        """Return the keys, and how much was read."""
        if self._problem:
            return Content.styled(self._problem, "$fail")
        item, whole = self.item, self.complete and self.view.end_seen
        total = self._total or 0
        where = f"{min(self._read, total):,} of {total:,} characters"
        state = "all of it seen" if whole else "approving counts at the end: page down, or End"
        if item.form is not None:
            state = "nothing is sent before you fill it in"
        state = item.why_blocked or state
        return Content.assemble(
            "" if item.why_blocked else self.accept_keys(item.accept_label),
            (shell_of(self).key("reject"), "bold $fail"), (f" {item.reject_label}   ", "$text-2"),
            ("esc", "bold $text-2"), (" back   ", "$text-2"),
            (f"{where} · {state}", "$text-3" if whole else "$waiting"),
        )  # fmt: skip

    def action_approve(self) -> None:
        """Approve, if the end was seen and nothing has happened for a moment; open a form at once."""
        if self.item.form is not None and not self.item.why_blocked:
            self._decide("approve")
        else:
            self.hold(partial(self._decide, "approve"), self.item.why_blocked)

    def action_reject(self) -> None:
        """Reject."""
        self.decision.hold(partial(self._decide, "reject"))

    def _decide(self, verdict: Verdict) -> None:
        self.dismiss((self.item.key, self.item.digest, verdict))
