"""Pictures and sound in the face: opened by the key alone, saved under a suffix of their own bytes."""

from __future__ import annotations

from textual.widgets import Input

from omni_tui.face.results.save_bar import SaveBar
from omni_tui.face.results.view import ResultView
from omni_tui.face.screens.reader import ReaderScreen
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.commands import ReadResult, SaveResult
from omni_tui.protocol.events import ContentPart, FileSaved, PartKind, TextPage
from omni_tui.protocol.media import CheckPart, OpenPart, PartChecked, PartOpened
from omni_tui.security.text import safe_line
from tests.face.chat_app import ChatApp
from tests.face.test_tool_screen import port_with, run, shown, text_part
from tests.face.tool_app import HOSTILE, ScriptedPort, ToolApp, assert_safe, refused, until

PATH = "/state/opened/1-2/0123456789abcdef.png"


def binary(index: int, kind: PartKind = "image", mime: str = "image/png", size: int = 70) -> ContentPart:
    return ContentPart(index=index, kind=kind, mime=safe_line(mime), size=size)


def port(by: str = "xdg-open", why: str = "") -> ScriptedPort:
    made = port_with()
    made.answers[OpenPart] = lambda _c: PartOpened(
        path=PATH, size=70, mime=SafeText("image/png"), by=SafeText(by), why=SafeText(why)
    )
    made.answers[CheckPart] = lambda _c: PartChecked(suffix=".gif", size=70)
    return made


def told(app: ToolApp) -> str:
    return "\n".join(str(one.message) for one in app._notifications)


async def test_the_key_opens_each_part_in_turn_and_nothing_else_does() -> None:
    async with shown(port()) as (pilot, screen, app):
        parts = (text_part("two pictures"), binary(1), binary(2, "audio", "audio/wav"), text_part("end", 3))
        await run(pilot, screen, *parts)
        view = screen.query_one(ResultView)
        view.focus_view()
        await pilot.press("up", "down", "enter", "space", "right_square_bracket", "left_square_bracket")
        await pilot.pause()
        assert "o open · s save" in app.seen()
        assert app.port.of(OpenPart) == []
        for count, part in enumerate((1, 2, 1), 1):
            await pilot.press("o")
            await until(pilot, lambda count=count: len(app.port.of(OpenPart)) == count, "the command")  # type: ignore[misc]
            sent = app.port.of(OpenPart)[-1]
            assert (sent.source, sent.part, sent.of) == ("c1", part, "call")
        await until(pilot, lambda: PATH in told(app), "what came of it")
        assert "opened with xdg-open" in told(app)


async def test_where_nothing_can_be_opened_there_is_no_key() -> None:
    async with shown(port()) as (pilot, screen, app):
        inner = ContentPart(index=1, kind="resource", text=SafeText("inside"), size=6)
        await run(pilot, screen, text_part("hello"), inner)
        screen.query_one(ResultView).focus_view()
        await pilot.pause()
        assert "o open" not in app.seen()
        await pilot.press("o")
        await pilot.pause()
        assert app.port.of(OpenPart) == []


async def test_without_a_display_the_path_is_said_and_a_refusal_says_why() -> None:
    async with shown(port(why="there is no display here", by="")) as (pilot, screen, app):
        await run(pilot, screen, binary(0))
        screen.query_one(ResultView).focus_view()
        await pilot.press("o")
        await until(pilot, lambda: "no display" in told(app), "the reason")
        assert PATH in told(app)
        app.port.answers[OpenPart] = lambda _c: refused(safe_line(f"not opened: {HOSTILE}"))
        await pilot.press("o")
        await until(pilot, lambda: "not opened: [/]" in told(app), "the refusal")
        await pilot.pause()
        assert_safe(app)


async def test_a_file_is_called_after_its_bytes_and_another_part_is_a_key_away() -> None:
    answers = port()
    answers.answers[SaveResult] = lambda c: FileSaved(path=c.path, size=70)
    async with shown(answers) as (pilot, screen, app):
        await run(pilot, screen, text_part("a picture"), binary(1, mime="text/html"))
        screen.query_one(ResultView).focus_view()
        await pilot.press("s")
        await until(pilot, lambda: bool(screen.query(SaveBar)), "the bar")
        path = screen.query_one(SaveBar).query_one(Input)
        assert path.value == "result.txt"
        assert "another part" in app.seen()
        await pilot.press("down")
        await until(pilot, lambda: path.value == "result.gif", "the other part")
        assert "save image" in app.seen()
        await pilot.press("x", "down")
        await until(pilot, lambda: "save text" in app.seen(), "the first part again")
        assert path.value == "result.gifx", "what the person typed stays"
        await pilot.press("up")
        await until(pilot, lambda: "save image" in app.seen(), "the picture again")
        await pilot.press("enter")
        await until(pilot, lambda: not screen.query(SaveBar), "the file saved")
        assert [(c.path, c.part) for c in app.port.of(SaveResult)] == [("result.gifx", 1)]


async def test_in_the_reader_a_picture_is_opened_and_saved_too() -> None:
    def reply(command: AnyCommand) -> AnyEvent:
        if isinstance(command, ReadResult):
            words = SafeText("image/png, 70 bytes. It is not text")
            return TextPage(call="c", part=0, offset=0, total=len(words), text=words, kind="image")
        if isinstance(command, CheckPart):
            return PartChecked(suffix=".png", size=70)
        if isinstance(command, SaveResult):
            return FileSaved(path=command.path, size=70)
        assert isinstance(command, OpenPart)
        return PartOpened(path=PATH, size=70, mime=SafeText("image/png"), why=SafeText("no display"))

    app = ChatApp()
    app.port.reply = reply
    async with app.run_test(size=(120, 24)) as pilot:
        await app.push_screen(ReaderScreen("c", title="s › t"))
        await app.workers.wait_for_complete()
        await pilot.pause()
        state = app.screen.query_one("#reader-state")
        assert "o open" in str(state.render())
        await pilot.press("o")
        await app.workers.wait_for_complete()
        assert PATH in str(state.render())
        await pilot.press("s")
        await app.workers.wait_for_complete()
        assert app.screen.query_one(SaveBar).query_one(Input).value == "result.png"
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        assert not app.screen.query(SaveBar)
        assert "saved 70 bytes to result.png" in str(state.render())
        await pilot.press("s", "escape")
        await app.workers.wait_for_complete()
        assert isinstance(app.screen, ReaderScreen)
