"""Approving several calls at once: every one of them in full, confirmed by typing how many they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from omni_tui.face.approval.calls import compose_body
from omni_tui.face.widgets.lines import LinesView
from omni_tui.protocol.events import ApprovalRequested, CallChanged, CallFinished

if TYPE_CHECKING:
    from omni_tui.protocol import AnyEvent

Outcome = list[tuple[str, str]] | None


class BatchScreen(Screen[Outcome]):
    """Returns (call, digest) of each call, or None. Nothing counts before the end was on the screen."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [Binding("escape", "back", "back"), Binding("tab", "app.focus_next", show=False)]

    def __init__(self, items: Sequence[ApprovalRequested]) -> None:
        super().__init__()
        self.items = list(items)

    def compose(self) -> ComposeResult:
        """Title, all calls, the line for the number."""
        count = len(self.items)
        yield Static(
            Content.assemble(
                (f"Approve {count} calls together? ", "bold $text-1"), ("Every one is below.", "$text-2")
            ),
            id="screen-title",
            markup=False,
        )
        yield LinesView(id="whole")
        line = Input(
            placeholder=f"read to the end, then type {count} and press enter · esc goes back", compact=True
        )
        line.cursor_blink = False
        yield line
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Lay the calls out at this width."""
        self.call_after_refresh(self._fill)

    def on_resize(self) -> None:
        """Lay them out again."""
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        view = self.query_one(LinesView)
        view.show(self._lines(view.room))

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

    def on_paste(self) -> None:
        """A paste confirms nothing."""
        self.query_one(Input).value = ""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Approve all of them if the number is right and their end was seen."""
        event.stop()
        foot = self.query_one("#screen-foot", Static)
        if not self.query_one(LinesView).end_seen:
            foot.update(
                Content.styled(
                    "There is more to see: page down to the end first (Tab, then End).", "$waiting"
                )
            )
        elif event.value.strip() != str(len(self.items)):
            foot.update(Content.styled(f"Type {len(self.items)} to approve all of them.", "$waiting"))
        else:
            self.dismiss([(item.call, item.digest) for item in self.items])

    def action_back(self) -> None:
        """Back; nothing is approved."""
        self.dismiss(None)
