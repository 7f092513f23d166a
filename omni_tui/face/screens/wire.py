"""The wire log of a server: a row for each frame, the selected frame below."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from itertools import islice
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from omni_tui.face.formats import counted, format_size
from omni_tui.face.messages import CopyText
from omni_tui.face.port import REQUEST_ERRORS, error_text
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import LinesView, fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyCommand
from omni_tui.protocol.events import CommandDone, FileSaved
from omni_tui.protocol.wire_log import (
    ReadWire,
    ReadWireFrame,
    SaveWire,
    SetWireLog,
    WireFrame,
    WireRead,
    WireText,
)
from omni_tui.security.text import safe

POLL_S = 0.4
"""Seconds between two reads while the screen is open."""
MAX_FRAMES = 2000
_OFF = (
    "The wire log is off. w turns it on: all frames to and from the server from now on, without secrets, "
    "in memory only."
)


_AT_ONCE = 5_000
"""Lines of a frame that are laid out in one step."""


def _styled(lines: list[str]) -> list[Content]:
    return [Content.styled(line, "$text-1") for line in lines]


class FrameRows(RowList):
    """One row a frame, the newest at the bottom."""

    def __init__(self) -> None:
        super().__init__(id="wire-rows")
        self.frames: OrderedDict[str, WireFrame] = OrderedDict()

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return time, direction, method and size of a frame, and the beginning of its text if it fits."""
        frame = self.frames[key]
        stamp = time.strftime("%H:%M:%S", time.localtime(frame.ts)) + f".{int(frame.ts * 1000) % 1000:03d}"
        arrow = ("→", "$mine") if frame.sent else ("←", "$done")
        what: str = frame.method or frame.kind
        if frame.kind in ("answer", "error") and frame.method:
            what = f"{frame.kind} to {frame.method}"
        colour = "$fail" if frame.lost or frame.kind in ("error", "broken") else "$text-1"
        name = Content.assemble((what, colour), (f" #{frame.id}" if frame.id else "", "$text-3"))
        left = Content.assemble((f" {stamp} ", "$text-3"), arrow, " ", name)
        took = f"{frame.after_ms:.0f} ms  " if frame.after_ms is not None else ""
        size = f"{'' if frame.exact else '> '}{format_size(frame.size)}"
        right = Content.styled(f"{took}{size}{'  not sent' if frame.lost else ''}", "$text-2")
        column = max(20, min(54, width - right.cell_length - 2))
        left = fit_content(left, column)
        room = width - column - right.cell_length - 3
        if room > 12:
            left = left.extend_right(column + 1 - left.cell_length)
            left += fit_content(Content.styled(frame.text, "$text-3"), room)
        return left + Content(" " * max(1, width - left.cell_length - right.cell_length - 1)) + right


class WireLogScreen(TitledScreen[None]):
    """Follows the newest frame until the cursor is moved."""

    CSS_PATH = "../styles/manage.tcss"
    AUTO_FOCUS = "FrameRows"
    BINDINGS = [
        Binding("escape,q", "back", "back"),
        Binding("w", "switch", "on or off"),
        Binding("f", "follow", "follow"),
        Binding("slash", "filter", "filter"),
        Binding("y", "copy", "copy frame"),
        Binding("s", "save", "save all"),
    ]

    def __init__(self, server: str) -> None:
        super().__init__(f"WIRE · {safe(server, lines=False)}")
        self._server = server
        self._on = False
        self._follow = True
        self._followed = ""
        self._filter = ""
        self._last = 0
        self._dropped = 0
        self._polling = False
        self._message = ""
        self._shown = ""
        self._text = ""

    @property
    def _rows(self) -> FrameRows:
        return self.query_one(FrameRows)

    def body(self) -> ComposeResult:
        """Lay out the filter, the rows and the selected frame."""
        line = Input(placeholder="part of the method, e.g. tools/", id="wire-filter", compact=True)
        line.cursor_blink = False
        yield line
        yield FrameRows()
        yield Static(id="wire-empty", markup=False)
        yield LinesView(id="wire-frame")

    def on_mount(self) -> None:
        """Read now and then regularly."""
        self.set_interval(POLL_S, self._poll)
        self._draw()
        self._poll()

    # --- reading

    @work(group="wire", exit_on_error=False)
    async def _poll(self) -> None:
        if self._polling:
            return
        self._polling = True
        try:
            while await self._read():
                pass
        finally:
            self._polling = False

    async def _read(self) -> bool:
        """Read the next page; return whether there is more."""
        reply = await self._ask(ReadWire(server=self._server, after=self._last))
        if not isinstance(reply, WireRead):
            return False
        rows = self._rows
        changed = (self._on, self._dropped) != (reply.on, reply.dropped)
        if self._on and not reply.on:
            rows.frames.clear()
        self._on, self._dropped = reply.on, reply.dropped
        for frame in reply.frames:
            rows.frames[str(frame.number)] = frame
            self._last = frame.number
        for key in list(islice(rows.frames, max(0, len(rows.frames) - MAX_FRAMES))):
            del rows.frames[key]
        if reply.frames or changed:
            self._draw()
        return reply.more

    async def _ask(self, command: AnyCommand) -> Any:
        return await request(shell_of(self), command, self._say)

    def _draw(self) -> None:
        rows = self._rows
        wanted = self._filter.lower()
        rows.set_keys([key for key, frame in rows.frames.items() if wanted in frame.method.lower()])
        self.set_class(not rows.keys, "-empty")
        if self._follow and rows.keys:
            self._followed = rows.keys[-1]
            rows.select(self._followed)
        if not rows.keys:
            why = "No frame with that method." if self._filter else "No frames yet."
            empty = Content.styled(why if self._on else _OFF, "$text-2")
            self.query_one("#wire-empty", Static).update(empty)
        self._foot()

    # --- the selected frame

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        # This comes late: what counts is where the cursor is now, and whether following put it there.
        rows = self._rows
        self._follow = self._follow and rows.selected in (None, self._followed)
        self._foot()
        if event.key is not None and event.key == rows.selected:
            self._show(event.key)

    @work(group="wire-frame", exclusive=True, exit_on_error=False)
    async def _show(self, key: str) -> None:
        try:
            reply = await shell_of(self).port.ask(ReadWireFrame(server=self._server, number=int(key)))
        except REQUEST_ERRORS as error:
            self._shown, self._text = "", ""
            self.view.show([Content.styled(error_text(error), "$text-2")])
            return
        assert isinstance(reply, WireText)
        self._shown, self._text = key, reply.text
        lines = reply.text.split("\n")
        self.view.show(_styled(lines[:_AT_ONCE]))
        self.view.scroll_home(animate=False)
        for start in range(_AT_ONCE, len(lines), _AT_ONCE):
            await asyncio.sleep(0)  # keys come in between
            self.view.extend(_styled(lines[start : start + _AT_ONCE]))
        if reply.cut:
            self.view.extend([Content.styled("… the rest of this frame was not kept", "$waiting")])

    # --- actions

    @work(group="wire-switch", exit_on_error=False)
    async def action_switch(self) -> None:
        """Turn the wire log on or off."""
        reply = await self._ask(SetWireLog(server=self._server, on=not self._on))
        if isinstance(reply, CommandDone):
            self._say(reply.text)
            self._poll()

    def action_follow(self) -> None:
        """Follow the newest frame, or stop following."""
        self._follow = not self._follow
        self._draw()

    def action_filter(self) -> None:
        """Filter by method."""
        line = self.query_one("#wire-filter", Input)
        self.add_class("-filtering")
        line.focus()

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self._filter = event.value.strip()
        self._draw()

    @on(Input.Submitted)
    def _filter_done(self, event: Input.Submitted) -> None:
        event.stop()
        self._leave_filter(keep=True)

    def _leave_filter(self, *, keep: bool) -> None:
        line = self.query_one("#wire-filter", Input)
        if not keep:
            line.value = ""
        self.set_class(bool(line.value), "-filtering")
        self._rows.focus()

    def action_copy(self) -> None:
        """Copy the selected frame."""
        if self._shown:
            self.post_message(CopyText(self._text, "the frame"))

    @work(group="wire-save", exit_on_error=False)
    async def action_save(self) -> None:
        """Save all frames to a file that only this user can read."""
        reply = await self._ask(SaveWire(server=self._server))
        if isinstance(reply, FileSaved):
            self._say(f"saved to {safe(reply.path, lines=False)}, {format_size(reply.size)}")

    def action_back(self) -> None:
        """Leave the filter, or close the screen."""
        if self.query_one("#wire-filter", Input).has_focus:
            self._leave_filter(keep=False)
        else:
            self.dismiss(None)

    # --- the line of keys

    def _say(self, words: str) -> None:
        self._message = words
        self._foot()

    def _foot(self) -> None:
        rows = self._rows
        state = ("● on", "$waiting") if self._on else ("○ off", "$text-3")
        follows = " · following" if self._follow and rows.keys else ""
        gone = f" · {self._dropped} older dropped" if self._dropped else ""
        matching = f"{len(rows.keys)} of " if self._filter else ""
        count = f" · {matching}{counted(len(rows.frames), 'frame')}"
        keys = key_line(
            ("w", "on/off"), ("f", "follow"), ("/", "filter"), ("y", "copy"), ("s", "save"), ("esc", "back")
        )
        first = Content.assemble(state, (f"{count}{gone}{follows}", "$text-2"))
        said = Content.styled(safe(self._message, lines=False, limit=300), "$text-2")
        lines = [first, *([said] if self._message else []), keys]
        self.foot(Content("\n").join(lines))
