"""The one screen: four panes between a top and a bottom bar, folded where there is no room."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal, cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from omni_tui.face import actions
from omni_tui.face.panes.base import Pane
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.footer import FooterBar, KeyHint, PaneTab
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.face.widgets.status import StatusBar
from omni_tui.face.widgets.title import PaneTitle

if TYPE_CHECKING:
    pass

PaneName = Literal["servers", "tools", "chat", "approvals"]
PANES: tuple[PaneName, ...] = ("servers", "tools", "chat", "approvals")


class _Place(Pane):
    """Where a pane will stand: its title, until the first frame is out."""

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._words = title

    def compose(self) -> ComposeResult:
        """The title."""
        yield PaneTitle(self._words)


class MainScreen(Screen[None]):
    """Keeps track of which pane is current; which of them are seen is up to the style and the width."""

    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (100, "-medium"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (15, "-tall")]
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__(id="main", classes=" ".join(("-at-chat", *self._fitting())))
        self.current: PaneName = "chat"
        self.zoomed = False
        self._bars = NextFrameCall(self, self._update_bars)

    def compose(self) -> ComposeResult:
        """Bars, panes, and the two lines that show only when they must.

        The first frame has only the titles of three panes: `furnish` puts the panes in their places.
        """
        from omni_tui.face.panes.chat import ChatPane

        yield StatusBar()
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield _Place("Servers", id="servers")
                yield _Place("Tools", id="tools")
            yield ChatPane(id="chat", classes="-keys", lean=True)
            yield _Place("Approvals", id="approvals")
        yield Static(id="stopped", markup=False)
        yield FooterBar()
        yield Static(Content("Too small: Omni TUI needs 60 × 15"), id="too-small", markup=False)

    async def furnish(self) -> None:
        """Put the three other panes in their places; the app does it right after the first frame."""
        from omni_tui.face.panes.approvals import ApprovalsPane
        from omni_tui.face.panes.chat import ChatPane
        from omni_tui.face.panes.servers import ServersPane
        from omni_tui.face.panes.tools import ToolsPane

        with self.app.batch_update():
            await self.query(_Place).remove()
            await self.query_one("#left").mount(ServersPane(id="servers"), ToolsPane(id="tools"))
            await self.query_one("#body").mount(ApprovalsPane(id="approvals"))
            await self.query_one(ChatPane).furnish()
        if self.current != "chat":
            self.focus_pane(self.current)

    def on_mount(self) -> None:
        """Begin in the chat."""
        self.focus_pane("chat")

    def _fitting(self) -> list[str]:
        """Return the classes of the terminal's size: set now, they cost no second styling of it all."""
        try:
            width, height = os.get_terminal_size(sys.__stderr__.fileno() if sys.__stderr__ else 2)
        except (OSError, ValueError):
            return []
        across = [name for least, name in self.HORIZONTAL_BREAKPOINTS if width >= least]
        down = [name for least, name in self.VERTICAL_BREAKPOINTS if height >= least]
        return [*across[-1:], *down[-1:]]

    def pane(self, name: PaneName) -> Pane:
        """Return one of the four panes."""
        return self.query_one(f"#{name}", Pane)

    @property
    def panes(self) -> tuple[Pane, ...]:
        """The four panes in the order of their keys."""
        return tuple(self.pane(name) for name in PANES)

    @property
    def folded(self) -> bool:
        """True where not all panes are to be seen at once."""
        return not self.has_class("-wide") or self.zoomed

    def focus_pane(self, name: PaneName) -> None:
        """Show a pane and give it the keys. Only ever called because the person asked for it."""
        self._mark(name)
        target = _entrance(self.pane(name))
        if target is not None:
            # Not `target.focus()`, which waits its turn: what is typed next belongs there already.
            self.set_focus(target, scroll_visible=False)
        self.update_bars()

    def toggle_zoom(self) -> None:
        """Give the whole window to the current pane, or give it back."""
        self.zoomed = not self.zoomed
        self.set_class(self.zoomed, "-zoomed")
        self.update_bars()

    def on_descendant_focus(self) -> None:
        """A click or Tab moved the keys to another pane."""
        node: Widget | None = self.focused
        while node is not None and not isinstance(node, Pane):
            node = cast("Widget | None", node.parent)
        name = node.id if node is not None else None
        for pane in self.panes:
            pane.set_class(pane is node, "-keys")
        if name in PANES and name != self.current:
            self._mark(name)
        self.update_bars()

    def _mark(self, name: PaneName) -> None:
        self.update_classes({f"-at-{other}": other == name for other in PANES})
        self.current = name

    def on_resize(self) -> None:
        """The folded bar names the panes, the open one need not."""
        self.update_bars()

    def update_bars(self) -> None:
        """Redraw the bars with the next frame."""
        self._bars.ask()

    def refresh_bindings(self) -> None:
        """What works may have changed: so does the bottom bar."""
        super().refresh_bindings()
        if self.is_mounted:
            self.update_bars()

    def _update_bars(self) -> None:
        overview = shell_of(self).overview
        self.query_one(StatusBar).show(overview)
        counts = {
            "servers": len(overview.servers),
            "tools": sum(overview.tools.values()),
            "approvals": len(overview.pending),
        }
        tabs = tuple(
            PaneTab(
                action=f"app.show_{name}",
                key=self._key_of(f"show_{name}"),
                name=name,
                count=counts.get(name, 0) if self.folded else 0,
                current=name == self.current,
                waiting=name == "approvals" and bool(overview.pending),
            )
            for name in PANES
        )
        self.query_one(FooterBar).show(tabs, self._hints(), folded=self.folded)

    def _key_of(self, name: str) -> str:
        keymap = shell_of(self).keymap
        return keymap.get(name) or actions.get(name).keys

    def _hints(self) -> tuple[KeyHint, ...]:
        """Return the keys that work here and now: the pane's own, then those from anywhere."""
        overview = shell_of(self).overview
        own: dict[str, KeyHint] = {}
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and active.node is not self.app:
                own.setdefault(binding.description, KeyHint(binding.key, binding.description, "", 3))
        if self.current == "approvals":
            own.clear()  # the card names them beside what they decide
        stop = [KeyHint("escape", "stop", "app.stop", 2)] if overview.running else []
        everywhere = [
            KeyHint(self._key_of(name), actions.get(name).label, f"app.{name}", weight)
            for name, weight in (("palette", 1), ("zoom", 4), ("help", 0))
        ]
        return (*stop, *list(own.values())[:5], *everywhere)


def _entrance(pane: Pane) -> Widget | None:
    """Return the widget of a pane that takes the keys when somebody goes there."""
    wanted = getattr(pane, "entrance", None)
    if isinstance(wanted, Widget):
        return wanted
    return next((widget for widget in pane.query("*").results(Widget) if widget.focusable), None)
