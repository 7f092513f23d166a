"""What the app says in passing: a toast that is in nobody's way, and a list to read it in again."""

from __future__ import annotations

import pytest
from textual.widgets._toast import Toast

from omni_tui.face.screens.messages import MessagesScreen
from omni_tui.face.transcript import TranscriptView
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import Notice
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_shell import screen_text

LONG = "The server did not start. " * 12


@pytest.mark.parametrize("size", [(160, 45), (120, 40), (100, 30), (80, 24)])
async def test_a_toast_leaves_the_last_lines_free(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=size, notifications=True) as pilot:
        await face.settle(pilot)
        face.app.go("chat")
        await pilot.pause()
        face.link.emit(Notice(level="error", what=SafeText(LONG)))
        await until(pilot, lambda: bool(face.app.screen.query(Toast)))
        await pilot.pause()
        view = face.app.main.query_one(TranscriptView)
        last = view.region.bottom - view.region.height // 3
        for toast in face.app.screen.query(Toast):
            assert toast.region.bottom <= last
            assert toast.region.right <= size[0]


async def test_what_was_said_can_be_read_again_whole() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        face.link.emit(Notice(level="error", what=SafeText(f"{LONG}The end."), why=SafeText("no disk")))
        await until(pilot, lambda: bool(face.app.toasts))
        face.app.go("chat")
        await pilot.press(*"/messages", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, MessagesScreen))
        await until(pilot, lambda: "no disk" in screen_text(face.app))
        shown = " ".join(screen_text(face.app).split())
        assert "The end." in shown
        assert shown.count("The server did not start.") >= 8
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
