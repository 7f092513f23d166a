"""The debug view: commands, events, and requests to models and servers as they pass, and the queues."""

from __future__ import annotations

import time
from collections import OrderedDict
from itertools import islice

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from omni_tui.face.formats import counted, format_size
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol.debug import DebugEntry, DebugKind, DebugRead, QueueDepth, ReadDebug
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe

POLL_S = 0.5
"""Seconds between two readings while the screen is open."""
MAX_ROWS = 2_000
_COLOURS: dict[DebugKind, str] = {
    "command": "$mine",
    "event": "$text-2",
    "model": "$waiting",
    "server": "$done",
}
_RIGHT = 22


class DebugRows(RowList):
    """One row an entry, the newest at the bottom."""

    DEFAULT_CSS = """
    DebugRows { height: 1fr; max-height: 100%; background: $page; }
    """

    def __init__(self) -> None:
        super().__init__(id="debug-rows")
        self.entries: OrderedDict[str, DebugEntry] = OrderedDict()

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return time, kind, direction, what it is, how long it took and its size."""
        entry = self.entries[key]
        stamp = time.strftime("%H:%M:%S", time.localtime(entry.at)) + f".{int(entry.at * 1000) % 1000:03d}"
        arrow = "→" if entry.sent else "←"
        where = f"  {identifier(entry.where)}" if entry.where else ""
        left = Content.assemble(
            (f" {stamp} ", "$text-3"),
            (f"{entry.kind:<8}", _COLOURS[entry.kind]),
            (f"{arrow} ", "$text-3"),
            (entry.what, "$fail" if entry.failed else "$text-1"),
            (where, "$text-2"),
            (f"  {entry.detail}" if entry.detail else "", "$text-3"),
        )
        took = f"{entry.ms:.1f} ms" if entry.ms is not None else ""
        size = f"{'' if entry.exact else '> '}{format_size(entry.size)}" if entry.size else ""
        right = Content.styled(f"{took:>11}{size:>{_RIGHT - 11}}", "$text-2")
        left = fit_content(left, max(10, width - _RIGHT - 1))
        return left + Content(" " * max(1, width - left.cell_length - right.cell_length - 1)) + right


class DebugScreen(TitledScreen[None]):
    """Follows what passes, until it is paused or the cursor is moved."""

    AUTO_FOCUS = "DebugRows"
    BINDINGS = [
        Binding("escape,q", "back", "back"),
        Binding("p,space", "pause", "pause"),
        Binding("f", "follow", "follow"),
        Binding("c", "clear", "clear"),
        Binding("slash", "filter", "filter"),
    ]
    DEFAULT_CSS = """
    DebugScreen {
        background: $page; color: $text-1;
        & > #screen-title { margin-bottom: 0; }
        & > #debug-filter { display: none; height: 1; border: none; padding: 0 2; background: $cursor; }
        &.-filtering > #debug-filter { display: block; }
        & > #debug-queues { height: auto; padding: 0 2; background: $pane; color: $text-2; }
    }
    """

    def __init__(self, words: str = "") -> None:
        super().__init__("DEBUG")
        self._filter = words.casefold()
        self._last = 0
        self._dropped = 0
        self._paused = False
        self._follow = True
        self._followed = ""
        self._polling = False
        self._message = ""

    @property
    def _rows(self) -> DebugRows:
        return self.query_one(DebugRows)

    @property
    def _line(self) -> Input:
        return self.query_one("#debug-filter", Input)

    def body(self) -> ComposeResult:
        """Lay out the filter, the rows and the queues."""
        hint = "words, e.g. server tools/call"
        line = Input(self._filter, placeholder=hint, id="debug-filter", compact=True)
        line.cursor_blink = False
        yield line
        yield DebugRows()
        yield Static(id="debug-queues", markup=False)

    def on_mount(self) -> None:
        """Read now and then regularly."""
        self.set_class(bool(self._filter), "-filtering")
        self.set_interval(POLL_S, self._poll)
        self._foot()
        self._poll()

    @work(group="debug", exit_on_error=False)
    async def _poll(self) -> None:
        if self._polling or self._paused:
            return
        self._polling = True
        try:
            while await self._read():
                pass
        finally:
            self._polling = False

    async def _read(self) -> bool:
        """Read the next page; return whether there is more."""
        reply = await request(shell_of(self), ReadDebug(after=self._last), self._say)
        if not isinstance(reply, DebugRead) or not self.is_mounted or self._paused:
            return False
        rows = self._rows
        self._dropped += reply.dropped
        for entry in reply.entries:
            rows.entries[str(entry.number)] = entry
            self._last = entry.number
        for key in list(islice(rows.entries, max(0, len(rows.entries) - MAX_ROWS))):
            del rows.entries[key]
        self._message = ""
        if reply.entries:
            self._draw()
        self._show_queues(reply.queues, reply.loop_ms)
        return reply.more

    def _show_queues(self, queues: tuple[QueueDepth, ...], loop_ms: float) -> None:
        parts = [("waiting: ", "$text-3")]
        for queue in queues:
            style = "$waiting" if queue.waiting else "$text-3"
            parts.append((f"{queue.name} {queue.waiting:,}  ", style))
        parts.append((f"loop {loop_ms:.1f} ms", "$text-3"))
        self.query_one("#debug-queues", Static).update(Content.assemble(*parts))

    def _draw(self) -> None:
        rows, words = self._rows, self._filter.split()
        rows.set_keys([key for key, entry in rows.entries.items() if _has(entry, words)])
        if self._follow and rows.keys:
            self._followed = rows.keys[-1]
            rows.select(self._followed)
        self._foot()

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._follow = self._follow and self._rows.selected in (None, self._followed)
        self._foot()

    # --- actions

    def action_pause(self) -> None:
        """Stop reading, or go on. What passes meanwhile is not recorded after a few seconds."""
        self._paused = not self._paused
        self._foot()
        self._poll()

    def action_follow(self) -> None:
        """Follow the newest entry, or stop following."""
        self._follow = not self._follow
        self._draw()

    def action_clear(self) -> None:
        """Forget the entries that are shown."""
        self._rows.entries.clear()
        self._dropped = 0
        self._draw()

    def action_filter(self) -> None:
        """Filter by words."""
        self.add_class("-filtering")
        self._line.focus()

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self._filter = event.value.casefold()
        self._draw()

    @on(Input.Submitted)
    def _filter_done(self, event: Input.Submitted) -> None:
        event.stop()
        self._leave_filter(keep=True)

    def _leave_filter(self, *, keep: bool) -> None:
        if not keep:
            self._line.value = ""
        self.set_class(bool(self._line.value), "-filtering")
        self._rows.focus()

    def action_back(self) -> None:
        """Leave the filter, or close the screen."""
        if self._line.has_focus:
            self._leave_filter(keep=False)
        else:
            self.dismiss(None)

    # --- the line of keys

    def _say(self, words: str) -> None:
        self._message = words
        self._foot()

    def _foot(self) -> None:
        if not self.is_mounted:
            return
        rows = self._rows
        state = ("‖ paused", "$waiting") if self._paused else ("● live", "$done")
        matching = f"{len(rows.keys):,} of " if self._filter else ""
        gone = f" · {self._dropped:,} came too fast" if self._dropped else ""
        follows = " · following" if self._follow and not self._paused else ""
        count = f" · {matching}{counted(len(rows.entries), 'row')}{gone}{follows}"
        said = Content.styled(safe(self._message, lines=False, limit=300), "$waiting")
        keys = key_line(("p", "pause"), ("f", "follow"), ("/", "filter"), ("c", "clear"), ("esc", "back"))
        first = Content.assemble(state, (count, "$text-2"))
        self.foot(Content("\n").join([first, *([said] if self._message else []), keys]))


def _has(entry: DebugEntry, words: list[str]) -> bool:
    if not words:
        return True
    text = f"{entry.kind} {entry.what} {entry.where} {entry.detail}".casefold()
    return all(word in text for word in words)
