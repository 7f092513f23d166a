"""The sessions in Redis: fetched to go on with them here, or as a copy."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.approval.visible import visible
from omni_tui.face.formats import counted
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol.remote_sessions import (
    FetchSession,
    ListRemoteSessions,
    RemoteSessionInfo,
    RemoteSessionsListed,
    SessionFetched,
)

_TAKE = (
    "It is taken over: what is done there from now on stays there. Nothing is sent to any server. "
    "c fetches a copy instead and leaves it there."
)


class RemoteSessionRows(RowList):
    """One row for each session in Redis."""

    def __init__(self) -> None:
        super().__init__(id="remote-session-rows")
        self.sessions: dict[str, RemoteSessionInfo] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return the title; where and when it was used last, or why it cannot be read."""
        info = self.sessions[key]
        if info.why:
            left = Content.assemble("  ", (visible(info.id), "$text-2"), "  ", (visible(info.why), "$fail"))
            return fit_content(left, width)
        right = Content.styled(f" {_when(info.updated)} ", "$text-3")
        where = (
            visible(info.machine) + (", open" if info.open else "") + (" · also here" if info.here else "")
        )
        middle = Content.styled(where, "$waiting" if info.open else "$text-2")
        room = max(8, width - right.cell_length - 1)
        left = Content.assemble("  ", (visible(info.title) or "untitled", "$text-1"))
        left = fit_content(left, max(12, room * 3 // 5)) + Content("  ") + middle
        left = fit_content(left, room)
        return left + Content(" " * max(1, width - left.cell_length - right.cell_length)) + right


class RemoteSessionsScreen(TitledScreen[str]):
    """Its result is the id under which a fetched session is saved here."""

    AUTO_FOCUS = "RemoteSessionRows"
    BINDINGS: ClassVar = [
        Binding("escape,q", "back", "back"),
        Binding("c", "copy", "fetch a copy"),
        Binding("ctrl+l", "refresh_list", "refresh"),
    ]

    def __init__(self) -> None:
        super().__init__("SESSIONS IN REDIS")
        self._reply: RemoteSessionsListed | None = None
        self._message = "asking Redis …"
        self._trouble = ""
        self._fetching = False

    def body(self) -> ComposeResult:
        """Lay out the rows, and the words if there are none."""
        yield RemoteSessionRows()
        yield Static(id="remote-sessions-words", markup=False)

    @property
    def rows(self) -> RemoteSessionRows:
        """The list."""
        return self.query_one(RemoteSessionRows)

    @property
    def info(self) -> RemoteSessionInfo | None:
        """The session under the cursor."""
        rows = self.rows
        return rows.sessions.get(rows.selected) if rows.selected is not None else None

    def on_mount(self) -> None:
        """Ask for the list."""
        self._read_list()
        self._draw()

    @work(group="remote-sessions", exclusive=True, exit_on_error=False)
    async def _read_list(self) -> None:
        reply = await request(shell_of(self), ListRemoteSessions(), self._fail)
        if not isinstance(reply, RemoteSessionsListed):
            return
        self._reply, self._message, self._trouble = reply, "", ""
        rows = self.rows
        rows.sessions = {info.id: info for info in reply.sessions}
        rows.set_keys(list(rows.sessions))
        if rows.selected is None and rows.keys:
            rows.select(rows.keys[0])
        self._draw()

    def action_refresh_list(self) -> None:
        """Ask again."""
        self._message = "asking Redis …"
        self._draw()
        self._read_list()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        if not isinstance(event, RowList.Chosen):
            event.stop()
            self._trouble = ""
            self._draw()

    # --- fetching

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        """Fetch the session under the cursor, after a question if another machine has it."""
        event.stop()
        info = self.info
        if info is None or self._refused(info):
            return
        if not info.open:
            self._fetch(FetchSession(session=info.id))
            return
        machine = visible(info.machine)
        question = f"Take the session over from {machine}?"
        detail = f"It is open there; last heard of {_when(info.updated)}. {_TAKE}"
        shell_of(self).confirm(question, detail, "take it over", partial(self._answered, info.id))

    def _answered(self, session: str, yes: bool | None) -> None:
        if yes:
            self._fetch(FetchSession(session=session))

    def action_copy(self) -> None:
        """Fetch a copy of the session under the cursor; whoever has it keeps it."""
        info = self.info
        if info is not None and not self._refused(info):
            self._fetch(FetchSession(session=info.id, copy=True))

    def _refused(self, info: RemoteSessionInfo) -> bool:
        if info.why:
            self._fail(info.why)
        return bool(info.why) or self._fetching

    @work(group="remote-fetch", exit_on_error=False)
    async def _fetch(self, command: FetchSession) -> None:
        shell = shell_of(self)
        self._fetching, self._message = True, "fetching …"
        self._draw()
        reply = await request(shell, command, self._fail)
        self._fetching, self._message = False, ""
        if isinstance(reply, SessionFetched):
            remarks = "".join(f" · {visible(remark)}" for remark in reply.remarks)
            words = f"fetched {counted(reply.events, 'event')}{remarks}"
            shell.say(words, level="warning" if reply.remarks else "information", timeout=15.0)
            if self.is_attached:
                self.dismiss(reply.id)
        elif self.is_attached:
            self._draw()

    # --- the picture

    def _fail(self, words: str) -> None:
        self._message, self._trouble = "", words
        if self.is_attached:
            self._draw()

    def _draw(self) -> None:
        rows, reply = self.rows, self._reply
        title = Content.styled("SESSIONS IN REDIS", "bold $mine")
        if reply is not None:
            shown = (
                f"{len(rows.keys):,}"
                if reply.total == len(rows.keys)
                else f"{len(rows.keys):,} of {reply.total:,}"
            )
            title += Content.styled(f" {shown} · {visible(reply.where)}", "$text-3")
        self.query_one("#screen-title", Static).update(title)
        rows.display = bool(rows.keys)
        words = self._trouble or self._message
        if not words and reply is not None and not rows.keys:
            words = "There are no sessions in it. /memory on sends the open ones there."
        style = "$fail" if self._trouble else "$text-2"
        self.query_one("#remote-sessions-words", Static).update(Content.styled(words, style))
        keys = [("enter", "go on here"), ("c", "fetch a copy")] if rows.keys else []
        self.foot(key_line(*keys, ("ctrl+l", "refresh"), ("esc", "back")))


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
