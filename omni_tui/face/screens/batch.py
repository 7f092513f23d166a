"""Approving several calls at once: every one in full, confirmed by their number and a shifted key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.call_card import compose_body
from omni_tui.face.approval.held_decision import HeldDecision
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished

if TYPE_CHECKING:
    from omni_tui.protocol import AnyEvent

BatchOutcome = list[tuple[str, str]] | None
_DIGITS = 3
"""Most digits that are taken; twenty calls need two."""


class BatchScreen(Screen[BatchOutcome]):
    """Returns (call, digest) of each call, or None.

    Approving needs three things: the end was on the screen, the number of calls was typed, and then A
    after a moment in which nothing happened.
    """

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [
        Binding("A", "approve", "approve all"),
        Binding("backspace", "erase", show=False),
        Binding("escape,q", "back", "back"),
    ]

    def __init__(
        self, items: Sequence[ApprovalRequested], clock: Clock, stillness: Stillness | None = None
    ) -> None:
        super().__init__()
        self.items = list(items)
        self.typed = ""
        self.arming = Arming(clock, stillness)
        self._decision = HeldDecision(self.arming, self.set_timer)
        self._drawing = NextFrameCall(self, self._fill)

    def compose(self) -> ComposeResult:
        """Title, all calls, what is still to do."""
        count = len(self.items)
        yield Static(
            Content.assemble(
                (f"Approve {count} calls together? ", "bold $text-1"), ("Every one is below.", "$text-2")
            ),
            id="screen-title",
            markup=False,
        )
        yield LinesView(id="whole")
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Lay the calls out at this width."""
        self.set_interval(0.1, self._look)
        self._drawing.ask()

    def on_resize(self) -> None:
        """Lay them out again."""
        self._decision.disturb()
        self._drawing.ask()

    def on_screen_resume(self) -> None:
        """Back from elsewhere."""
        self._decision.disturb()

    @property
    def view(self) -> LinesView:
        """The calls."""
        return self.query_one(LinesView)

    def _fill(self) -> None:
        self.view.show(self._lines(self.view.room))
        self._look()

    def _lines(self, width: int) -> Iterator[Content]:
        for number, item in enumerate(self.items, 1):
            body = compose_body(item, width)
            first, *rest = body.head
            yield Content.styled(f"{number}  ", "bold $mine") + first
            yield from rest
            yield from body.arguments
            yield from body.verdict
            yield from body.origin[:1]
            yield Content("")

    def apply(self, event: AnyEvent) -> None:
        """One of them changed: the sheet is not what it was."""
        if not isinstance(event, CallChanged | CallFinished | ApprovalRequested):
            return
        digest = event.digest if isinstance(event, ApprovalRequested) else None
        if (
            any(item.call == event.call and item.digest != digest for item in self.items)
            and self.is_current
        ):
            self.app.notify("One of the calls changed; mark them again.", markup=False)
            self.dismiss(None)

    # --- what is still missing

    def _missing(self) -> str:
        """Return what has to be done before A counts, "" if nothing."""
        count = len(self.items)
        if not self.view.end_seen:
            return "there is more to see: page down, or End"
        if self.typed != str(count):
            return f"type {count} to approve all of them"
        return ""

    def _look(self) -> None:
        """Arm once the end was seen and the number stands there, and say what is missing."""
        digest = " ".join([self.typed, *(item.digest for item in self.items)])
        self.arming.paint(Painted(self.items[0].call, digest, not self._missing()))
        ready = "$done" if self.arming.armed else "$text-3"
        missing = self._missing()
        self.query_one("#screen-foot", Static).update(
            Content.assemble(
                ("typed ", "$text-2"),
                (self.typed or "–", "bold $text-1"),
                (f" of {len(self.items)}   ", "$text-2"),
                ("A", f"bold {ready}"),
                (" approve all   ", "$text-2"),
                ("esc", "bold $text-2"),
                (" back   ", "$text-2"),
                (missing or "all of it seen", "$waiting" if missing else "$text-3"),
            )
        )

    # --- keys

    def on_key(self, event: events.Key) -> None:
        """Every key is weighed; digits are the number, wherever the sheet stands."""
        self._decision.key(event.key, event.time)
        if len(event.key) == 1 and event.key in "0123456789":
            self.typed = (self.typed + event.key)[-_DIGITS:].lstrip("0")
            event.stop()
            self._look()

    def on_paste(self) -> None:
        """A paste confirms nothing."""
        self.typed = ""
        self._decision.disturb()
        self._look()

    def action_erase(self) -> None:
        """Take back the last digit."""
        self.typed = self.typed[:-1]
        self._look()

    def action_approve(self) -> None:
        """Approve all of them, if nothing is missing."""
        if why := self._missing() or self._decision.why_not("not yet: wait a moment, then press A"):
            self.app.notify(why[:1].upper() + why[1:] + ".", markup=False, timeout=2.0)
            return
        self._decision.hold(self._approve_all)

    def _approve_all(self) -> None:
        self.dismiss([(item.call, item.digest) for item in self.items])

    def action_back(self) -> None:
        """Back; nothing is approved."""
        self.dismiss(None)
