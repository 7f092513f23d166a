"""`/save` and `/load` on the screen, and what a loaded conversation looks like."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from omni_tui.face.screens.ask_value import AskValueScreen
from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import CallItem, NoticeItem, TaskItem, TextItem, UserItem
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import Answer, CommandDone, CommandFailed, ContentPart, FileSaved, UserMessage
from omni_tui.protocol.loaded import (
    CallLoaded,
    LoadConversation,
    LoadedState,
    NoteLoaded,
    SaveConversation,
    SessionLoaded,
)
from tests.face import scenario
from tests.face.conftest import Face, until

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)])


def call(state: LoadedState = "succeeded", *, agent: str = "root") -> CallLoaded:
    return CallLoaded(
        call=f"loaded-{state}-{agent}",
        server="files",
        tool="read",
        label=SafeText("read"),
        arguments=SafeText('{\n  "path": "/a"\n}'),
        state=state,
        agent=agent,
        turn="loaded-turn-1",
        parts=(ContentPart(index=0, kind="text", text=SafeText("content")),),
    )


def loaded() -> list[AnyEvent]:
    return [
        UserMessage(turn="loaded-turn-1", text=SafeText("a loaded question"), loaded=True),
        call(),
        call("unfinished"),
        NoteLoaded(text=SafeText("failed: no key\nmore of it"), warning=True),
        Answer(turn="loaded-turn-1", message="m", text=SafeText("a loaded answer"), loaded=True),
        SessionLoaded(source="codex", file=SafeText("a.jsonl"), messages=2, calls=2),
    ]


async def write(face: Face, pilot: Pilot[None], text: str) -> None:
    await face.settle(pilot)
    face.app.main.chat.composer.draft = text
    face.app.main.chat.composer.prompt.focus()
    await pilot.press("enter")


@SIZES
async def test_a_conversation_is_saved_where_the_person_says(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    face.link.answers[SaveConversation] = lambda _c: [FileSaved(path="/home/a/talk.md", size=1234)]
    async with face.app.run_test(size=size) as pilot:
        await write(face, pilot, "/save talk.md")
        await until(pilot, lambda: any("/home/a/talk.md" in toast.words for toast in face.app.toasts))
        assert [(c.path, c.overwrite) for c in face.link.sent(SaveConversation)] == [("talk.md", False)]


async def test_a_file_is_replaced_only_after_a_yes() -> None:
    face = Face(*scenario.whole())
    face.link.answers[SaveConversation] = lambda c: (
        [FileSaved(path="/a", size=1)]
        if isinstance(c, SaveConversation) and c.overwrite
        else [CommandFailed(what=SafeText("it exists"), exists=True)]
    )
    async with face.app.run_test(size=(80, 24)) as pilot:
        await write(face, pilot, "/save a")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(face.app.screen, ConfirmScreen))
        assert [c.overwrite for c in face.link.sent(SaveConversation)] == [False]
        await write(face, pilot, "/save a")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: [c.overwrite for c in face.link.sent(SaveConversation)][-1])
        assert [c.path for c in face.link.sent(SaveConversation)] == ["a", "a", "a"]


async def test_what_cannot_be_saved_or_loaded_is_said() -> None:
    face = Face(*scenario.whole())
    face.link.refuse(SaveConversation, "the disk is full")
    face.link.refuse(LoadConversation, "x cannot be loaded: it is damaged")
    async with face.app.run_test(size=(80, 24)) as pilot:
        await write(face, pilot, "/save")
        await until(pilot, lambda: any("disk is full" in toast.words for toast in face.app.toasts))
        await write(face, pilot, "/load x")
        await until(pilot, lambda: any("it is damaged" in toast.words for toast in face.app.toasts))
        await write(face, pilot, "/load")
        await until(pilot, lambda: isinstance(face.app.screen, AskValueScreen))
        assert len(face.link.sent(LoadConversation)) == 1


async def test_loading_shows_the_new_session() -> None:
    face = Face(*scenario.whole())
    face.link.answers[LoadConversation] = lambda _c: [CommandDone(id="another")]
    async with face.app.run_test(size=(120, 40)) as pilot:
        await write(face, pilot, "/load talk.json")
        await until(pilot, lambda: face.app.pump.session == "another")


async def test_what_was_loaded_runs_nothing_and_is_not_in_the_persons_history() -> None:
    face = Face(scenario.ready(), *loaded())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        assert face.app.overview.running == ""
        assert face.app.main.chat.composer.history.entries == []
        assert face.app.main.chat.transcript.fold.waits == 0


def test_a_loaded_conversation_has_the_items_of_any_other_and_says_where_it_is_from() -> None:
    fold = Fold()
    for event in loaded():
        fold.apply(event)
    question, first, second, note, answer, end = fold.items
    assert isinstance(question, UserItem)
    assert question.stage == ""
    assert isinstance(first, CallItem)
    assert (first.state, first.parts[0].text) == ("succeeded", "content")
    assert isinstance(second, CallItem)
    assert (second.state, second.waiting, second.running) == ("uncertain", False, False)
    assert "had not ended" in second.reason
    assert isinstance(note, NoticeItem)
    assert (note.level, note.what, note.more) == ("warning", "failed: no key", ("more of it",))
    assert isinstance(answer, TextItem)
    assert isinstance(end, NoticeItem)
    assert "a.jsonl (Codex)" in end.what


def test_calls_of_a_sub_agent_stand_below_it() -> None:
    fold = Fold()
    fold.apply(call(agent="root/p1/t1"))
    [item] = fold.items
    assert isinstance(item, TaskItem)
    assert item.sub_agent is not None
    assert isinstance(item.sub_agent.fold.items[0], CallItem)
