"""What all panes share: a title with a count, a place for the keys' accent bar, a fold over events."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.reactive import reactive

from omni_tui.face.shell import shell_of
from omni_tui.protocol import AnyEvent

if TYPE_CHECKING:
    from omni_tui.face.port import Port


class Pane(Vertical):
    """One of the four panes. Its contents are a fold over the engine's events."""

    TITLE: ClassVar[str] = ""
    count: reactive[int] = reactive(0, repaint=False)
    """How many things are in it; its title says so."""

    @property
    def port(self) -> Port:
        """The way to the engine; the app holds it."""
        return shell_of(self).port

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account. Cheap: mark what changed, draw on the next frame."""

    def engine_stopped(self) -> None:
        """Take note that the engine is gone: nothing that is shown goes on."""

    def clear_session(self) -> None:
        """Forget what belongs to a session; another one is about to be replayed."""
