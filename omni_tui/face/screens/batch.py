"""Approving several calls together: every one in full, confirmed by their number and a shifted key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import events, work
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.approval.arming import Painted
from omni_tui.face.approval.pending_item import PendingItem
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.screens.read_to_end import ReadToEndScreen
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished

if TYPE_CHECKING:
    from omni_tui.protocol import AnyEvent

BatchOutcome = list[tuple[str, str]] | None
_DIGITS = 3
"""Most digits that are taken; twenty calls need two."""


class BatchScreen(ReadToEndScreen[BatchOutcome]):
    """Returns (key, digest) of each call, or None.

    Approving needs three things: the end was on the screen, the number of calls was typed, and then the
    approving key after a moment of quiet.
    """

    TOO_EARLY = "not yet: wait a moment, then press it again"
    BINDINGS = [
        Binding("A", "approve", "approve all", id="approve"),
        Binding("backspace", "erase", show=False),
        Binding("escape,q", "back", "back"),
    ]

    def __init__(
        self, items: Sequence[PendingItem], clock: Clock, stillness: Stillness | None = None
    ) -> None:
        self.items = list(items)
        self.typed = ""
        self._drawn_at = 0
        """The width that all calls are drawn for."""
        heading = Content.assemble(
            (f"Approve {len(self.items)} calls together? ", "bold $text-1"), ("Each is below.", "$text-2")
        )
        super().__init__(heading, clock, stillness)

    def on_mount(self) -> None:
        """Draw the calls."""
        self._drawing.ask()

    def draw(self) -> None:
        """Draw the calls at the present width, in a thread: they may be long."""
        self._draw(self.view.room)

    @work(group="draw", exclusive=True, exit_on_error=False)
    async def _draw(self, width: int) -> None:
        lines = await asyncio.to_thread(list, self._lines(width))
        if width == self.view.room:
            self.view.show(lines)
            self._drawn_at = width
            self.look()

    def _lines(self, width: int) -> Iterator[Content]:
        for number, item in enumerate(self.items, 1):
            body = item.body(width)
            first, *rest = body.head
            yield Content.styled(f"{number}  ", "bold $mine") + first
            yield from rest
            yield from body.arguments
            yield from body.verdict
            yield from body.origin[:1]
            yield Content("")

    def apply(self, event: AnyEvent) -> None:
        """Close if anything happened to one of the calls."""
        if not isinstance(event, CallChanged | CallFinished | ApprovalRequested):
            return
        digest = event.digest if isinstance(event, ApprovalRequested) else None
        changed = any(item.key == event.call and item.digest != digest for item in self.items)
        if changed and self.is_current:
            self.app.notify("One of the calls changed; mark them again.", markup=False)
            self.dismiss(None)

    def _missing(self) -> str:
        """Return what has to be done before A counts, "" if nothing."""
        count = len(self.items)
        if self._drawn_at != self.view.room or not self.view.end_seen:
            return "there is more to see: page down, or End"
        if self.typed != str(count):
            return f"type {count} to approve all of them"
        return ""

    def painted(self) -> Painted:
        """Return all digests with the typed number."""
        digest = " ".join([self.typed, *(item.digest for item in self.items)])
        return Painted(self.items[0].key, digest, not self._missing())

    def keys(self) -> Content:
        """Return the typed number, the keys, and what is missing."""
        missing = self._missing()
        return Content.assemble(
            ("typed ", "$text-2"), (self.typed or "–", "bold $text-1"),
            (f" of {len(self.items)}   ", "$text-2"), self.accept_keys("approve all"),
            ("esc", "bold $text-2"), (" back   ", "$text-2"),
            (missing or "all of it seen", "$waiting" if missing else "$text-3"),
        )  # fmt: skip

    def on_key(self, event: events.Key) -> None:
        """Take digits as the number, whatever has the keys."""
        if len(event.key) == 1 and event.key in "0123456789":
            self.typed = (self.typed + event.key)[-_DIGITS:].lstrip("0")
            event.stop()
            self.look()

    def on_paste(self) -> None:
        """Forget the number: a paste confirms nothing."""
        self.typed = ""
        self.look()

    def action_erase(self) -> None:
        """Take back the last digit."""
        self.typed = self.typed[:-1]
        self.look()

    def action_approve(self) -> None:
        """Approve all of them, if nothing is missing."""
        self.hold(self._approve_all, self._missing())

    def _approve_all(self) -> None:
        self.dismiss([(item.key, item.digest) for item in self.items])
