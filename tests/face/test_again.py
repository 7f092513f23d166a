"""Sending an earlier message again: in other words from the composer, or the same with /retry."""

from __future__ import annotations

import msgspec
import pytest
from textual.pilot import Pilot

from omni_tui.face.panes.chat import ChatPane, EditBanner
from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.protocol import SafeText
from omni_tui.protocol.commands import BranchSession, Replay, SendMessage, SetMode
from omni_tui.protocol.events import (
    Answer,
    CallProposed,
    CommandDone,
    SessionBranched,
    SessionTitled,
    TurnEnded,
    UserMessage,
)
from omni_tui.protocol.prompts_and_resources import AttachedResource
from tests.face import page, plans, scenario
from tests.face.conftest import Face, until
from tests.face.scenario import START, ready
from tests.face.test_hostile_text import drawn

SIZE = (120, 40)
FIRST = "Which notes mention the old host?"


def squeezed(face: Face) -> str:
    """What the line over the composer says."""
    return " ".join(str(line.content) for line in face.app.main.query(EditBanner))


def harmless() -> list[object]:
    """Two turns in which nothing was changed."""
    return [
        UserMessage(turn="t1", ts=START + 30, text=SafeText(FIRST)),
        Answer(turn="t1", message="a", text=SafeText("Two.")),
        TurnEnded(turn="t1", status="done"),
        UserMessage(turn="t2", ts=START + 90, text=SafeText("And now?")),
        Answer(turn="t2", message="b", text=SafeText("Still two.")),
        TurnEnded(turn="t2", status="done"),
    ]


def face_of(*events: object) -> Face:
    return Face(ready(), scenario.conversation()[0], *events)  # type: ignore[arg-type]


def chat_of(face: Face) -> ChatPane:
    pane = face.app.main.chat
    assert isinstance(pane, ChatPane)
    return pane


async def on_message(face: Face, pilot: Pilot[None], index: int) -> ChatPane:
    await face.settle(pilot)
    chat = chat_of(face)
    await pilot.press("shift+tab")
    assert chat.transcript.has_focus
    chat.transcript.put_cursor(index)
    return chat


async def test_another_wording_branches_and_the_face_follows() -> None:
    face = face_of(*harmless())
    face.link.answers[BranchSession] = lambda _command: [CommandDone(id="s-new")]
    async with face.app.run_test(size=SIZE) as pilot:
        chat = await on_message(face, pilot, 0)
        await pilot.press("E")
        await until(pilot, lambda: chat.edit_banner is not None and chat.composer.prompt.has_focus)
        assert "editing your message of 14:02: enter sends it in a new session" in squeezed(face)
        assert chat.draft == FIRST
        await pilot.press(*" Now", "enter")
        await until(pilot, lambda: bool(face.link.sent(BranchSession)))
        sent = face.link.sent(BranchSession)[0]
        assert (sent.turn, sent.text) == ("t1", f"{FIRST} Now")
        assert face.link.sent(SendMessage) == []
        await until(pilot, lambda: chat.edit_banner is None)
        await until(pilot, lambda: any(command.after == 0 for command in face.link.sent(Replay)))
        assert chat.draft == ""


async def test_the_same_words_are_not_sent_as_other_ones() -> None:
    face = face_of(*harmless())
    async with face.app.run_test(size=SIZE) as pilot:
        chat = await on_message(face, pilot, 1)  # an answer: the message before it is meant
        await pilot.press("E")
        await until(pilot, lambda: chat.edit_banner is not None and chat.composer.prompt.has_focus)
        await pilot.press("enter")
        await until(pilot, lambda: bool(face.link.sent(BranchSession)))
        assert (face.link.sent(BranchSession)[0].turn, face.link.sent(BranchSession)[0].text) == ("t1", "")


async def test_esc_leaves_it_and_brings_back_what_was_being_written() -> None:
    face = face_of(*harmless())
    async with face.app.run_test(size=SIZE) as pilot:
        chat = await on_message(face, pilot, 2)
        chat.draft = "half a thought"
        await pilot.press("E")
        await until(pilot, lambda: chat.edit_banner is not None and chat.composer.prompt.has_focus)
        assert chat.draft == "And now?"
        await pilot.press("!", "escape")
        await until(pilot, lambda: chat.edit_banner is None)
        assert chat.draft == "half a thought"
        assert not chat.query(EditBanner)
        await pilot.press("up")
        assert chat.draft == "And now?!"
        assert face.link.sent(BranchSession) == []


async def test_a_refusal_keeps_the_words_and_says_why() -> None:
    face = face_of(*harmless())
    face.link.refuse(BranchSession, "a turn is running; stop it first (Esc)")
    async with face.app.run_test(size=SIZE) as pilot:
        chat = await on_message(face, pilot, 1)
        await pilot.press("E")
        await until(pilot, lambda: chat.edit_banner is not None and chat.composer.prompt.has_focus)
        await pilot.press("?", "enter")
        await until(pilot, lambda: "a turn is running" in drawn(face.app))
        assert chat.draft == f"{FIRST}?"
        assert chat.edit_banner is not None


@pytest.mark.parametrize("yes", [True, False])
async def test_calls_that_may_have_changed_something_are_said_and_asked_about(yes: bool) -> None:
    face = face_of(*page.answered()[1:])
    async with face.app.run_test(size=SIZE) as pilot:
        chat = await on_message(face, pilot, 1)
        await pilot.press("E")
        await until(pilot, lambda: chat.edit_banner is not None and chat.composer.prompt.has_focus)
        await pilot.press("!", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        text = drawn(face.app)
        assert "2 calls after it ran" in text  # two edits; what only reads does not count
        assert "What they did stays" in text
        assert face.link.sent(BranchSession) == []
        await pilot.press("y" if yes else "n")
        if yes:
            await until(pilot, lambda: bool(face.link.sent(BranchSession)))
        else:
            await until(pilot, lambda: chat.draft.endswith("!"))
            assert chat.edit_banner is not None
            assert face.link.sent(BranchSession) == []


async def test_what_an_untrusted_server_says_only_reads_may_have_changed_something() -> None:
    claimed = [
        msgspec.structs.replace(event, server_trusted=False) if isinstance(event, CallProposed) else event
        for event in page.answered()[1:]
    ]
    face = face_of(*claimed)
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.app.run_named("retry")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        ran = sum(isinstance(event, CallProposed) for event in claimed)
        assert f"{ran} calls after it ran" in drawn(face.app)


async def test_calls_in_lanes_count_too() -> None:
    events = [*plans.running()]
    wrote = plans.call("w1", "root/p2/t3", "edit_file")
    wrote[0] = scenario.proposed("w1", "files", "edit_file", {}, "write", agent="root/p2/t3")
    face = face_of(*events, *wrote, *plans.ended())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.app.run_named("retry")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        assert "1 call after it ran" in drawn(face.app)


async def test_retry_sends_the_last_message_in_the_same_words() -> None:
    face = face_of(*harmless())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        await pilot.press(*"/retry", "enter")
        await until(pilot, lambda: bool(face.link.sent(BranchSession)))
        assert (face.link.sent(BranchSession)[0].turn, face.link.sent(BranchSession)[0].text) == ("t2", "")


async def test_retry_before_anything_was_said() -> None:
    face = face_of()
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.app.run_named("retry")
        face.app.run_named("edit_message")
        await pilot.pause()
        assert face.link.sent(BranchSession) == []


async def test_what_was_attached_goes_with_the_same_words_only_and_that_is_said() -> None:
    attached = AttachedResource(
        server=SafeText("files"), label=SafeText("a.md"), address=SafeText("file:///a.md")
    )
    said = UserMessage(turn="t1", text=SafeText("Read it."), ts=START, attachments=(attached,))
    face = face_of(said)
    async with face.app.run_test(size=(160, 45)) as pilot:
        await on_message(face, pilot, 0)
        await pilot.press("E")
        await until(pilot, lambda: chat_of(face).edit_banner is not None)
        await pilot.pause()
        assert "only if the text stays the same" in squeezed(face)


async def test_a_branch_says_so_in_the_bar_and_in_the_transcript() -> None:
    face = face_of(*harmless()[:3], SessionBranched(origin="s-\u202eold[/]", turn="t2"))
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        text = drawn(face.app)
        assert "notes-cleanup · branched off" in text.split("\n")[0]
        assert "branched from session s-" in " ".join(text.split())
        assert "\u202e" not in text
        face.link.emit(SessionTitled(title=SafeText("another title")))
        await until(pilot, lambda: "another title · branched from notes-cleanup" in drawn(face.app))


async def test_orchestrator_is_offered_as_a_mode() -> None:
    face = face_of()
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        face.app.run_named("mode", "orchestrator")
        assert face.link.sent(SetMode)[0].mode == "orchestrator"
