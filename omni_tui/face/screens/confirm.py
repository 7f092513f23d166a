"""One question with a yes and a no; only ever asked because of a key the person just pressed."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from omni_tui.protocol import SafeText


class ConfirmScreen(ModalScreen[bool]):
    """Returns True for `y`, False for anything that closes it."""

    CSS_PATH = "../styles/screens.tcss"
    BINDINGS = [Binding("y,Y", "answer(True)"), Binding("n,N,escape,q", "answer(False)")]

    def __init__(self, question: SafeText, detail: SafeText, yes: str) -> None:
        super().__init__()
        self._question, self._detail, self._yes = question, detail, yes

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

    def action_answer(self, yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(yes)
