"""The question with a yes and a no: one key alone answers it."""

from __future__ import annotations

import pytest
from textual import events
from textual.pilot import Pilot

from omni_tui.face.screens.confirm import ConfirmScreen
from tests.face import scenario
from tests.face.conftest import Face, until


async def _asked(face: Face, pilot: Pilot[None], answers: list[bool | None]) -> ConfirmScreen:
    await face.settle(pilot)
    face.app.confirm("Leave?", "", "leave", answers.append)
    await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
    screen = face.app.screen
    assert isinstance(screen, ConfirmScreen)
    return screen


@pytest.mark.parametrize(("key", "answer"), [("y", True), ("n", False), ("escape", False)])
async def test_one_key_answers(key: str, answer: bool) -> None:
    face, answers = Face(*scenario.whole()), []  # type: ignore[var-annotated]
    async with face.app.run_test(size=(80, 24)) as pilot:
        await _asked(face, pilot, answers)
        await pilot.press(key)
        await until(pilot, lambda: answers == [answer])


@pytest.mark.parametrize("burst", ["yes", "ay", "yy"])
async def test_keys_of_one_read_and_pastes_answer_nothing(burst: str) -> None:
    face, answers = Face(*scenario.whole()), []  # type: ignore[var-annotated]
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await _asked(face, pilot, answers)
        stamp = events.Key("x", "x").time
        for letter in burst:
            key = events.Key(letter, letter)
            key.time = stamp
            face.app.post_message(key)
        screen.post_message(events.Paste("y"))
        await pilot.press("n")
        await until(pilot, lambda: bool(answers))
        assert answers == [False]
