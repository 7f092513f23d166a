"""What the model is told, on the screen: the window's parts, the system prompt, the host's own tools."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from omni_tui.face.form.controls import TextBox
from omni_tui.face.screens.context import ContextScreen, window_lines
from omni_tui.face.screens.system_prompt import SystemPromptScreen
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import NoticeItem
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import SafeText
from omni_tui.protocol.context import (
    BuiltinToolCalled,
    ContextChanged,
    ContextPart,
    ContextSummarised,
    ReadSystem,
    SetSystem,
    ShrunkResult,
    SystemChanged,
    SystemText,
)
from omni_tui.protocol.events import CommandDone
from omni_tui.security.text import safe
from tests.face.conftest import Face, until
from tests.face.scenario import ready
from tests.lengths import some

FULL = ContextChanged(
    turn="t1",
    model=SafeText("anthropic/claude-sonnet-4-5"),
    parts=tuple(
        ContextPart(kind=kind, tokens=tokens)  # type: ignore[arg-type]
        for kind, tokens in {
            "system": 812,
            "tools": 9_400,
            "history": 21_300,
            "results": 84_000,
            "attachments": 0,
            "summary": 640,
        }.items()
    ),
    total=116_152,
    limit=160_000,
    window=200_000,
    shrunk=(ShrunkResult(call="c-0123456789ab", tool=SafeText("files__read_text_file"), size=48_211),),
    shrunk_count=7,
    dropped=31,
    summarised=32,
    by_model=True,
    summary=SafeText("They moved the deploy notes to web-1.\nOpen: the runbook."),
    offered=41,
    tools=213,
    hits=240,
    misses=3,
)
SIZES = [(80, 24), (120, 40), (160, 45)]


async def opened(face: Face, pilot: Pilot[Any], command: str, screen: type) -> None:
    await face.settle(pilot)
    face.app.run_named(command)
    await until(pilot, lambda: isinstance(face.app.screen, screen))


def rows(face: Face) -> list[str]:
    view = face.app.screen.query_one(LinesView)
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


# --- the window -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", some(SIZES, 1))
async def test_the_window_is_shown_with_its_parts(size: tuple[int, int]) -> None:
    face = Face(ready(), FULL)
    async with face.app.run_test(size=size) as pilot:
        await opened(face, pilot, "context", ContextScreen)
        await pilot.pause()
        shown = rows(face)
        text = "\n".join(shown)
        assert "116,152 tokens of 160,000" in text.replace("\n", " ").replace("   ", " ")
        for words in ("tool results", "84,000", "41 of 213", "7 results are excerpts", "c-0123456789ab"):
            assert words in text
        assert "31 older messages are left out." in text
        assert "They moved the deploy notes to web-1." in text
        assert "attachments" not in text, "what is not there takes no row"


async def test_it_follows_the_next_request_and_only_the_root_agents() -> None:
    face = Face(ready())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "context", ContextScreen)
        assert "Nothing was sent" in "\n".join(rows(face))
        face.link.emit(msgspec.structs.replace(FULL, agent="root/p1/t1"))
        face.link.emit(msgspec.structs.replace(FULL, total=77))
        await until(pilot, lambda: "77 tokens" in "\n".join(rows(face)))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(face.app.screen, ContextScreen))


def test_a_window_that_nobody_knows_is_said_to_be_so() -> None:
    told = msgspec.structs.replace(FULL, limit=None, window=None, shrunk_count=0, shrunk=(), dropped=0)
    text = "\n".join(line.plain for line in window_lines(told, 80))
    assert "the window is not known" in text
    assert "nothing is shortened" in text


def test_a_limit_that_nobody_told_is_said_to_be_assumed() -> None:
    told = msgspec.structs.replace(FULL, window=None, limit=26_214, assumed=True)
    text = "\n".join(line.plain for line in window_lines(told, 80))
    assert "this limit is assumed" in text
    assert "assumed" not in "\n".join(line.plain for line in window_lines(FULL, 80))
    assert all(len(line.plain) <= 72 for line in window_lines(told, 80) if "assumed" in line.plain)


@pytest.mark.parametrize("width", [80, 40])
def test_no_row_of_the_parts_is_wider_than_a_small_screen(width: int) -> None:
    for line in window_lines(FULL, width):
        if "▰" in line.plain or "▱" in line.plain:
            assert line.cell_length <= max(width, 56) - 4


async def test_slash_context_and_slash_system_open_them() -> None:
    face = Face(ready(), FULL)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f4", "slash", *"context", "enter")
        await until(pilot, lambda: isinstance(face.app.screen, ContextScreen))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(face.app.screen, SystemPromptScreen))


# --- the system prompt ----------------------------------------------------------------------------


def prompting(own: str = "Be brief.") -> Face:
    face = Face(ready())
    words = [own]

    def read(_: Any) -> list[Any]:
        return [
            SystemText(own=safe(words[-1]), source="config", whole=safe(f"You work here.\n{words[-1]}"))
        ]

    def put(command: Any) -> list[Any]:
        words.append(command.text)
        return [CommandDone()]

    face.link.answers[ReadSystem] = read
    face.link.answers[SetSystem] = put
    return face


@pytest.mark.parametrize("size", some(SIZES, 1))
async def test_the_system_prompt_is_shown_changed_and_saved(size: tuple[int, int]) -> None:
    face = prompting()
    async with face.app.run_test(size=size) as pilot:
        await opened(face, pilot, "system", SystemPromptScreen)
        box = face.app.screen.query_one(TextBox)
        await until(pilot, lambda: not box.disabled)
        assert box.text == "Be brief."
        assert "You work here." in "\n".join(rows(face))
        box.move_cursor((0, 9))
        await pilot.press(*" Yes", "f9")
        await until(pilot, lambda: "Be brief. Yes" in "\n".join(rows(face)))
        assert [command.text for command in face.link.sent(SetSystem)] == ["Be brief. Yes"]
        foot = face.app.screen.query_one("#screen-foot")
        await until(pilot, lambda: "saved; it applies from your next" in str(foot.render()))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(face.app.screen, SystemPromptScreen))


async def test_leaving_with_something_unsaved_takes_two_escapes() -> None:
    face = prompting()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "system", SystemPromptScreen)
        box = face.app.screen.query_one(TextBox)
        await until(pilot, lambda: not box.disabled)
        await pilot.press("x", "escape")
        await pilot.pause()
        assert isinstance(face.app.screen, SystemPromptScreen)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(face.app.screen, SystemPromptScreen))
        assert face.link.sent(SetSystem) == []


async def test_a_refusal_is_said_and_nothing_is_lost() -> None:
    face = prompting()
    face.link.refuse(SetSystem, "it is too long", todo="say less")
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, "system", SystemPromptScreen)
        box = face.app.screen.query_one(TextBox)
        await until(pilot, lambda: not box.disabled)
        await pilot.press("x", "f9")
        foot = face.app.screen.query_one("#screen-foot")
        await until(pilot, lambda: "it is too long" in str(foot.render()))
        assert box.text == "xBe brief."


async def test_a_pin_is_added_to_what_is_told_in_every_request() -> None:
    face = prompting()
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        await pilot.press("f4", "slash", *"pin the goal is 42", "enter")
        await until(pilot, lambda: bool(face.link.sent(SetSystem)))
        assert [command.text for command in face.link.sent(SetSystem)] == ["Be brief.\nthe goal is 42"]


# --- the transcript -------------------------------------------------------------------------------


def test_the_hosts_own_tools_and_summaries_stand_in_the_transcript() -> None:
    fold = Fold()
    fold.apply(
        BuiltinToolCalled(
            turn="t", tool="find_tools", asked=SafeText("zebra"), answer=SafeText("zoo__zebra"), seq=1
        )
    )
    fold.apply(
        ContextSummarised(
            turn="t",
            upto=12,
            mark="m",
            text=SafeText("one\ntwo"),
            by_model=False,
            reason=SafeText("no key"),
            seq=2,
        )
    )
    fold.apply(SystemChanged(text=SafeText("Be brief."), seq=3))
    found, summarised, changed = fold.items
    assert isinstance(found, NoticeItem)
    assert isinstance(summarised, NoticeItem)
    assert isinstance(changed, NoticeItem)
    assert (found.what, found.why) == (
        "searched tools: zebra",
        "zoo__zebra · find_tools, built in, no server was called",
    )
    assert (summarised.why, summarised.more) == ("by rules: no key", ("one", "two"))
    assert changed.more == ("Be brief.",)
