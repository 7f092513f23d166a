"""A screen whose decision counts only after the end of its text was on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.held_decision import HeldDecision
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.face.widgets.next_frame import NextFrameCall

Outcome = TypeVar("Outcome")


class ReadToEndScreen(Screen[Outcome]):
    """A heading, a text to scroll, and a line of keys, with the safeguards of the approval card.

    A subclass says with `painted` what is decided on and whether all of it was seen; with `foot` and
    `draw` it fills the line of keys and the text. Textual calls the event handlers of a subclass and
    then those here.
    """

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    TOO_EARLY: ClassVar[str] = "not yet: scroll to the end first, then wait a moment"

    def __init__(self, heading: Content, clock: Clock, stillness: Stillness | None) -> None:
        super().__init__()
        self._heading = heading
        self.arming = Arming(clock, stillness)
        self.decision = HeldDecision(self.arming, self.set_timer)
        self._drawing = NextFrameCall(self, self.draw)

    def compose(self) -> ComposeResult:
        """Heading, text, keys."""
        yield Static(self._heading, id="screen-title", markup=False)
        yield LinesView(id="whole")
        yield Static(id="screen-foot", markup=False)

    @property
    def view(self) -> LinesView:
        """The text."""
        return self.query_one(LinesView)

    def painted(self) -> Painted | None:
        """Return what is decided on, and whether all of it was seen; None if nothing can be decided."""
        return None

    def foot(self) -> Content:
        """Return the line of keys."""
        return Content("")

    def draw(self) -> None:
        """Fill the text at the present width."""

    def look(self) -> None:
        """Arm if all was seen, and bring the line of keys up to date."""
        self.arming.paint(self.painted())
        self.query_one("#screen-foot", Static).update(self.foot())

    def hold(self, decide: Callable[[], None], missing: str = "") -> None:
        """Decide if nothing is missing and the key came alone after a moment; else say why not."""
        if why := missing or self.decision.why_not(self.TOO_EARLY):
            shell_of(self).say(f"{why[:1].upper()}{why[1:]}.", timeout=2.0)
        else:
            self.decision.hold(decide)

    def on_mount(self) -> None:
        """Follow what was seen."""
        self.set_interval(0.1, self.look)

    def on_key(self, event: events.Key) -> None:
        """Take every key into account before any binding sees it."""
        self.decision.key(event.key, event.time)

    def on_paste(self) -> None:
        """Drop a waiting decision: a paste decides nothing."""
        self.decision.disturb()

    def on_resize(self) -> None:
        """Drop a waiting decision: the picture is another one."""
        self.decision.disturb()
        self._drawing.ask()

    def on_screen_resume(self) -> None:
        """Drop a waiting decision: something else was on top."""
        self.decision.disturb()

    def action_back(self) -> None:
        """Close; nothing is decided."""
        self.dismiss(None)
