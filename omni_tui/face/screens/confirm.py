"""A yes-or-no question, asked only after a key that the person just pressed."""

from __future__ import annotations

from functools import partial

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from omni_tui.face.approval.arming import BURST_S
from omni_tui.protocol import SafeText

MOST, MOST_LINES = 2_000, 30
"""Characters and lines of a question, or of its details, that are shown."""


class ConfirmScreen(ModalScreen[bool]):
    """Returns True for `y`, False for anything that closes it."""

    CSS_PATH = "../styles/screens.tcss"
    BINDINGS = [Binding("y,Y", "answer(True)"), Binding("n,N,escape,q", "answer(False)")]

    def __init__(self, question: SafeText, detail: SafeText, yes: str) -> None:
        super().__init__()
        self._question, self._detail, self._yes = _start(question), _start(detail), yes
        self._last, self._keys = -1.0, 0

    def compose(self) -> ComposeResult:
        """Question, detail, the two keys."""
        with Vertical():
            yield Static(Content.styled(self._question, "bold $text-1"), markup=False)
            yield Static(Content.styled(self._detail, "$text-2"), markup=False)
            keys = Content.assemble(
                ("\ny", "bold $waiting"),
                (f" {self._yes}   ", "$text-2"),
                ("n", "bold $text-1"),
                (" no", "$text-2"),
            )
            yield Static(keys, markup=False)

    def on_key(self, event: events.Key) -> None:
        """Drop a key that came with another in one read of the terminal: it is part of a paste."""
        together = event.time == self._last
        self._last, self._keys = event.time, self._keys + 1
        if together:
            event.stop()
            event.prevent_default()

    def on_paste(self) -> None:
        """Note a paste: it decides nothing."""
        self._keys += 1

    def action_answer(self, yes: bool) -> None:
        """Close with the answer; with yes only if no other key comes within `BURST_S`."""
        if yes:
            self.set_timer(BURST_S, partial(self._settle, self._keys))
        else:
            self.dismiss(False)

    def _settle(self, keys: int) -> None:
        if keys == self._keys and self.is_current:
            self.dismiss(True)


def _start(text: SafeText) -> str:
    """Return the beginning of a text that could be longer than the screen, and how much is left out."""
    end = len("\n".join(text[:MOST].split("\n")[:MOST_LINES]))
    left = len(text) - end
    return f"{text[:end]}… ({left:,} more characters)" if left else text
