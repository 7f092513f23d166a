"""The trace of a turn or of a call by hand: a waterfall of its spans, and where its time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static

from omni_tui.face.formats import counted, format_duration, local_time
from omni_tui.face.screens.base import TitledScreen, key_line
from omni_tui.face.shell import request, shell_of
from omni_tui.face.widgets.lines_view import fit_content
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.traces import (
    ReadTraces,
    SpanKind,
    TimeKind,
    TimeSpent,
    Trace,
    TraceSpan,
    TracesRead,
)

RENEW_S = 0.5
"""Seconds between two readings at least, while something happens."""
_NAME, _WIDE_NAME, _TOOK = 32, 44, 9
_WIDE = 100
_COLOURS: dict[SpanKind, str] = {
    "model": "$mine",
    "server": "$done",
    "approval": "$waiting",
    "input": "$waiting",
    "queue": "$text-3",
    "connecting": "$text-3",
    "pause": "$text-3",
    "away": "$text-3",
}
_WORDS: dict[SpanKind, str] = {
    "queue": "waits for its place",
    "approval": "waits for you",
    "server": "server",
    "pause": "pause",
    "connecting": "waits for",
}
"""What stands before or for the name of a span, where its name alone does not say what it is."""
_SPENT: dict[TimeKind, tuple[str, str]] = {
    "server": ("servers", "$done"),
    "model": ("models", "$mine"),
    "person": ("waiting for you", "$waiting"),
    "connecting": ("waiting for servers to connect", "$text-3"),
    "pause": ("pauses before trying again", "$text-3"),
    "away": ("while the app was closed", "$text-3"),
    "queue": ("waiting in a queue", "$text-3"),
    "own": ("Omni TUI itself", "$text-2"),
}
_BAD = frozenset(("failed", "uncertain", "result_rejected", "rejected", "denied", "withheld", "expired"))
_SHOWN_SPENT = 4


class ShownSpan(msgspec.Struct, frozen=True):
    """A span at its depth in the tree."""

    span: TraceSpan
    depth: int


def in_tree_order(spans: Sequence[TraceSpan]) -> Iterator[ShownSpan]:
    """Yield spans with those that belong to them after them. The only attempt of a call is left out.

    A span whose parent is missing stands for itself.
    """
    known = {span.id for span in spans}
    below: dict[str, list[TraceSpan]] = {}
    for span in spans:
        below.setdefault(span.parent if span.parent in known else "", []).append(span)
    waiting = [(span, 0) for span in reversed(below.get("", []))]
    while waiting:
        span, depth = waiting.pop()
        siblings = below.get(span.parent, [])
        alone = span.kind == "attempt" and sum(each.kind == "attempt" for each in siblings) == 1
        if not alone:
            yield ShownSpan(span, depth)
        waiting += [(each, depth + (not alone)) for each in reversed(below.get(span.id, []))]


class SpanRows(RowList):
    """One row a span: its name, its place in the whole as a bar, and how long it took."""

    DEFAULT_CSS = """
    SpanRows { height: 1fr; max-height: 100%; background: $page; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="trace-rows")
        self.spans: dict[str, ShownSpan] = {}
        self.began = 0.0
        self.ended = 0.0

    def show(self, trace: Trace, now: float) -> None:
        """Show the spans of a trace; what lasts reaches until `now`."""
        self.began = trace.summary.began
        self.ended = trace.summary.ended or now
        self.spans = {shown.span.id: shown for shown in in_tree_order(trace.spans)}
        self.set_keys(list(self.spans))

    def render_row(self, key: str, width: int, number: int) -> Content:
        """Return the row of one span."""
        shown = self.spans[key]
        span = shown.span
        column = _WIDE_NAME if width >= _WIDE else _NAME
        name = fit_content(
            Content.assemble("  " * min(shown.depth, 6), (span_name(span), _name_style(span))), column
        )
        took = format_duration(float((span.ended or self.ended) - span.began))
        if not span.ended:
            took = f"{took}…"
        room = max(4, width - column - _TOOK - 2)
        bar = bar_of(span, self.began, self.ended, room)
        gap = Content(" " * (column - name.cell_length + 1))
        return name + gap + bar + Content.styled(f"{took:>{_TOOK}}", "$text-2")


def span_name(span: TraceSpan) -> str:
    """Return what a span is called in the waterfall."""
    words = _WORDS.get(span.kind, "")
    if span.kind in ("server", "queue", "pause"):
        return words
    return (
        f"{words} · {span.name}" if words and span.kind != "connecting" else f"{words} {span.name}".strip()
    )


def _name_style(span: TraceSpan) -> str:
    if span.state in _BAD:
        return "$fail"
    return "bold $text-1" if span.kind in ("call", "task") else "$text-1"


def bar_of(span: TraceSpan, began: float, ended: float, room: int) -> Content:
    """Return `room` cells with a bar where the span lies between `began` and `ended`."""
    whole = max(ended - began, 1e-6)
    start = min(room - 1, max(0, int((span.began - began) / whole * room)))
    end = min(room, max(start + 1, round(((span.ended or ended) - began) / whole * room)))
    colour = "$fail" if span.state in _BAD else _COLOURS.get(span.kind, "$text-3")
    mark = "━" if span.kind in _COLOURS else "─"
    return Content.assemble(" " * start, (mark * (end - start), colour), " " * (room - end))


def spent_lines(spent: Sequence[TimeSpent], whole: float, width: int) -> Iterator[Content]:
    """Yield a line for each of the kinds of work that took most of the time."""
    for each in spent[:_SHOWN_SPENT]:
        words, colour = _SPENT[each.kind]
        share = round(100 * each.seconds / whole) if whole > 0 else 0
        named = (
            f" · most of it {each.name}" if each.name and each.kind in ("server", "model", "person") else ""
        )
        line = Content.assemble(
            (f"{share:>3} %", f"bold {colour}"),
            (f"{format_duration(float(each.seconds)):>9}  ", "$text-2"),
            (words, "$text-1"),
            (named, "$text-3"),
        )
        yield fit_content(line, width)


class TraceScreen(TitledScreen[None]):
    """Follows the newest trace until the person goes to an older one."""

    AUTO_FOCUS = "SpanRows"
    BINDINGS = [
        Binding("escape,q", "back", "back"),
        Binding("left_square_bracket", "go(1)", "the one before"),
        Binding("right_square_bracket", "go(-1)", "the next one"),
    ]
    DEFAULT_CSS = """
    TraceScreen {
        background: $page; color: $text-1;
        & > #screen-title { margin-bottom: 0; }
        & > #trace-spent { height: auto; padding: 1 2; background: $page; }
        & > #trace-detail { height: auto; max-height: 3; padding: 0 2; background: $pane; }
    }
    """

    def __init__(self) -> None:
        super().__init__("TRACE")
        self._wanted = ""
        self._read: TracesRead | None = None
        self._changed = False
        self._message = ""

    def body(self) -> ComposeResult:
        """Lay out where the time went, the waterfall, and the selected span."""
        yield Static(id="trace-spent", markup=False)
        yield SpanRows()
        yield Static(id="trace-detail", markup=False)

    def on_mount(self) -> None:
        """Read, and again while something happens."""
        self.set_interval(RENEW_S, self._renew_if_changed)
        self._renew()
        self._draw()

    def on_resize(self) -> None:
        """Draw in the new width."""
        self._draw()

    def apply(self, event: AnyEvent) -> None:
        """Note that there is something to read."""
        self._changed = self._changed or event.journalled

    def _renew_if_changed(self) -> None:
        shown = self._read.shown if self._read is not None else None
        if self._changed or (shown is not None and not shown.summary.ended):
            self._changed = False
            self._renew()

    @work(exclusive=True, exit_on_error=False, group="trace")
    async def _renew(self) -> None:
        reply = await request(shell_of(self), ReadTraces(id=self._wanted), self._failed)
        if isinstance(reply, TracesRead) and self.is_mounted:
            self._read, self._message = reply, ""
            if reply.shown is not None:
                self.query_one(SpanRows).show(reply.shown, reply.now)
            self._draw()

    def _failed(self, words: str) -> None:
        self._message = words
        self._draw()

    def action_go(self, step: int) -> None:
        """Go to an older trace (1) or a newer one (-1)."""
        if self._read is None or not self._read.traces:
            return
        known = [trace.id for trace in self._read.traces]
        at = known.index(self._wanted) if self._wanted in known else 0
        at = max(0, min(at + step, len(known) - 1))
        self._wanted = known[at] if at else ""
        self._renew()

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        width = max(20, self.size.width - 4)
        keys = key_line(
            ("[ ]", "older, newer"), ("↑↓", "spans"), ("esc", "back"), words=self._message, style="$waiting"
        )
        self.foot(keys)
        read = self._read
        shown = read.shown if read is not None else None
        spent = self.query_one("#trace-spent", Static)
        if read is None or shown is None:
            words = "Reading …" if read is None else "No turn yet. Send a message, or call a tool by hand."
            spent.update(Content.styled(words, "$text-2"))
            self.query_one("#trace-detail", Static).update("")
            return
        summary = shown.summary
        whole = (summary.ended or read.now) - summary.began
        at = next((n for n, each in enumerate(read.traces, 1) if each.id == summary.id), 1)
        head = Content.assemble(
            ("TRACE", "bold $mine"),
            (f"  {summary.name}", "$text-1"),
        )
        facts = " · ".join(
            (
                local_time(summary.began, read.now),
                format_duration(float(whole)),
                summary.state or "running",
                f"{at} of {counted(len(read.traces), 'trace')}",
                *(("its beginning is not known",) if summary.partial else ()),
                *((f"{shown.left_out:,} spans left out",) if shown.left_out else ()),
            )
        )
        title = self.query_one("#screen-title", Static)
        title.update(fit_content(head, width) + Content("\n") + Content.styled(facts, "$text-2"))
        spent.update(Content("\n").join(spent_lines(shown.spent, whole, width)))
        self._draw_detail(summary.began)

    def _draw_detail(self, began: float) -> None:
        rows = self.query_one(SpanRows)
        chosen = rows.spans.get(rows.selected or "")
        detail = self.query_one("#trace-detail", Static)
        if chosen is None:
            detail.update("")
            return
        span = chosen.span
        parts = (
            f"{span_name(span)}"
            if span.kind not in ("server", "queue", "pause")
            else f"{span_name(span)} · {span.name}",
            f"from {format_duration(float(span.began - began))}",
            span.state.replace("_", " ") if span.ended else "running",
            span.detail,
        )
        detail.update(Content.styled(" · ".join(filter(None, parts)), "$text-2"))
