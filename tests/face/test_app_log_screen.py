"""The screen of the app's own log: rows, words, further pages, a whole line."""

from __future__ import annotations

from typing import cast

import pytest

from omni_tui.face.screens.app_log import AppLogLineScreen, AppLogScreen
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.app_log import AppLogLine, AppLogRead, ReadAppLog
from omni_tui.protocol.commands import AnyCommand
from omni_tui.protocol.events import CommandFailed
from tests.face.conftest import Face, until
from tests.face.scenario import NOW, ready
from tests.face.test_shell import screen_text


def entry(number: int, level: str = "info") -> AppLogLine:
    return AppLogLine(
        at=NOW - number, level=SafeText(level), event=SafeText(f"call {number} ended"),
        facts=SafeText("server=demo"), text=SafeText(f'{{"event": "call {number} ended"}}'),
    )  # fmt: skip


ALL = [entry(number, "warning" if number == 3 else "info") for number in range(150)]


def face() -> Face:
    face = Face(ready())

    def read(command: AnyCommand) -> list[AnyEvent]:
        asked = cast(ReadAppLog, command)
        fitting = [
            each
            for each in ALL
            if all(word in f"{each.level} {each.event}" for word in asked.words.split())
        ]
        page = fitting[asked.skip : asked.skip + 100]
        more = len(fitting) > asked.skip + 100
        return [AppLogRead(lines=tuple(page), more=more, file=SafeText("/log/engine.log"))]

    face.link.answers[ReadAppLog] = read
    return face


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_rows_words_further_pages_and_a_whole_line(size: tuple[int, int]) -> None:
    shown = face()
    async with shown.app.run_test(size=size) as pilot:
        await pilot.press(*"/app-log", "enter")
        await until(pilot, lambda: "call 0 ended" in screen_text(shown.app))
        assert isinstance(shown.app.screen, AppLogScreen)
        assert "server=demo" in screen_text(shown.app)
        await pilot.press("end")
        await until(pilot, lambda: len(cast(AppLogScreen, shown.app.screen).rows.lines) == 150)
        await pilot.press("slash", *"warning")
        await until(pilot, lambda: "call 3 ended" in screen_text(shown.app))
        await until(pilot, lambda: "call 0 ended" not in screen_text(shown.app))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(shown.app.screen, AppLogLineScreen))
        assert '{"event": "call 3 ended"}' in screen_text(shown.app)
        assert "from /log/engine.log" in screen_text(shown.app)


async def test_an_engine_that_cannot_answer_is_said_below() -> None:
    shown = Face(ready())
    shown.link.answers[ReadAppLog] = lambda _command: [CommandFailed(what=SafeText("the disk is gone"))]
    async with shown.app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/app-log", "enter")
        await until(pilot, lambda: "the disk is gone" in screen_text(shown.app))
