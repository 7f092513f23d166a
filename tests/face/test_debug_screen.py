"""The debug view on the screen: rows as they come, filter, pause, queues, and hostile names."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from omni_tui.face.screens.debug import DebugRows, DebugScreen
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.debug import DebugEntry, DebugKind, DebugRead, QueueDepth, ReadDebug
from omni_tui.protocol.events import CommandFailed
from tests.face.conftest import Face, until
from tests.face.scenario import START, ready

QUEUES = (QueueDepth(name="journal", waiting=0), QueueDepth(name="threads", waiting=12))


def entry(number: int, kind: DebugKind, what: str, **more: Any) -> DebugEntry:
    return DebugEntry(number=number, at=START + number, kind=kind, what=SafeText(what), **more)


FIRST = (
    entry(1, "command", "send_message", size=120, ms=4.25),
    entry(2, "event", "turn_started", sent=True, size=90),
    entry(3, "server", "tools/call", sent=True, where=SafeText("[b]files[/b]"), size=300, exact=False),
    entry(4, "server", "error tools/call", where=SafeText("files"), size=4_000, ms=12.5, failed=True),
)


class Passing:
    """An engine with entries to read."""

    def __init__(self, *entries: DebugEntry) -> None:
        self.entries = list(entries)
        self.readings = 0

    def __call__(self, command: AnyCommand) -> list[AnyEvent]:
        assert isinstance(command, ReadDebug)
        self.readings += 1
        newer = tuple(each for each in self.entries if each.number > command.after)
        return [DebugRead(entries=newer, queues=QUEUES, loop_ms=0.3)]


async def opened(face: Face, pilot: Pilot[Any]) -> DebugScreen:
    await face.settle(pilot)
    face.app.run_named("debug")
    await until(pilot, lambda: isinstance(face.app.screen, DebugScreen))
    screen = face.app.screen
    assert isinstance(screen, DebugScreen)
    return screen


def rows(screen: DebugScreen) -> list[str]:
    view = screen.query_one(DebugRows)
    return [" ".join(view.render_line(y).text.split()) for y in range(len(view.keys))]


def words(screen: DebugScreen, name: str) -> str:
    return str(screen.query_one(name, Static).content)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_rows_have_time_kind_direction_and_size(size: tuple[int, int]) -> None:
    face, passing = Face(ready()), Passing(*FIRST)
    face.link.answers[ReadDebug] = passing
    async with face.app.run_test(size=size) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: len(rows(screen)) == 4)
        shown = [row.split(" ", 1)[1] for row in rows(screen)]
        assert shown == [
            "command ← send_message 4.2 ms 120 B",
            "event → turn_started 90 B",
            "server → tools/call [b]files[/b] > 300 B",
            "server ← error tools/call files 12.5 ms 4.0 kB",
        ]
        await until(pilot, lambda: "threads 12" in words(screen, "#debug-queues"))
        assert "loop 0.3 ms" in words(screen, "#debug-queues")
        assert "4 rows · following" in words(screen, "#screen-foot")


async def test_words_filter_and_a_pause_stops_the_reading() -> None:
    face, passing = Face(ready()), Passing(*FIRST)
    face.link.answers[ReadDebug] = passing
    async with face.app.run_test(size=(100, 30)) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: len(rows(screen)) == 4)
        await pilot.press("slash", *"server error", "enter")
        await until(pilot, lambda: len(rows(screen)) == 1)
        assert "1 of 4 rows" in words(screen, "#screen-foot")
        await pilot.press("slash", "escape")
        await until(pilot, lambda: len(rows(screen)) == 4)
        await pilot.press("p")
        await until(pilot, lambda: "paused" in words(screen, "#screen-foot"))
        passing.entries.append(entry(5, "event", "answer"))
        before = passing.readings
        screen._poll()
        await pilot.pause()
        assert passing.readings == before
        await pilot.press("p")
        await until(pilot, lambda: len(rows(screen)) == 5)
        await pilot.press("c")
        await until(pilot, lambda: rows(screen) == [])
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_moving_the_cursor_stops_following() -> None:
    face, passing = Face(ready()), Passing(*FIRST)
    face.link.answers[ReadDebug] = passing
    async with face.app.run_test(size=(100, 30)) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: len(rows(screen)) == 4)
        await pilot.press("home")
        await until(pilot, lambda: "following" not in words(screen, "#screen-foot"))
        passing.entries.append(entry(5, "event", "answer"))
        screen._poll()
        await until(pilot, lambda: len(rows(screen)) == 5)
        assert screen.query_one(DebugRows).selected == "1"
        await pilot.press("f")
        await until(pilot, lambda: screen.query_one(DebugRows).selected == "5")


async def test_an_engine_that_cannot_answer_is_said_below() -> None:
    face = Face(ready())
    face.link.answers[ReadDebug] = lambda _command: [CommandFailed(what=SafeText("it is closing"))]
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: "it is closing" in words(screen, "#screen-foot"))
