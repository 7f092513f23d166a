"""A screen whose decision counts only after the end of its text was on the screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.content import Content

from omni_tui.face.approval.arming import Arming, Painted
from omni_tui.face.approval.held_decision import HeldDecision
from omni_tui.face.clock import Clock, Stillness
from omni_tui.face.screens.base import Outcome, TitledScreen
from omni_tui.face.shell import shell_of
from omni_tui.face.toasts import covered_by_toast
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.face.widgets.next_frame import NextFrameCall


class ReadToEndScreen(TitledScreen[Outcome]):
    """A heading, a text to scroll, and a line of keys, with the safeguards of the approval card.

    A subclass says with `painted` what is decided on and whether all of it was seen; with `keys` and
    `draw` it fills the line of keys and the text. Textual calls the event handlers of a subclass and
    then those here.
    """

    AUTO_FOCUS = "LinesView"
    TOO_EARLY: ClassVar[str] = "not yet: scroll to the end first, then wait a moment"

    def __init__(self, heading: Content, clock: Clock, stillness: Stillness | None) -> None:
        super().__init__(heading)
        self.arming = Arming(clock, stillness)
        self.decision = HeldDecision(self.arming, self.set_timer, self._input_since)
        self._drawing = NextFrameCall(self, self.draw)
        self.was_covered = False
        """Whether a message was over the text when it was looked at last."""

    def body(self) -> ComposeResult:
        """Lay out the text, folded and not wrapped: every character of it is shown."""
        yield LinesView(id="whole")

    def painted(self) -> Painted | None:
        """Return what is decided on, and whether all of it was seen; None if nothing can be decided."""
        return None

    def keys(self) -> Content:
        """Return the line of keys."""
        return Content("")

    def draw(self) -> None:
        """Fill the text at the present width."""

    def _input_since(self, stamp: float) -> bool:
        return shell_of(self).input_since(stamp)

    @property
    def accept_key(self) -> str:
        """The key that decides here: that of approving, whatever the person made it."""
        return shell_of(self).key("approve")

    def accept_keys(self, words: str) -> Content:
        """Return the deciding key, bright once it counts, and what it does."""
        ready = "$done" if self.arming.armed and not self.was_covered else "$text-3"
        return Content.assemble((self.accept_key, f"bold {ready}"), (f" {words}   ", "$text-2"))

    def look(self) -> None:
        """Arm if all was seen, and bring the line of keys up to date."""
        self.arming.paint(self.painted())
        if (covered := self._covered()) != self.was_covered:
            self.was_covered = covered
            self.arming.disturb()  # what lay under a message was out of sight
        self.foot(self.keys())

    def _covered(self) -> bool:
        return covered_by_toast(self, self.query_one(LinesView).region)

    def hold(self, decide: Callable[[], None], missing: str = "") -> None:
        """Decide if nothing is missing and the key came alone after a moment; else say why not."""
        if why := missing or self.decision.why_not(self.TOO_EARLY):
            shell_of(self).say(f"{why[:1].upper()}{why[1:]}.", timeout=2.0)
        else:
            self.decision.hold(partial(self._decide_seen, decide))

    def _decide_seen(self, decide: Callable[[], None]) -> None:
        if self._covered():
            shell_of(self).say("A message covers the text: wait until it is gone.", timeout=2.0)
        else:
            decide()

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
