"""What all panes share: a title with a count, the keys' accent bar, and following the engine's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.reactive import reactive
from textual.widget import Widget

from omni_tui.face.shell import shell_of
from omni_tui.protocol import AnyEvent

if TYPE_CHECKING:
    from omni_tui.face.port import Port


class Pane(Vertical):
    """One of the four panes. It is an `EventListener`; what it shows is a fold over the events."""

    TITLE: ClassVar[str] = ""
    HELP: ClassVar[str] = ""
    """What F1 says about the pane."""
    count: reactive[int] = reactive(0, repaint=False)
    """How many things are in it; its title shows it."""

    @property
    def port(self) -> Port:
        """The way to the engine."""
        return shell_of(self).port

    @property
    def entrance(self) -> Widget | None:
        """The widget that gets the keys when the person goes to this pane."""
        return next((widget for widget in self.query("*").results(Widget) if widget.focusable), None)

    def close_innermost(self) -> bool:
        """Close what Escape closes first in this pane; False if nothing is open."""
        return False

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account. Cheap: note what changed, draw with the next frame."""

    def engine_stopped(self) -> None:
        """Stop clocks and listings: the engine is gone."""

    def clear_session(self) -> None:
        """Forget what belongs to the session; another one is replayed next."""
