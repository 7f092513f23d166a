"""`/history`: the turns of a conversation, found by words, and jumping from turn to turn."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.history import HistoryScreen
from omni_tui.face.transcript.item_types import NoticeItem, UserItem
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.commands import ForkSession, RewindSession
from omni_tui.protocol.events import (
    Answer,
    CallFinished,
    CommandDone,
    ContentPart,
    SessionRewound,
    UserMessage,
)
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.scenario import ready
from tests.face.test_hostile_text import drawn

TURNS = 40


def conversation() -> list[AnyEvent]:
    events: list[AnyEvent] = [ready()]
    for number in range(1, TURNS + 1):
        turn, call = f"t{number}", f"c{number}"
        part = ContentPart(index=0, kind="text", text=SafeText(f"result-{number} of it"))
        events += [
            UserMessage(turn=turn, text=SafeText(f"question {number}")),
            scenario.proposed(call, "files", f"tool_{number}", {"path": f"/p{number}"}, "read", turn=turn),
            CallFinished(call=call, state="succeeded", parts=(part,), elapsed_ms=1.0, size=9),
            Answer(turn=turn, message=f"m{number}", text=SafeText(f"The Answer {number}")),
        ]
    return events


async def opened(face: Face, pilot: Pilot[None], *keys: str) -> HistoryScreen:
    await face.settle(pilot)
    await pilot.press(*(keys or ("f8",)))
    await until(pilot, lambda: isinstance(face.app.screen, HistoryScreen))
    screen = face.app.screen
    assert isinstance(screen, HistoryScreen)
    await until(pilot, lambda: bool(screen.rows.keys))
    return screen


@pytest.mark.parametrize("size", [(60, 20), (120, 40)])
async def test_every_turn_is_listed_and_enter_jumps_to_it(size: tuple[int, int]) -> None:
    face = Face(*conversation())
    async with face.app.run_test(size=size) as pilot:
        screen = await opened(face, pilot)
        assert len(screen.rows.keys) == TURNS
        assert screen.rows.selected == f"t{TURNS}", "the newest"
        await pilot.press("home", "down", "enter")
        view = face.app.main.chat.transcript
        await until(pilot, lambda: isinstance(view.current, UserItem) and view.current.turn == "t2")
        assert view.has_focus
        await until(pilot, lambda: not view.following)


@pytest.mark.parametrize("words", ["question 38", "the ANSWER 38", "result-38", "tool_38 /p38"])
async def test_a_turn_is_found_by_what_was_said_called_and_answered(words: str) -> None:
    face = Face(*conversation())
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("slash", *words)
        await until(pilot, lambda: screen.rows.keys == ["t38"])
        await pilot.press("enter")
        view = face.app.main.chat.transcript
        await until(pilot, lambda: isinstance(view.current, UserItem) and view.current.turn == "t38")


async def test_no_turn_and_no_message_are_said() -> None:
    face = Face(*conversation())
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("slash", *"absent")
        await until(pilot, lambda: not screen.rows.keys)
        assert "No turn has all of these words" in str(screen.query_one("#history-empty", Static).content)
        await pilot.press("escape")
        assert len(screen.rows.keys) == TURNS
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)


async def test_keys_go_from_message_to_message_in_the_transcript() -> None:
    face = Face(*conversation())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        view = face.app.main.chat.transcript
        view.focus()
        await pilot.pause()

        def at() -> str:
            assert isinstance(view.current, UserItem)
            return view.current.turn

        for key, turn in (
            ("left_square_bracket", 40),
            ("left_square_bracket", 39),
            ("right_square_bracket", 40),
        ):
            await pilot.press(key)
            assert at() == f"t{turn}"
        await pilot.press("right_square_bracket")
        assert view.following


async def rewind(face: Face, pilot: Pilot[None]) -> HistoryScreen:
    """Open the list of `/rewind`."""
    await face.settle(pilot)
    await pilot.press("f4", *"/rewind", "enter")
    await until(pilot, lambda: isinstance(face.app.screen, HistoryScreen))
    screen = face.app.screen
    assert isinstance(screen, HistoryScreen)
    await until(pilot, lambda: bool(screen.rows.keys))
    return screen


async def test_a_message_is_chosen_to_be_forgotten_and_comes_back_to_the_composer() -> None:
    face = Face(*conversation())
    face.link.answers[RewindSession] = lambda _command: [CommandDone(text=SafeText("it is forgotten"))]
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await rewind(face, pilot)
        assert "REWIND" in str(screen.query_one("#screen-title", Static).content)
        await pilot.press("up", "enter")  # its call, and that of the next, only read
        await until(pilot, lambda: bool(face.link.sent(RewindSession)))
        assert [sent.turn for sent in face.link.sent(RewindSession)] == ["t39"]
        chat = face.app.main.chat
        await until(pilot, lambda: chat.draft == "question 39")
        face.link.emit(SessionRewound(turn="t39", messages=4, seq=900))
        await until(pilot, lambda: chat.transcript.fold.forgotten == {"t39", "t40"})
        said = chat.transcript.fold.items[-1]
        assert isinstance(said, NoticeItem)
        assert "has forgotten your message “question 39”" in said.what
        chat.draft = ""
        screen = await rewind(face, pilot)
        assert screen.rows.selected == "t38", "what is forgotten is not listed"
        await pilot.press("escape", "f8")
        await until(pilot, lambda: face.app.screen not in (screen, face.app.main))
        assert isinstance(face.app.screen, HistoryScreen)
        assert len(face.app.screen.rows.keys) == TURNS, "nothing is deleted"


async def test_who_rewinds_past_calls_that_changed_something_is_asked() -> None:
    events = conversation()
    events.append(scenario.proposed("c-w", "files", "write", {"path": "/p"}, "write", turn="t40"))
    events.append(CallFinished(call="c-w", state="succeeded", parts=(), elapsed_ms=1.0, size=0))
    face = Face(*events)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await rewind(face, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        assert "stays done" in drawn(face.app)
        await pilot.press("escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
        assert face.link.sent(RewindSession) == []


async def test_a_fork_is_opened() -> None:
    face = Face(*conversation())
    face.link.answers[ForkSession] = lambda _command: [CommandDone(id="s-copy")]
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f4", *"/fork", "enter")
        await until(pilot, lambda: bool(face.link.sent(ForkSession)))
        await until(pilot, lambda: face.app.pump.session == "s-copy")
