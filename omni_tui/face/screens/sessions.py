"""Saved sessions, newest first; enter opens one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.port import CommandError
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import LinkClosed
from omni_tui.protocol.commands import ListSessions
from omni_tui.protocol.events import SessionInfo, SessionsListed

if TYPE_CHECKING:
    pass


class SessionRows(RowList):
    """One row a session."""

    def __init__(self) -> None:
        super().__init__(id="session-rows")
        self.sessions: dict[str, SessionInfo] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Title, when, how long, what is open."""
        info = self.sessions[key]
        when = time.strftime("%d %b %H:%M", time.localtime(info.updated))
        waits = f"{info.open_calls} open calls   " if info.open_calls else ""
        right = Content.assemble((waits, "$waiting"), (f"{info.events} events   {when} ", "$text-2"))
        left = Content.assemble((f"  {info.title or 'untitled'}", "$text-1"))
        left = left.truncate(max(1, width - right.cell_length - 2), ellipsis=True)
        return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right


class SessionsScreen(Screen[str]):
    """Returns the id of the session to open, "" for none."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "SessionRows"
    BINDINGS = [Binding("escape,q", "back", "back")]

    def compose(self) -> ComposeResult:
        """Title, rows, keys."""
        yield Static(Content.styled("SESSIONS", "bold $mine"), id="screen-title", markup=False)
        yield SessionRows()
        yield Static(id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Ask for them."""
        self._read()

    @work(group="sessions", exit_on_error=False)
    async def _read(self) -> None:
        rows, foot = self.query_one(SessionRows), self.query_one("#screen-foot", Static)
        try:
            reply = await shell_of(self).port.ask(ListSessions())
        except CommandError as refused:
            foot.update(Content.styled(refused.failure.what, "$fail"))
        except (TimeoutError, LinkClosed):
            foot.update(Content.styled("The engine did not answer.", "$fail"))
        else:
            assert isinstance(reply, SessionsListed)
            rows.sessions = {info.id: info for info in reply.sessions}
            rows.set_keys(list(rows.sessions))
            rows.action_go(0)
            words = "enter opens · esc back" if rows.sessions else "no saved sessions yet · esc back"
            if reply.unreadable:
                words = (
                    f"{reply.unreadable} more cannot be read (omni-tui sessions list says why) · {words}"
                )
            foot.update(Content.styled(words, "$text-3"))

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        self.dismiss(event.key or "")

    def action_back(self) -> None:
        """Close."""
        self.dismiss("")
