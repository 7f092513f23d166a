"""The screen of health: what needs something first, the countdown, and trying again."""

from __future__ import annotations

import pytest

from omni_tui.face.screens.health import HealthScreen
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.commands import AnyCommand
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.health import HealthCheck, HealthRead, ReadHealth, TryAgain
from tests.face.conftest import Face, until
from tests.face.scenario import NOW, ready
from tests.face.test_shell import screen_text
from tests.lengths import some

FAILED = HealthCheck(
    part="server", name=SafeText("github"), state="bad", what=SafeText("nothing listens at http://x"),
    todo=SafeText("start it, then reconnect"), next_try=NOW + 30,
)  # fmt: skip
FINE = HealthCheck(part="disk", name=SafeText("/state"), state="ok", what=SafeText("12.0 GB free"))


def face_with(*answers: tuple[HealthCheck, ...]) -> Face:
    face, left = Face(ready()), list(answers)

    def read(_command: AnyCommand) -> list[AnyEvent]:
        return [HealthRead(checks=left.pop(0) if len(left) > 1 else left[0])]

    face.link.answers[ReadHealth] = read
    face.link.answers[TryAgain] = lambda _command: [CommandDone(text=SafeText("trying again: github"))]
    return face


@pytest.mark.parametrize("size", some([(80, 24), (120, 40), (160, 45)], 2))
async def test_what_failed_stands_with_its_reason_its_time_and_what_to_do(size: tuple[int, int]) -> None:
    face = face_with((FAILED, FINE), (FINE,))
    async with face.app.run_test(size=size) as pilot:
        await pilot.press(*"/health", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, HealthScreen))
        shown = screen_text(face.app)
        for words in ("1 part of 2 failed", "github", "nothing listens at http://x", "next retry in",
                      "start it, then reconnect", "12.0 GB free", "r try again now"):  # fmt: skip
            assert words in shown, shown
        await pilot.press("r")
        await until(pilot, lambda: bool(face.link.sent(TryAgain)))
        await until(pilot, lambda: "everything works" in screen_text(face.app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(face.app.screen, HealthScreen))
