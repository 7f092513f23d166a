"""Statistics of the session: its calls, the cache, and the cost."""

from __future__ import annotations

from collections.abc import Iterator

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from omni_tui.face.formats import counted
from omni_tui.face.results.errors import REQUEST_ERRORS, error_text
from omni_tui.face.shell import shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.call_stats import ClearCache, ReadStats, StatsRead, ToolExecutions
from omni_tui.protocol.events import CallFinished, CommandDone
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe_line

_NAME = 34
_NARROW = 100
_COLUMNS = ("calls", "failed", "unknown", "cached", "mean", "longest")


class StatsScreen(Screen[None]):
    """Updates itself when a call ends."""

    CSS_PATH = "../styles/screens.tcss"
    AUTO_FOCUS = "LinesView"
    BINDINGS = [Binding("escape,q", "back", "back"), Binding("c", "clear", "clear the cache")]

    def __init__(self, first: StatsRead) -> None:
        super().__init__()
        self._stats = first

    def compose(self) -> ComposeResult:
        """Lay out the title, the lines and the keys."""
        yield Static(Content.styled("STATISTICS", "bold $mine"), id="screen-title", markup=False)
        yield LinesView(words=True)
        foot = Content.assemble(
            ("esc", "bold $text-2"), (" back   ", "$text-3"),
            ("c", "bold $text-2"), (" clear the cache", "$text-3"),
        )  # fmt: skip
        yield Static(foot, id="screen-foot", markup=False)

    def on_mount(self) -> None:
        """Show the first statistics."""
        self._show()

    def on_resize(self) -> None:
        """Fit the columns to the width."""
        self._show()

    def apply(self, event: AnyEvent) -> None:
        """Update when a call has ended."""
        if isinstance(event, CallFinished):
            self._renew()

    def _show(self) -> None:
        spent = shell_of(self).overview.spending_summary()
        self.query_one(LinesView).show(stats_lines(self._stats, spent, self.size.width))

    @work(exclusive=True, exit_on_error=False, group="stats")
    async def _renew(self, *, clear: bool = False) -> None:
        port = shell_of(self).port
        try:
            if clear and isinstance(done := await port.ask(ClearCache()), CommandDone):
                self.notify(f"{done.text}.", markup=False)
            reply = await port.ask(ReadStats())
        except REQUEST_ERRORS as error:
            self.notify(error_text(error), severity="error", markup=False)
            return
        if isinstance(reply, StatsRead) and self.is_mounted:
            self._stats = reply
            self._show()

    def action_clear(self) -> None:
        """Clear the result cache."""
        self._renew(clear=True)

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)


def stats_lines(stats: StatsRead, spent: str, width: int) -> Iterator[Content]:
    """Yield a row for each tool, then the cache, the thread pool, and the cost (`spent`)."""
    name = _NAME if width >= _NARROW else max(14, width - 5 - 9 * len(_COLUMNS))
    if stats.tools:
        head = f"{'tool':<{name}}" + "".join(f"{column:>9}" for column in _COLUMNS)
        yield Content.styled(head, "$text-3")
        for row in stats.tools:
            yield _row(row, name)
    else:
        yield Content.styled("No calls yet.", "$text-2")
    yield Content("")
    yield _fact(
        "cache", f"{counted(stats.cache_entries, 'result')}, used {counted(stats.cache_hits, 'time')}"
    )
    pool = stats.pool
    running = f"{pool.running} of {pool.size} running, {pool.queued} queued, at most {pool.most_queued}"
    yield _fact("threads", running)
    yield Content("")
    yield Content.styled(spent, "$text-2")


def _fact(what: str, words: str) -> Content:
    return Content.assemble((f"{what:<10}", "$text-3"), (words, "$text-2"))


def _row(row: ToolExecutions, name: int) -> Content:
    sent = row.succeeded + row.failed
    label = safe_line(f"{identifier(row.server)} › {row.tool}", limit=name - 1)
    cells: list[tuple[str, str]] = [(f"{row.total:>9,}", "$text-1")]
    for count, style in ((row.failed, "$fail"), (row.uncertain, "$waiting"), (row.cached, "$text-2")):
        cells.append((f"{count:>9,}", style) if count else (f"{'·':>9}", "$text-3"))
    for seconds in (row.duration / sent if sent else None, row.longest if sent else None):
        words = f"{seconds:.2f} s" if seconds is not None else "·"
        cells.append((f"{words:>9}", "$text-2"))
    label_text = Content.styled(label, "$text-1")
    padding = " " * max(0, name - label_text.cell_length)
    return label_text + padding + Content.assemble(*cells)
