"""The screen of how calls went: a row for each tool at every size, renewed as calls end, and the cache."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from omni_tui.face.screens.stats import StatsScreen
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.call_stats import (
    ClearCache,
    ModelUse,
    PoolDepth,
    ReadStats,
    StatsRead,
    ToolExecutions,
)
from omni_tui.protocol.commands import AnyCommand
from omni_tui.protocol.events import CallFinished, CommandDone
from tests.face.conftest import Face, until
from tests.face.scenario import ready
from tests.lengths import some

ADD = ToolExecutions(
    server="demo", tool=SafeText("add"), total=7, succeeded=3, failed=1, uncertain=1, cached=2,
    duration=6.0, longest=2.25,
)  # fmt: skip
LONG = ToolExecutions(
    server="a-server-of-a-long-name", tool=SafeText("a_tool_of_a_very_long_name_indeed"), total=1,
    succeeded=0, failed=0, uncertain=1, cached=0, duration=0.0, longest=0.0,
)  # fmt: skip
SIZES = [(80, 24), (120, 40), (160, 45)]


def stats(*tools: ToolExecutions, entries: int = 4) -> StatsRead:
    pool = PoolDepth(queued=0, running=1, size=8, most_queued=3)
    return StatsRead(pool=pool, tools=tools, cache_entries=entries, cache_hits=2)


def face_with(*answers: StatsRead) -> Face:
    face, left = Face(ready()), list(answers)

    def read(command: AnyCommand) -> list[AnyEvent]:
        return [left.pop(0) if len(left) > 1 else left[0]]

    face.link.answers[ReadStats] = read
    face.link.answers[ClearCache] = lambda _command: [
        CommandDone(text=SafeText("4 results were dropped from the cache"))
    ]
    return face


async def opened(face: Face, pilot: Pilot[Any]) -> None:
    await face.settle(pilot)
    face.app.run_named("stats")
    await until(pilot, lambda: isinstance(face.app.screen, StatsScreen))
    await pilot.pause()


def rows(face: Face) -> list[str]:
    view = face.app.screen.query_one(LinesView)
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


@pytest.mark.parametrize("size", some(SIZES, 1))
async def test_each_tool_has_a_row_whose_columns_stand_under_their_heads(size: tuple[int, int]) -> None:
    face = face_with(stats(ADD, LONG))
    async with face.app.run_test(size=size) as pilot:
        await opened(face, pilot)
        head, first, second, *rest = rows(face)
        assert first.split()[-8:] == ["7", "1", "1", "2", "1.50", "s", "2.25", "s"]
        assert len(head) == len(first) == len(second), "the columns are as wide as their heads"
        assert second.split()[-6:] == ["1", "·", "1", "·", "·", "·"]
        text = "\n".join(rest)
        assert "4 results, used 2 times" in text
        assert "1 of 8 running, 0 queued, at most 3" in text


async def test_it_follows_the_calls_and_empties_the_cache() -> None:
    face = face_with(stats(), stats(ADD), stats(ADD, entries=0))
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot)
        assert "No calls yet." in "\n".join(rows(face))
        face.link.emit(CallFinished(call="c", state="succeeded", parts=(), elapsed_ms=1.0, size=1, seq=5))
        await until(pilot, lambda: "demo › add" in "\n".join(rows(face)))
        await pilot.press("c")
        await until(pilot, lambda: "0 results, used" in "\n".join(rows(face)))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(face.app.screen, StatsScreen))


async def test_messages_turns_calls_and_models_are_told_of_the_whole_session() -> None:
    used = ModelUse(model=SafeText("some/model"), requests=3, input=1200, output=40, cached=0, cost=0.0021)
    more = ModelUse(
        model=SafeText(""), requests=1, input=5, output=5, cached=0, cost=0.0, unpriced=1, estimated=True
    )
    told = msgspec.structs.replace(
        stats(ADD),
        messages=1234,
        answers=1,
        turns={"stopped": 1, "done": 4},
        calls={"succeeded": 3, "uncertain": 1, "rejected": 1},
        models=(used, more),
    )
    face = face_with(told)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot)
        shown = [" ".join(line.split()) for line in rows(face)]
    assert "messages 1,234 of yours, 1 answer" in shown
    assert "turns 4 done, 1 stopped" in shown
    assert "calls 3 succeeded, 1 rejected, 1 unknown" in shown
    assert "models some/model · 3 requests · 1,200 tokens in, 40 out · $0.0021" in shown
    assert "an unknown model · 1 request · about 5 tokens in, 5 out · price unknown" in shown
