"""The audit of the session: who or which rule did what, on which bytes, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.approval.visible import visible, visible_identifier
from omni_tui.face.messages import CopyText
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.screens.filtered_list import FilteredListScreen
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content, wrap_rows
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol.audit import AuditLine, AuditRead, ReadAudit

_PAGE = 100
_HASH = 8
_WIDE, _NARROW = 100, 70
_BAD = ("failed", "rejected", "withheld", "uncertain", "expired", "cancelled", "denied", "result_rejected")
_LABEL = 12


class AuditRows(RowList):
    """One row for each entry, the newest first."""

    def __init__(self) -> None:
        super().__init__(id="audit-rows")
        self.lines: dict[str, AuditLine] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return time, actor, action, server and tool, outcome and a short hash of the arguments."""
        line = self.lines[key]
        when = time.strftime("%d %b %H:%M:%S" if width >= _WIDE else "%H:%M:%S", time.localtime(line.ts))
        actor = _column(visible(line.by) or "–", 18 if width >= _WIDE else 12, "$mine")
        action = _column(visible(line.action), 18 if width >= _WIDE else 14, "$text-1")
        left = Content.styled(f" {when}  ", "$text-3") + actor + action
        style = "$fail" if line.state in _BAD else "$done" if line.state == "succeeded" else "$text-2"
        state = visible(line.state) if line.state != line.action else ""
        right = Content.styled(f"{state} ", style)
        if width >= _NARROW:
            right += Content.styled(f"{visible(line.args_hash[:_HASH]):<{_HASH}} ", "$text-3")
        room = max(4, width - left.cell_length - right.cell_length - 1)
        what = fit_content(Content.styled(_what(line), "$text-2"), room)
        return left + what + Content(" " * max(1, room + 1 - what.cell_length)) + right


class AuditScreen(FilteredListScreen):
    """The entries with every word of a query, the newest first."""

    AUTO_FOCUS = "AuditRows"
    HINT = "words: a rule, a server, a tool, an outcome, a hash"
    BINDINGS = [Binding("r", "refresh_list", "refresh")]

    def __init__(self, words: str = "") -> None:
        self.rows = AuditRows()
        super().__init__("AUDIT", self.rows, words)
        self._before = 0
        """Where the next page begins."""

    def body(self) -> ComposeResult:
        """Lay out the filter and the rows."""
        yield self.filter_line()
        yield self.rows
        yield self.empty_line()

    # --- reading

    def read(self, *, from_start: bool) -> None:
        """Read the newest page."""
        self._read_page({}, 0)

    def read_more(self) -> None:
        """Read the next page."""
        self._read_page(dict(self.rows.lines), self._before)

    @work(group="audit", exclusive=True, exit_on_error=False)
    async def _read_page(self, lines: dict[str, AuditLine], before: int) -> None:
        """Add pages to `lines` until there is something more to show."""
        self.has_more = False
        known, more = len(lines), True
        while more and len(lines) == known:
            command = ReadAudit(query=self.words, before=before, limit=_PAGE)
            reply = await request(shell_of(self), command, self.say)
            if not isinstance(reply, AuditRead):
                return
            lines = lines | {str(line.entry): line for line in reply.lines}
            self.total, before, more = reply.total, reply.before, bool(reply.before)
        self._before, self.has_more = before, more
        self.message = ""
        self.rows.lines = lines
        self.fill(list(lines))

    def action_refresh_list(self) -> None:
        """Read the newest page again."""
        self.read(from_start=True)

    # --- the picture

    def draw(self) -> None:
        """Draw the rows and the keys."""
        self.draw_list("Nothing was decided here yet.", "No entry has all of these words.")
        self.draw_keys(("enter", "the whole entry"), ("r", "refresh"))

    @on(RowList.Chosen)
    def _open(self, event: RowList.Chosen) -> None:
        if event.key in self.rows.lines:
            shell_of(self).show(AuditEntryScreen(self.rows.lines[event.key]))


class AuditEntryScreen(LinesScreen):
    """One entry, whole."""

    BINDINGS = [Binding("y", "copy", "copy")]

    def __init__(self, line: AuditLine) -> None:
        super().__init__(f"AUDIT · ENTRY {line.entry:,}")
        self._line = line

    def draw(self) -> None:
        """Show every field."""
        self.view.show(_fields(self._line, self.view.room))
        self.foot(key_line(("y", "copy"), ("esc", "back")))

    def action_copy(self) -> None:
        """Copy the entry."""
        text = "\n".join(f"{name}: {value}" for name, value in _pairs(self._line))
        self.post_message(CopyText(text, "the entry"))


def _column(text: str, width: int, style: str) -> Content:
    piece = fit_content(Content.styled(text, style), width)
    return piece + Content(" " * (width + 1 - piece.cell_length))


def _what(line: AuditLine) -> str:
    """Return server and tool, else the id of what it is about."""
    if line.tool:
        return f"{visible_identifier(line.server)} › {visible_identifier(line.tool)}"
    return visible_identifier(line.server or line.subject)


def _pairs(line: AuditLine) -> Iterator[tuple[str, str]]:
    """Yield the names and values of an entry, without those that are empty."""
    zone = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(line.ts))
    pairs = {
        "time": f"{zone}  ({line.ts:.3f})",
        "action": line.action,
        "by": line.by if line.by == line.actor else f"{line.by} ({line.actor})",
        "outcome": line.state,
        "server": line.server,
        "tool": line.tool,
        "about": line.subject,
        "attempt": str(line.attempt) if line.attempt else "",
        "arguments": line.args_hash,
        "definition": line.def_hash,
        "starts": line.server_fp,
        "detail": line.detail,
    }
    yield from ((name, value) for name, value in pairs.items() if value)


def _fields(line: AuditLine, width: int) -> Iterator[Content]:
    for name, value in _pairs(line):
        text = visible_identifier(value) if name in ("server", "tool") else visible(value, lines=True)
        first, *rest = wrap_rows(text, width - _LABEL)
        yield Content.assemble((name.ljust(_LABEL), "$text-2"), (first, "$text-1"))
        yield from (Content.styled(" " * _LABEL + row, "$text-1") for row in rest)
    yield Content("")
    words = (
        "The hashes are keyed: equal ones stand for equal bytes. omni-tui audit verify checks the chain."
    )
    yield Content.styled(words, "$text-3")
