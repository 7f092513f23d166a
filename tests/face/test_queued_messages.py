"""What is sent and does not reach a model is never lost: it is marked, and it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from omni_tui.face.app import OmniApp
from omni_tui.face.panes.chat import ChatPane
from omni_tui.protocol import AnyCommand, AnyEvent, Link, SafeText
from omni_tui.protocol.commands import Hello, SendMessage, StopRun
from omni_tui.protocol.events import (
    Answer,
    CallChanged,
    CommandDone,
    ModeChanged,
    SessionOpened,
    Steered,
    TurnEnded,
    TurnStarted,
    UserMessage,
)
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.fake import FakeClock, FakeLink
from tests.face.test_shell import screen_text

ODD = "zwei\u200cWörter und 👩\u200d💻"


def running() -> list[AnyEvent]:
    return [
        scenario.ready(),
        SessionOpened(title=SafeText("new session"), mode="chat", model=SafeText("m")),
        UserMessage(turn="t1", text=SafeText("the first")),
        TurnStarted(turn="t1", mode="chat", model=SafeText("m")),
    ]


def queueing(link: FakeLink) -> None:
    """Answer messages as an engine does that works on a turn, and Esc as it does."""
    queued: list[str] = []

    def take(command: AnyCommand) -> Iterable[AnyEvent]:
        assert isinstance(command, SendMessage)
        queued.append(f"t{len(queued) + 2}")
        return [UserMessage(turn=queued[-1], text=SafeText(command.text)), CommandDone(id=queued[-1])]

    def stop(_command: AnyCommand) -> Iterable[AnyEvent]:
        left = [TurnEnded(turn=turn, status="stopped") for turn in queued]
        return [TurnEnded(turn="t1", status="stopped"), *left, CommandDone()]

    link.answers[SendMessage], link.answers[StopRun] = take, stop


def chat(face: Face) -> ChatPane:
    pane = face.app.main.chat
    assert isinstance(pane, ChatPane)
    return pane


async def send(face: Face, pilot: object, text: str) -> None:
    before = len(face.link.sent(SendMessage))
    await pilot.press(*text, "enter")  # type: ignore[attr-defined]
    await until(pilot, lambda: len(face.link.sent(SendMessage)) > before)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(160, 45), (120, 40), (80, 24)])
async def test_a_queued_message_is_marked_until_a_model_is_told(size: tuple[int, int]) -> None:
    face = Face(*running())
    queueing(face.link)
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await send(face, pilot, "behind")
        await send(face, pilot, "further")
        await until(pilot, lambda: screen_text(face.app).count("◌ queued for") == 2)
        face.link.emit(Steered(turn="t1", by="t2"))
        await until(pilot, lambda: screen_text(face.app).count("◌ queued for") == 1)
        face.link.emit(TurnEnded(turn="t1", status="done"))
        face.link.emit(TurnStarted(turn="t3", mode="chat", model=SafeText("m")))
        await until(pilot, lambda: "◌ queued for" not in screen_text(face.app))


async def test_esc_brings_queued_messages_back_as_they_were_typed() -> None:
    face = Face(*running())
    queueing(face.link)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        pane = chat(face)
        pane.composer.draft = ODD
        typed = pane.draft
        await send(face, pilot, "")
        await send(face, pilot, "further")
        await pilot.press(*"half a")
        await pilot.press("escape")
        await until(pilot, lambda: pane.draft == f"{typed}\n\nfurther\n\nhalf a")
        assert "not sent to the model" in screen_text(face.app)
        assert screen_text(face.app).count("■ not sent to the model") == 2


async def test_a_message_that_a_model_was_told_does_not_come_back() -> None:
    face = Face(*running())
    queueing(face.link)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await send(face, pilot, "behind")
        face.link.emit(Steered(turn="t1", by="t2"))
        face.link.emit(Answer(turn="t1", message="m1", text=SafeText("as you say")))
        await until(pilot, lambda: "as you say" in screen_text(face.app))
        await pilot.press("escape")
        await until(pilot, lambda: bool(face.link.sent(StopRun)))
        await face.settle(pilot)
        assert chat(face).draft == ""


@pytest.mark.parametrize("how", ["parked", "killed"])
async def test_behind_a_parked_turn_no_key_is_promised_that_does_nothing(how: str) -> None:
    face = Face(*running())
    queueing(face.link)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f4")
        await send(face, pilot, "second")
        await until(pilot, lambda: "esc takes it back" in screen_text(face.app))
        if how == "killed":
            face.link.crash()
        else:
            face.link.emit(TurnEnded(turn="t1", status="parked"))
        await until(pilot, lambda: "behind the parked turn" in screen_text(face.app))
        assert "esc takes it back" not in screen_text(face.app)
        if how == "killed":
            return
        face.link.emit(TurnStarted(turn="t1", mode="chat", model=SafeText("m")))
        await until(pilot, lambda: "esc takes it back" in screen_text(face.app))
        face.link.emit(TurnEnded(turn="t1", status="parked"), TurnEnded(turn="t2", status="stopped"))
        await until(pilot, lambda: "not sent to the model" in screen_text(face.app))
        await until(pilot, lambda: chat(face).composer.prompt.text == "second")


async def test_a_stopped_engine_refuses_at_once_though_its_channel_still_takes_bytes() -> None:
    face = Face(*running())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        face.link.crash("the engine ended with exit code 1")
        await until(pilot, lambda: "The engine stopped" in screen_text(face.app))
        face.link.closed = False  # the other end of a socket stays open for a while
        for words in ("my long draft", "second words"):
            await pilot.press(*words, "enter")
            await until(pilot, lambda: "not sent" in screen_text(face.app))
            assert chat(face).draft == words
            await pilot.press("ctrl+u", *["backspace"] * len(words))
            await until(pilot, lambda: chat(face).draft == "")
        assert not face.link.sent(SendMessage)


async def test_a_message_sent_before_the_engine_failed_to_start_comes_back() -> None:
    fails = asyncio.Event()

    async def connect() -> Link:
        await fails.wait()
        raise OSError("No space left on device")

    app = OmniApp(connect, clock=FakeClock(scenario.NOW))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        pane = app.main.chat
        assert isinstance(pane, ChatPane)
        await pilot.press(*"my long draft", "enter")
        await until(pilot, lambda: pane.draft == "")
        fails.set()
        await until(pilot, lambda: pane.draft == "my long draft")
        assert "not sent" in screen_text(app)


async def test_a_message_sent_before_the_engine_was_there_is_sent_once_and_answered() -> None:
    starts = asyncio.Event()
    link = FakeLink([scenario.ready()], now=scenario.NOW)

    async def connect() -> Link:
        await starts.wait()
        return link

    app = OmniApp(connect, clock=FakeClock(scenario.NOW))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        pane = app.main.chat
        assert isinstance(pane, ChatPane)
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: pane.draft == "")
        asking = [worker for worker in pane.workers if worker.group == "send"]
        starts.set()
        await until(pilot, lambda: bool(link.sent(Hello)))
        await until(pilot, lambda: all(worker.is_finished for worker in asking))
        assert [command.text for command in link.sent(SendMessage)] == ["hello"]
        assert pane.draft == ""


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_a_queued_message_says_in_which_mode_it_will_run(size: tuple[int, int]) -> None:
    face = Face(*running())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        face.link.emit(UserMessage(turn="t2", text=SafeText("behind"), mode="chat"))
        face.link.emit(ModeChanged(mode="auto", covers=SafeText("")))
        face.link.emit(UserMessage(turn="t3", text=SafeText("further"), mode="auto"))
        await until(pilot, lambda: "to run in auto mode" in screen_text(face.app))
        assert "to run in chat mode" in screen_text(face.app)
        face.link.emit(TurnEnded(turn="t1", status="parked"))
        await until(pilot, lambda: "behind the parked turn, to run in auto" in screen_text(face.app))


@pytest.mark.parametrize("size", [(160, 45), (120, 40), (80, 24)])
async def test_calls_that_wait_under_another_mode_are_counted_on_the_screen(size: tuple[int, int]) -> None:
    asked = [scenario.approval(f"c{n}", mode=mode) for n, mode in enumerate(("chat", "chat", None))]
    face = Face(*running(), *asked)
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        assert "under chat" not in screen_text(face.app)
        face.link.emit(ModeChanged(mode="auto", covers=SafeText("")))
        await until(pilot, lambda: "2 calls wait under chat" in screen_text(face.app))
        face.link.emit(CallChanged(call="c0", state="rejected"))
        await until(pilot, lambda: "1 call waits under chat" in screen_text(face.app))
        face.link.emit(ModeChanged(mode="chat", covers=SafeText("")))
        await until(pilot, lambda: "under chat" not in screen_text(face.app))
        assert len(face.app.overview.pending) == 2
