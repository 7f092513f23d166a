"""A message that waits for servers: seen in the composer's corner, sent at once by a key, told of after."""

from __future__ import annotations

import msgspec
import pytest

from omni_tui.face import actions
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.commands import SendNow
from omni_tui.protocol.conversation import Retrying
from omni_tui.protocol.events import AwaitingTools, SessionOpened, TurnEnded, TurnStarted, UserMessage
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_shell import screen_text

NAMES = (SafeText("github"), SafeText("files"))


def begun() -> list[AnyEvent]:
    return [
        UserMessage(turn="t9", text=SafeText("what is there?")),
        TurnStarted(turn="t9", mode="chat", model=SafeText("m")),
        AwaitingTools(turn="t9", servers=NAMES, until=scenario.NOW + 9),
    ]


def face_of(*events: AnyEvent) -> Face:
    opened = SessionOpened(title=SafeText("new session"), mode="chat", model=SafeText("m"))
    return Face(scenario.ready(), *scenario.servers(), opened, *events)


def words(face: Face) -> str:
    return " ".join(screen_text(face.app).split())


@pytest.mark.parametrize("size", [(160, 45), (120, 40), (80, 24)])
async def test_the_wait_and_its_key_are_on_the_screen_and_the_key_ends_it(size: tuple[int, int]) -> None:
    face = face_of(*begun())
    async with face.app.run_test(size=size) as pilot:
        await until(pilot, lambda: "waits for 2 servers" in screen_text(face.app))
        assert "ctrl+g sends" in screen_text(face.app)
        await pilot.press(*"more", "ctrl+g")
        await until(pilot, lambda: bool(face.link.sent(SendNow)))
        face.link.emit(AwaitingTools(turn="t9", servers=(), until=0.0))
        await until(pilot, lambda: not face.app.overview.awaits)
        await pilot.press("ctrl+g")
        await pilot.pause()
        assert len(face.link.sent(SendNow)) == 1


async def test_what_was_missing_stands_under_the_answer() -> None:
    face = face_of(*begun(), TurnEnded(turn="t9", status="done", missing=NAMES))
    async with face.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "did not have the tools of github, files" in words(face))
        assert not face.app.overview.awaits


def test_the_key_can_be_changed_like_any_other() -> None:
    action = actions.get("send_now")
    assert action.keys
    assert action.slash
    assert msgspec.structs.asdict(action)["priority"]


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_what_is_tried_again_says_when_and_the_key_ends_the_pause(size: tuple[int, int]) -> None:
    turn = [event for event in begun() if not isinstance(event, AwaitingTools)]
    retry = Retrying(
        turn="t9", attempt=2, of=5, delay_s=30.0, reason=SafeText("the provider is busy"), ts=scenario.NOW
    )
    face = face_of(*turn, retry)
    async with face.app.run_test(size=size) as pilot:
        await until(pilot, lambda: "↻ tries again in" in words(face))
        assert "ctrl+g does now" in words(face)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: bool(face.link.sent(SendNow)))
        await until(pilot, lambda: "↻ tries again" not in words(face))
        await pilot.press("ctrl+g")
        await pilot.pause()
        assert len(face.link.sent(SendNow)) == 1
