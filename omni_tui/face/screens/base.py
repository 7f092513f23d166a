"""What most screens over the main one share: a title, a body, and a line of keys."""

from __future__ import annotations

from typing import TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.widgets.lines_view import LinesView

Outcome = TypeVar("Outcome")


def key_line(*keys: tuple[str, str], words: str = "", style: str = "$text-3") -> Content:
    """Return keys with what they do, and words after them, as the last line of a screen shows them."""
    pairs = [((key, "bold $text-2"), (f" {word}   ", "$text-3")) for key, word in keys]
    return Content.assemble(*(part for pair in pairs for part in pair), (words, style)).rstrip()


class TitledScreen(Screen[Outcome]):
    """A title, what `body` yields, and a line that `foot` fills."""

    CSS_PATH = "../styles/screens.tcss"

    def __init__(self, title: str | Content) -> None:
        super().__init__()
        self._title = Content.styled(title, "bold $mine") if isinstance(title, str) else title

    def compose(self) -> ComposeResult:
        """Lay out the title, the body and the line of keys."""
        yield Static(self._title, id="screen-title", markup=False)
        yield from self.body()
        yield Static(id="screen-foot", markup=False)

    def body(self) -> ComposeResult:
        """Lay out what is between the title and the keys."""
        yield LinesView(words=True)

    @property
    def view(self) -> LinesView:
        """The lines."""
        return self.query_one(LinesView)

    def foot(self, line: Content) -> None:
        """Show a line of keys."""
        self.query_one("#screen-foot", Static).update(line)

    def action_back(self) -> None:
        """Close without a result."""
        self.dismiss(None)


class LinesScreen(TitledScreen[None]):
    """Lines to read; `draw` shows them at the present width."""

    AUTO_FOCUS = "LinesView"
    BINDINGS = [Binding("escape,q", "back", "back")]

    def draw(self) -> None:
        """Show the lines and the keys."""

    def on_mount(self) -> None:
        """Draw."""
        self.draw()

    def on_resize(self) -> None:
        """Draw in the new width."""
        self.draw()
