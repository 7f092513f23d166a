"""The reader: whole results page by page, search, and what it says when something goes wrong."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.widgets import Static

from omni_tui.face.port import CommandError
from omni_tui.face.screens.reader import PAGE, ReaderScreen
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.commands import ReadResult
from omni_tui.protocol.events import CommandFailed, TextPage
from tests.face.chat_app import ChatApp

WHOLE = "".join(f"line {n} of the result\n" for n in range(12_000))


def pages_of(text: str) -> object:
    def reply(command: AnyCommand) -> AnyEvent:
        assert isinstance(command, ReadResult)
        piece = SafeText(text[command.offset : command.offset + command.limit])
        return TextPage(
            call=command.call, part=command.part, offset=command.offset, total=len(text), text=piece
        )

    return reply


def asked(app: ChatApp) -> list[int]:
    return [command.offset for command in app.port.sent if isinstance(command, ReadResult)]


def opened(app: ChatApp) -> ReaderScreen:
    assert isinstance(app.screen, ReaderScreen)
    return app.screen


def shown(app: ChatApp) -> list[str]:
    view = opened(app).view
    return [view.render_line(y).text.rstrip() for y in range(view.window.height)]


def state(app: ChatApp) -> str:
    return str(opened(app).query_one("#reader-state", Static).render())


async def test_pages_come_as_the_end_comes_near_and_join_without_a_seam() -> None:
    app = ChatApp()
    app.port.reply = pages_of(WHOLE)  # type: ignore[assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(ReaderScreen("c", title="s › t"))
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert asked(app) == [0]
        assert shown(app)[0] == "line 0 of the result"
        for _ in range(4):
            await pilot.press("end")
            await app.workers.wait_for_complete()
            await pilot.pause()
        assert asked(app) == [0, PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE]
        await pilot.press("end")
        assert shown(app)[-1] == "line 11999 of the result"
        assert opened(app).complete
        assert opened(app).view.text == WHOLE


async def test_search_goes_on_into_pages_that_are_not_here_yet() -> None:
    app = ChatApp()
    app.port.reply = pages_of(WHOLE)  # type: ignore[assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(ReaderScreen("c"))
        await app.workers.wait_for_complete()
        await pilot.press("slash", *"LINE 8765", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "line 8765 of the result" in shown(app)
        y = shown(app).index("line 8765 of the result")
        strip = opened(app).view.render_line(y)
        found = next(segment for segment in strip if segment.text == "line 8765")
        assert found.style is not None
        assert found.style.bgcolor is not None


async def test_n_walks_through_the_places_both_ways() -> None:
    app = ChatApp()
    app.port.reply = pages_of("alpha\n" + "x\n" * 100 + "alpha beta\n" + "y\n" * 100 + "alpha end")  # type: ignore[assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(ReaderScreen("c"))
        await app.workers.wait_for_complete()
        await pilot.press("slash", *"alpha", "enter", "n")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "alpha beta" in shown(app)
        await pilot.press("n")
        await app.workers.wait_for_complete()
        assert "alpha end" in shown(app)
        await pilot.press("n")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "no more “alpha”" in state(app)
        await pilot.press("N", "N")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert shown(app)[0] == "alpha"


async def test_what_is_not_there_is_said() -> None:
    app = ChatApp()
    app.port.reply = pages_of("short")  # type: ignore[assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(ReaderScreen("c"))
        await app.workers.wait_for_complete()
        await pilot.press("slash", *"[/]", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "no “[/]”" in state(app)


async def test_a_refusal_is_said_with_what_to_do() -> None:
    def refuse(_command: AnyCommand) -> AnyEvent:
        raise CommandError(
            CommandFailed(what=SafeText("the result is gone"), todo=SafeText("call it again"))
        )

    app = ChatApp()
    app.port.reply = refuse
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(ReaderScreen("c"))
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "the result is gone · call it again" in state(app)


@pytest.mark.parametrize(
    "text", ["[/] [@click=app.quit]x[/]", "x" * 300_000, "", "e\u0301" * 5_000, "日本語" * 5_000]
)
async def test_any_text_is_read(text: str) -> None:
    app = ChatApp()
    app.port.reply = pages_of(text)  # type: ignore[assignment]
    async with app.run_test(size=(40, 20)) as pilot:
        await app.push_screen(ReaderScreen("c"))
        for _ in range(8):
            await app.workers.wait_for_complete()
            await pilot.press("end")
            await pilot.pause()
        assert opened(app).view.text == text
        assert all(cell_len(row) <= 40 for row in shown(app))


async def test_other_parts_and_leaving() -> None:
    app = ChatApp()
    app.port.reply = pages_of("body")  # type: ignore[assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(ReaderScreen("c", parts=2))
        await app.workers.wait_for_complete()
        await pilot.press("right_square_bracket")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert [c.part for c in app.port.sent if isinstance(c, ReadResult)] == [0, 1]
        assert "part 2 of 2" in state(app)
        await pilot.press("y", "slash", "escape", "escape")
        await pilot.pause()
        assert not isinstance(app.screen, ReaderScreen)
        assert app.copied == [("body", "the result")]


async def test_the_mark_stands_on_the_place_that_was_found_also_in_a_wrapped_line() -> None:
    app = ChatApp()
    app.port.reply = pages_of("needle and some words, then needle and another needle")  # type: ignore[assignment]
    async with app.run_test(size=(30, 20)) as pilot:
        await app.push_screen(ReaderScreen("c"))
        await app.workers.wait_for_complete()
        await pilot.press("slash", *"needle", "enter")
        places = []
        for _ in range(3):
            await app.workers.wait_for_complete()
            await pilot.pause()
            for y in range(opened(app).view.window.height):
                at = 0
                for segment in opened(app).view.render_line(y):
                    if segment.text == "needle":  # cut out of its row only where it is marked
                        places.append((y, at))
                    at += len(segment.text)
            await pilot.press("n")
        assert len(set(places)) == 3
