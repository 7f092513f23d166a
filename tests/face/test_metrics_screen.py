"""Metrics on the screen: charts and tables, hostile names, and an engine without an answer."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Sparkline, Static

from omni_tui.face.screens.metrics import CHARTS, MetricsScreen
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import SafeText
from omni_tui.protocol.call_stats import PoolDepth
from omni_tui.protocol.events import CommandFailed
from omni_tui.protocol.metrics import (
    ErrorCount,
    MetricsPoint,
    MetricsRead,
    ModelMetrics,
    ReadMetrics,
    ServerMetrics,
    ToolMetrics,
)
from tests.face.conftest import Face, until
from tests.face.scenario import START, ready

POINTS = (
    MetricsPoint(),
    MetricsPoint(calls=4, failed=1, call_s=2.0, requests=2, request_s=8.0, tokens=1_500),
)
READ = MetricsRead(
    since=START, interval=5.0, points=POINTS,
    tools=(ToolMetrics(server="files", tool=SafeText("[red]read[/red]"), total=4, failed=1, cached=1,
                       mean=0.5, p50=0.4, p95=1.9),),
    servers=(ServerMetrics(server="files", state="degraded", latency_ms=12.4, calls=4, failed=1,
                           attempts_failed=2, mean=0.5),),
    models=(ModelMetrics(model=SafeText("some/model"), requests=2, failed=0, input=1_000, output=500,
                         cached=0, cost=0.0123, first=0.8, p50=4.0, p95=4.5),),
    errors=(ErrorCount(source=SafeText("files"), kind="uncertain", count=1),),
    turns={"done": 2, "limit": 1}, decisions={"approved by you": 3}, waited=7.5,
    cache_entries=1, cache_hits=1, pool=PoolDepth(queued=0, running=0, size=8, most_queued=0),
)  # fmt: skip
NOTHING = MetricsRead(
    since=START, interval=5.0, points=(MetricsPoint(),) * 2, tools=(), servers=(), models=(), errors=(),
    turns={}, decisions={}, waited=0.0, cache_entries=0, cache_hits=0, pool=READ.pool,
)  # fmt: skip


async def opened(face: Face, pilot: Pilot[Any]) -> MetricsScreen:
    await face.settle(pilot)
    face.app.run_named("metrics")
    await until(pilot, lambda: isinstance(face.app.screen, MetricsScreen))
    await pilot.pause()
    screen = face.app.screen
    assert isinstance(screen, MetricsScreen)
    return screen


def rows(screen: MetricsScreen) -> list[str]:
    view = screen.query_one(LinesView)
    return [view.render_line(y).text.strip() for y in range(view.size.height)]


@pytest.mark.parametrize("size", [(80, 44), (120, 50)])
async def test_charts_and_tables_tell_what_was_counted(size: tuple[int, int]) -> None:
    face = Face(ready())
    face.link.answers[ReadMetrics] = lambda _command: [READ]
    async with face.app.run_test(size=size) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: any("some/model" in row for row in rows(screen)))
        shown = [" ".join(row.split()) for row in rows(screen)]
        assert "servers calls failed again mean beat" in shown
        assert "files (degraded) 4 1 2 500 ms 12 ms" in shown
        assert "files › [red]read[/red] 4 1 1 400 ms 1.9 s" in shown
        assert "some/model 2 · 1.5k 800 ms 4.5 s" in shown
        assert "turns 2 done, 1 at a limit" in shown
        assert "errors files unknown: 1" in shown
        assert "cost $0.0123" in shown
        assert screen.query_one("#chart-failed", Sparkline).data == [0, 1]
        sums = [str(screen.query_one(f"#sum-{key}", Static).content) for key in CHARTS]
        assert sums == ["4 calls", "1 failed", "mean 500 ms", "mean 4.0 s", "1.5k tokens"]
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_before_anything_happened_each_table_says_so() -> None:
    face = Face(ready())
    face.link.answers[ReadMetrics] = lambda _command: [NOTHING]
    async with face.app.run_test(size=(80, 44)) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: rows(screen).count("none yet") == 3)


async def test_an_engine_that_cannot_answer_is_said_below() -> None:
    face = Face(ready())
    face.link.answers[ReadMetrics] = lambda _command: [CommandFailed(what=SafeText("it is closing"))]
    async with face.app.run_test(size=(60, 20)) as pilot:
        screen = await opened(face, pilot)
        foot = screen.query_one("#screen-foot", Static)
        await until(pilot, lambda: "it is closing" in str(foot.content))
