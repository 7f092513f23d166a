"""The waterfall: every span in its place at every width, older traces, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from omni_tui.face.screens.trace import SpanRows, TraceScreen, bar_of, in_tree_order
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.events import CommandFailed
from omni_tui.protocol.traces import (
    ReadTraces,
    SpanKind,
    TimeSpent,
    Trace,
    TraceSpan,
    TracesRead,
    TraceSummary,
)
from tests.face.conftest import Face, until
from tests.face.scenario import START, ready

SIZES = [(60, 20), (80, 24), (120, 40)]


def span(ident: str, parent: str, kind: SpanKind, began: float, ended: float, state: str = "") -> TraceSpan:
    name = SafeText("files › read") if kind != "model" else SafeText("some/model")
    return TraceSpan(
        id=ident, parent=parent, kind=kind, name=name, began=START + began, state=state,
        ended=START + ended if ended else 0.0,
    )  # fmt: skip


SPANS = (
    span("1", "", "model", 0.0, 2.0, "done"),
    span("2", "", "call", 2.0, 9.0, "failed"),
    span("3", "2", "approval", 2.0, 6.0, "approved"),
    span("4", "2", "attempt", 6.0, 9.0, "failed"),
    span("5", "4", "server", 6.0, 8.5, "failed"),
    span("6", "", "model", 9.0, 0.0),
)
SPENT = (
    TimeSpent(kind="person", seconds=4.0, name=SafeText("files › read")),
    TimeSpent(kind="model", seconds=3.0, name=SafeText("some/model")),
    TimeSpent(kind="server", seconds=2.5, name=SafeText("files › read")),
    TimeSpent(kind="own", seconds=0.5),
)
RUNS = TraceSummary(id="t2", kind="turn", name=SafeText("[b]Where[/b] is it?"), began=START)
OVER = TraceSummary(
    id="t1", kind="turn", name=SafeText("Before"), began=START - 60, ended=START - 50, state="done"
)


def face_with(*traces: Trace) -> Face:
    face = Face(ready())
    known = {trace.summary.id: trace for trace in traces}

    def read(command: AnyCommand) -> list[AnyEvent]:
        assert isinstance(command, ReadTraces)
        listed = tuple(trace.summary for trace in traces)
        shown = known.get(command.id or (listed[0].id if listed else ""))
        return [TracesRead(traces=listed, shown=shown, now=START + 10)]

    face.link.answers[ReadTraces] = read
    return face


async def opened(face: Face, pilot: Pilot[Any]) -> TraceScreen:
    await face.settle(pilot)
    face.app.run_named("trace")
    await until(pilot, lambda: isinstance(face.app.screen, TraceScreen))
    await pilot.pause()
    screen = face.app.screen
    assert isinstance(screen, TraceScreen)
    return screen


def words(screen: TraceScreen, name: str) -> str:
    return str(screen.query_one(name, Static).content)


def rows(screen: TraceScreen) -> list[str]:
    view = screen.query_one(SpanRows)
    return [view.render_line(y).text.rstrip() for y in range(len(view.keys))]


@pytest.mark.parametrize("size", SIZES)
async def test_spans_stand_below_each_other_where_they_belong(size: tuple[int, int]) -> None:
    face = face_with(Trace(summary=RUNS, spans=SPANS, spent=SPENT))
    async with face.app.run_test(size=size) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: len(rows(screen)) == 5)
        shown = rows(screen)
        assert [row.split("━")[0].split("─")[0].strip() for row in shown] == [
            "some/model", "files › read", "waits for you · files › read", "server", "some/model",
        ]  # fmt: skip
        starts = [min(row.find(mark) for mark in "━─" if mark in row) for row in shown]
        assert starts == sorted(starts), "each begins where the one before it has begun, or later"
        assert shown[3].endswith("2.5 s")
        assert shown[4].endswith("1.0 s…"), "it runs"
        title = words(screen, "#screen-title")
        assert "[b]Where[/b] is it?" in title, "markup of others is text"
        assert "10 s · running · 1 of 1 trace" in title
        first, *_, last = words(screen, "#trace-spent").splitlines()
        assert "40 %" in first
        assert "waiting for you" in first
        assert "Omni TUI itself" in last
        await pilot.press("down", "down")
        await until(pilot, lambda: "failed" in words(screen, "#trace-detail"))
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_older_traces_are_shown_and_the_newest_followed_again() -> None:
    face = face_with(Trace(summary=RUNS, spans=SPANS), Trace(summary=OVER))
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "Before" in words(screen, "#screen-title"))
        assert "2 of 2 traces" in words(screen, "#screen-title")
        await pilot.press("left_square_bracket", "right_square_bracket")
        await until(pilot, lambda: "Where" in words(screen, "#screen-title"))


async def test_without_a_turn_it_says_what_to_do() -> None:
    face = face_with()
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: "No turn yet" in words(screen, "#trace-spent"))
        await pilot.press("left_square_bracket", "down")
        assert rows(screen) == []


async def test_an_engine_that_cannot_answer_is_said_below() -> None:
    face = Face(ready())
    face.link.answers[ReadTraces] = lambda _command: [CommandFailed(what=SafeText("the journal is gone"))]
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: "the journal is gone" in words(screen, "#screen-foot"))


def test_a_bar_lies_within_its_room_whatever_the_times_say() -> None:
    for began, ended in ((0.0, 10.0), (9.99, 10.0), (-5.0, 50.0), (20.0, 30.0), (3.0, 3.0)):
        bar = bar_of(span("1", "", "model", began, ended), START, START + 10, 30)
        assert len(bar.plain) == 30
        assert "━" in bar.plain
    assert len(bar_of(SPANS[0], START, START, 30).plain) == 30


def test_a_span_without_its_parent_and_two_attempts_are_kept() -> None:
    spans = (
        span("2", "1", "attempt", 0, 1),
        span("3", "1", "attempt", 2, 3),
        span("4", "3", "server", 2, 3),
    )
    assert [(each.span.id, each.depth) for each in in_tree_order(spans)] == [("2", 0), ("3", 0), ("4", 1)]
