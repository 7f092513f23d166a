"""Metrics: small live charts of the last minutes, and tables of servers, tools, models and errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Sparkline, Static

from omni_tui.face.formats import counted, format_duration, money, short_number
from omni_tui.face.screens.base import LinesScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol.metrics import (
    MetricsPoint,
    MetricsRead,
    ModelMetrics,
    ReadMetrics,
    ServerMetrics,
    ToolMetrics,
)
from omni_tui.security.identifiers import identifier
from omni_tui.security.text import safe_line

RENEW_S = 1.0
"""Seconds between two readings while the screen is open."""
_NAME, _WIDE_NAME = 28, 40
_WIDE = 100
_COLUMN = 8
_NOTHING = "·"
_ENDS = {"limit": "at a limit", "uncertain": "unknown", "result_rejected": "wrong result"}
_Chart = tuple[str, Callable[[MetricsPoint], float], Callable[[Sequence[MetricsPoint]], str]]


def _calls(point: MetricsPoint) -> float:
    return point.calls


def _failed(point: MetricsPoint) -> float:
    return point.failed


def _tokens(point: MetricsPoint) -> float:
    return point.tokens


def _call_time(point: MetricsPoint) -> float:
    return point.call_s / point.calls if point.calls else 0.0


def _request_time(point: MetricsPoint) -> float:
    return point.request_s / point.requests if point.requests else 0.0


def _all_calls(points: Sequence[MetricsPoint]) -> str:
    return counted(sum(point.calls for point in points), "call")


def _all_failed(points: Sequence[MetricsPoint]) -> str:
    return f"{sum(point.failed for point in points):,} failed"


def _all_tokens(points: Sequence[MetricsPoint]) -> str:
    return f"{short_number(sum(point.tokens for point in points))} tokens"


def _mean_call(points: Sequence[MetricsPoint]) -> str:
    return _mean(sum(point.call_s for point in points), sum(point.calls for point in points))


def _mean_request(points: Sequence[MetricsPoint]) -> str:
    return _mean(sum(point.request_s for point in points), sum(point.requests for point in points))


def _mean(seconds: float, count: int) -> str:
    return f"mean {format_duration(seconds / count)}" if count else _NOTHING


CHARTS: dict[str, _Chart] = {
    "calls": ("calls", _calls, _all_calls),
    "failed": ("failed calls", _failed, _all_failed),
    "call-time": ("time of a call", _call_time, _mean_call),
    "request-time": ("time of a request", _request_time, _mean_request),
    "tokens": ("tokens", _tokens, _all_tokens),
}


class MetricsScreen(LinesScreen):
    """Reads the metrics once a second."""

    DEFAULT_CSS = """
    MetricsScreen {
        background: $page; color: $text-1;
        & > #screen-title { margin-bottom: 0; }
        & > #metrics-charts { height: auto; padding: 1 2; background: $page; }
        & Horizontal { height: 1; }
        & .chart-name { width: 19; color: $text-3; }
        & .chart-sum { width: 14; color: $text-2; text-align: right; }
        & Sparkline { width: 1fr; height: 1; }
        & .sparkline--max-color { color: $mine; }
        & .sparkline--min-color { color: $done; }
        & #chart-failed .sparkline--max-color { color: $fail; }
        & #chart-failed .sparkline--min-color { color: $fail; }
    }
    """

    def __init__(self) -> None:
        super().__init__("METRICS")
        self._read: MetricsRead | None = None
        self._message = "Reading …"

    def body(self) -> ComposeResult:
        """Lay out the charts and the tables."""
        with Vertical(id="metrics-charts"):
            for key, (name, _, _) in CHARTS.items():
                with Horizontal():
                    yield Static(name, classes="chart-name", markup=False)
                    yield Sparkline([0.0], id=f"chart-{key}")
                    yield Static(id=f"sum-{key}", classes="chart-sum", markup=False)
        yield LinesView(words=True)

    def on_mount(self) -> None:
        """Read now and then regularly."""
        self.set_interval(RENEW_S, self._renew)
        self._renew()
        self.draw()

    @work(exclusive=True, exit_on_error=False, group="metrics")
    async def _renew(self) -> None:
        reply = await request(shell_of(self), ReadMetrics(), self._failed)
        if isinstance(reply, MetricsRead) and self.is_mounted:
            self._read, self._message = reply, ""
            self.draw()

    def _failed(self, words: str) -> None:
        self._message = words
        self.draw()

    def draw(self) -> None:
        """Show the charts and the tables."""
        if not self.is_mounted:
            return
        self.foot(key_line(("↑↓", "scroll"), ("esc", "back"), words=self._message, style="$waiting"))
        if (read := self._read) is None:
            return
        for key, (_, value, total) in CHARTS.items():
            chart = self.query_one(f"#chart-{key}", Sparkline)
            data = [value(point) for point in read.points]
            # Without a change nothing is painted.
            if chart.data != data:
                chart.data = data
            self.query_one(f"#sum-{key}", Static).update(total(read.points))
        minutes = len(read.points) * read.interval / 60
        since = time.strftime("%H:%M:%S", time.localtime(read.since))
        title = Content.assemble(
            ("METRICS", "bold $mine"),
            (f"  charts: the last {minutes:g} minutes · tables: since {since}", "$text-2"),
        )
        self.query_one("#screen-title", Static).update(title)
        at = self.view.scroll_offset
        self.view.show(metrics_lines(read, self.size.width - 4))
        self.view.scroll_to(at.x, at.y, animate=False)


def metrics_lines(read: MetricsRead, width: int) -> Iterator[Content]:
    """Yield the tables, then turns, decisions, errors, cache and pool, for a width in cells."""
    name = _WIDE_NAME if width >= _WIDE - 4 else _NAME
    servers, tools, models = map(_server, read.servers), map(_tool, read.tools), map(_model, read.models)
    yield from _table("servers", name, ("calls", "failed", "again", "mean", "beat"), servers)
    yield from _table("tools", name, ("calls", "failed", "cached", "middle", "p95"), tools)
    yield from _table("models", name, ("answers", "failed", "tokens", "first", "p95"), models)
    facts = (
        ("turns", _ends(read.turns)),
        ("decisions", _ends(read.decisions)),
        ("waited", f"{format_duration(float(read.waited))} for you, in the mean" if read.waited else ""),
        ("errors", ", ".join(f"{e.source} {_ENDS.get(e.kind, e.kind)}: {e.count:,}" for e in read.errors)),
        ("cost", _cost(read.models)),
        ("cache", f"{counted(read.cache_entries, 'result')}, used {counted(read.cache_hits, 'time')}"),
        ("threads", f"{read.pool.running} of {read.pool.size} running, {read.pool.queued} queued"),
    )
    for what, words in facts:
        if words:
            yield Content.assemble((f"{what:<11}", "$text-3"), (words, "$text-2"))


_Row = tuple[str, tuple[str, ...], bool]


def _table(title: str, name: int, columns: Sequence[str], rows: Iterator[_Row]) -> Iterator[Content]:
    """Yield a head and a row for each entry, or that there is none."""
    head = f"{title:<{name}}" + "".join(f"{column:>{_COLUMN}}" for column in columns)
    yield Content.styled(head, "$text-3")
    empty = True
    for label, cells, bad in rows:
        empty = False
        text = Content.styled(safe_line(label, limit=name - 1), "$text-1")
        padding = " " * max(0, name - text.cell_length)
        parts = [
            (f"{cell:>{_COLUMN}}", "$fail" if bad and number == 1 else "$text-2")
            for number, cell in enumerate(cells)
        ]
        yield text + padding + Content.assemble(*parts)
    if empty:
        yield Content.styled("none yet", "$text-3")
    yield Content("")


def _server(row: ServerMetrics) -> _Row:
    beat = f"{row.latency_ms:.0f} ms" if row.latency_ms is not None else _NOTHING
    cells = (_count(row.calls), _count(row.failed), _count(row.attempts_failed), _time(row.mean), beat)
    state = "" if row.state in ("active", "idle") else f" ({row.state.replace('_', ' ')})"
    return f"{identifier(row.server)}{state}", cells, row.failed > 0


def _tool(row: ToolMetrics) -> _Row:
    cells = (_count(row.total), _count(row.failed), _count(row.cached), _time(row.p50), _time(row.p95))
    label = f"{identifier(row.server)} › {row.tool}" if row.server else row.tool
    return label, cells, row.failed > 0


def _model(row: ModelMetrics) -> _Row:
    tokens = short_number(row.input + row.output)
    cells = (_count(row.requests), _count(row.failed), tokens, _time(row.first), _time(row.p95))
    return row.model or "an unknown model", cells, row.failed > 0


def _cost(models: Sequence[ModelMetrics]) -> str:
    cost = sum(row.cost for row in models)
    return money(cost) if cost else ""


def _count(number: int) -> str:
    return f"{number:,}" if number else _NOTHING


def _time(seconds: float) -> str:
    return format_duration(float(seconds)) if seconds else _NOTHING


def _ends(counts: dict[str, int]) -> str:
    most = sorted(counts.items(), key=_most_often)
    return ", ".join(f"{count:,} {_ENDS.get(end, end)}" for end, count in most)


def _most_often(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
