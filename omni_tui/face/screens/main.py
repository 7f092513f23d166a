"""The main screen: four panes between a top and a bottom bar, folded where there is no room."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from omni_tui.face import actions
from omni_tui.face.panes.base import Pane
from omni_tui.face.panes.chat import ChatPane
from omni_tui.face.server_signs import server_trouble
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.footer import FooterBar, KeyHint, PaneTab
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.face.widgets.status import StatusBar
from omni_tui.face.widgets.title import PaneTitle

if TYPE_CHECKING:
    from omni_tui.face.actions import Where
    from omni_tui.face.panes.approvals import ApprovalsPane
    from omni_tui.face.panes.servers import ServersPane
    from omni_tui.face.panes.tools import ToolsPane

PaneName = Literal["servers", "tools", "chat", "approvals"]
PANES: tuple[PaneName, ...] = get_args(PaneName)


class _Placeholder(Pane):
    """Stands for a pane until the first frame is drawn; it has the title only."""

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._words = title

    def compose(self) -> ComposeResult:
        """Yield the title."""
        yield PaneTitle(self._words)


@dataclass(frozen=True, slots=True)
class _LatePanes:
    """The panes that come after the first frame."""

    servers: ServersPane
    tools: ToolsPane
    approvals: ApprovalsPane


class MainScreen(Screen[None]):
    """Knows which pane is current; style and width decide which panes are visible."""

    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (100, "-medium"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (15, "-tall")]
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__(id="main", classes=" ".join(("-at-chat", *self._size_classes())))
        self.current: PaneName = "chat"
        self.zoomed = False
        self.chat = ChatPane(id="chat", classes="-keys", lean=True)
        self._late: _LatePanes | None = None
        self._bars = NextFrameCall(self, self._update_bars)

    def compose(self) -> ComposeResult:
        """Yield bars, panes, and the two lines that show only when they must.

        The first frame has only the titles of three panes: `furnish` brings the panes.
        """
        yield StatusBar()
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield _Placeholder("Servers", id="servers")
                yield _Placeholder("Tools", id="tools")
            yield self.chat
            yield _Placeholder("Approvals", id="approvals")
        yield Static(id="stopped", markup=False)
        yield FooterBar()
        yield Static(Content("Too small: Omni TUI needs 60 × 15"), id="too-small", markup=False)

    async def furnish(self) -> None:
        """Put the three other panes in their places; the app does it right after the first frame."""
        from omni_tui.face.panes.approvals import ApprovalsPane
        from omni_tui.face.panes.servers import ServersPane
        from omni_tui.face.panes.tools import ToolsPane

        late = _LatePanes(ServersPane(id="servers"), ToolsPane(id="tools"), ApprovalsPane(id="approvals"))
        with self.app.batch_update():
            await self.query(_Placeholder).remove()
            await self.query_one("#left").mount(late.servers, late.tools)
            await self.query_one("#body").mount(late.approvals)
            await self.chat.composer.furnish()
        self._late = late

    def on_mount(self) -> None:
        """Start in the chat."""
        self.focus_pane("chat")

    def _size_classes(self) -> list[str]:
        """Return the classes of the terminal's size: set now, they save styling everything twice."""
        try:
            width, height = os.get_terminal_size(sys.__stderr__.fileno() if sys.__stderr__ else 2)
        except (OSError, ValueError):
            return []
        across = [name for least, name in self.HORIZONTAL_BREAKPOINTS if width >= least]
        down = [name for least, name in self.VERTICAL_BREAKPOINTS if height >= least]
        return [*across[-1:], *down[-1:]]

    # --- the panes

    @property
    def _furnished(self) -> _LatePanes:
        if self._late is None:
            raise RuntimeError("the panes come after the first frame; actions wait for them")
        return self._late

    @property
    def servers(self) -> ServersPane:
        """The servers. Raises `RuntimeError` before `furnish`."""
        return self._furnished.servers

    @property
    def tools(self) -> ToolsPane:
        """The tools. Raises `RuntimeError` before `furnish`."""
        return self._furnished.tools

    @property
    def approvals(self) -> ApprovalsPane:
        """The approvals. Raises `RuntimeError` before `furnish`."""
        return self._furnished.approvals

    def pane(self, name: PaneName) -> Pane:
        """Return one of the four panes, or its placeholder."""
        return self.query_one(f"#{name}", Pane)

    @property
    def panes(self) -> tuple[Pane, ...]:
        """The four panes in the order of their keys."""
        return tuple(self.query(Pane))

    def widget_of(self, where: Where) -> Widget:
        """Return the widget that has the `action_` methods of a place."""
        match where:
            case "chat":
                return self.chat.transcript
            case "composer":
                return self.chat.composer.prompt
            case "app":
                return self
            case _:
                return self.pane(where)

    @property
    def folded(self) -> bool:
        """Whether only one pane is visible."""
        return not self.has_class("-wide") or self.zoomed

    def focus_pane(self, name: PaneName) -> None:
        """Show a pane and give it the keys. Only ever called because the person asked for it."""
        self._mark(name)
        target = self.pane(name).entrance
        if target is not None:
            # Not `target.focus()`, which acts later: what is typed next belongs there already.
            self.set_focus(target, scroll_visible=False)
        self.update_bars()

    def toggle_zoom(self) -> None:
        """Give the whole window to the current pane, or give it back."""
        self.zoomed = not self.zoomed
        self.set_class(self.zoomed, "-zoomed")
        self.update_bars()

    def on_descendant_focus(self) -> None:
        """A click or Tab moved the keys to another pane."""
        focused = self.focused
        pane = next((one for one in focused.ancestors if isinstance(one, Pane)), None) if focused else None
        for other in self.panes:
            other.set_class(other is pane, "-keys")
        name = next((name for name in PANES if pane is not None and name == pane.id), self.current)
        if name != self.current:
            self._mark(name)
        self.update_bars()

    def _mark(self, name: PaneName) -> None:
        self.update_classes({f"-at-{other}": other == name for other in PANES})
        self.current = name

    # --- the bars

    def on_resize(self) -> None:
        """Redraw the bars: folded, the lower one names the panes."""
        self.update_bars()

    def update_bars(self) -> None:
        """Redraw the bars with the next frame."""
        self._bars.ask()

    def refresh_bindings(self) -> None:
        """Redraw the bottom bar too: other keys may work now."""
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
                action=f"app.run('show_{name}')",
                key=self._keys_of(f"show_{name}"),
                name=name,
                count=counts.get(name, 0) if self.folded else 0,
                current=name == self.current,
                waiting=name == "approvals" and bool(overview.pending),
                trouble=server_trouble(overview.servers.values()) if name == "servers" else None,
            )
            for name in PANES
        )
        self.query_one(FooterBar).show(tabs, self._hints(), folded=self.folded)

    def _keys_of(self, name: str) -> str:
        return actions.get(name).keys_now(shell_of(self).keymap)

    def _hints(self) -> tuple[KeyHint, ...]:
        """Return the keys that work here and now: the pane's own, then those of the app."""
        own: dict[str, KeyHint] = {}
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and active.node is not self.app:
                own.setdefault(binding.description, KeyHint(binding.key, binding.description, "", 2))
        if self.current == "approvals":
            own.clear()  # the card names them beside what they decide
        running = shell_of(self).overview.running
        stop = [KeyHint("escape", actions.get("stop").label, "app.run('stop')", 1)] if running else []
        everywhere = [
            KeyHint(self._keys_of(name), actions.get(name).label, f"app.run('{name}')", weight)
            for name, weight in (("palette", 3), ("zoom", 4), ("help", 0))
        ]
        return (*stop, *list(own.values())[:5], *everywhere)
