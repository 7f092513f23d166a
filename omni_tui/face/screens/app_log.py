"""The app's own log: the newest lines first, filtered by words."""

from __future__ import annotations

import time

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content

from omni_tui.face.messages import CopyText
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.screens.filtered_list import FilteredListScreen
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content, wrap_rows
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol.app_log import AppLogLine, AppLogRead, ReadAppLog

_STYLES = {"error": "$fail", "critical": "$fail", "warning": "$waiting", "debug": "$text-3"}
_WIDE = 100


class AppLogRows(RowList):
    """One row for each line."""

    def __init__(self) -> None:
        super().__init__(id="app-log-rows")
        self.lines: dict[str, AppLogLine] = {}

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return time, level, what happened, and the facts as far as there is room."""
        line = self.lines[key]
        form = "%d %b %H:%M:%S" if width >= _WIDE else "%H:%M:%S"
        when = time.strftime(form, time.localtime(line.at)) if line.at else "–"
        style = _STYLES.get(line.level, "$text-2")
        row = Content.assemble(
            (f" {when}  ", "$text-3"),
            (f"{line.level:<8} ", style),
            (line.event, "$text-1"),
            (f"  {line.facts}", "$text-3"),
        )
        return fit_content(row, width)


class AppLogScreen(FilteredListScreen):
    """The lines with every word of a query, the newest first."""

    AUTO_FOCUS = "AppLogRows"
    HINT = "words: warning, a server, a tool, call finished"
    BINDINGS = [Binding("r", "refresh_list", "refresh")]

    def __init__(self, words: str = "") -> None:
        self.rows = AppLogRows()
        super().__init__("APP LOG", self.rows, words)
        self._file = ""

    def body(self) -> ComposeResult:
        """Lay out the filter and the rows."""
        yield self.filter_line()
        yield self.rows
        yield self.empty_line()

    def read(self, *, from_start: bool) -> None:
        """Read the newest page."""
        self._read_page({})

    def read_more(self) -> None:
        """Read the next page."""
        self._read_page(dict(self.rows.lines))

    @work(group="app-log", exclusive=True, exit_on_error=False)
    async def _read_page(self, lines: dict[str, AppLogLine]) -> None:
        self.has_more = False
        command = ReadAppLog(words=self.words, skip=len(lines))
        reply = await request(shell_of(self), command, self.say)
        if not isinstance(reply, AppLogRead):
            return
        lines |= {str(number): line for number, line in enumerate(reply.lines, len(lines))}
        self.has_more, self._file, self.message = reply.more, reply.file, ""
        self.total = len(lines)
        self.rows.lines = lines
        self.fill(list(lines))

    def action_refresh_list(self) -> None:
        """Read the newest page again."""
        self.read(from_start=True)

    def draw(self) -> None:
        """Draw the rows and the keys."""
        self.draw_list("Nothing was logged yet.", "No line has all of these words.")
        self.draw_keys(("enter", "the whole line"), ("r", "refresh"))

    @on(RowList.Chosen)
    def _open(self, event: RowList.Chosen) -> None:
        if event.key in self.rows.lines:
            shell_of(self).show(AppLogLineScreen(self.rows.lines[event.key], self._file))


class AppLogLineScreen(LinesScreen):
    """One line, whole."""

    BINDINGS = [Binding("y", "copy", "copy")]

    def __init__(self, line: AppLogLine, file: str) -> None:
        super().__init__("APP LOG · LINE")
        self._line = line
        self._file = file

    def draw(self) -> None:
        """Show the line and where it stands."""
        rows = [Content.styled(row, "$text-1") for row in wrap_rows(self._line.text, self.view.room)]
        self.view.show([*rows, Content(""), Content.styled(f"from {self._file}", "$text-3")])
        self.foot(key_line(("y", "copy"), ("esc", "back")))

    def action_copy(self) -> None:
        """Copy the line."""
        self.post_message(CopyText(self._line.text, "the line"))
