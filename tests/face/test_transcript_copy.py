"""Selecting with the mouse and copying with the keys."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import Answer, CallFinished, UserMessage
from tests.face import page
from tests.face.chat_app import ChatApp
from tests.face.page import part
from tests.face.scenario import proposed


async def drag(
    app: ChatApp, pilot: Pilot[None], start: tuple[int, int], end: tuple[int, int]
) -> str | None:
    await pilot.mouse_down(app.view, offset=start)
    await pilot.hover(app.view, offset=end)
    await pilot.mouse_up(app.view, offset=end)
    return app.screen.get_selected_text()


def find(app: ChatApp, text: str) -> tuple[int, int]:
    """Where a text stands in the window, counted with the accent column and the margin."""
    for y, row in enumerate(app.rows()):
        if text in row:
            return row.index(text) + 2, y
    raise AssertionError(f"{text!r} is not to be seen")


async def test_dragging_selects_what_is_under_the_mouse() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(100, 44)) as pilot:
        await pilot.pause()
        x, y = find(app, "line 3: the check")
        assert await drag(app, pilot, (x, y), (x + 5, y)) == "line 3"


async def test_a_selection_over_lines_leaves_decoration_out_and_joins_wrapped_rows() -> None:
    text = SafeText("alpha beta gamma delta epsilon zeta eta theta iota kappa\n\nlast line")
    app = ChatApp([UserMessage(turn="t", text=SafeText("hello")), Answer(turn="t", message="m", text=text)])
    async with app.run_test(size=(40, 30)) as pilot:
        await pilot.pause()
        assert len([row for row in app.rows() if row]) > 3
        start, end = find(app, "hello"), find(app, "last line")
        chosen = await drag(app, pilot, start, (end[0] + 8, end[1]))
        assert chosen == f"hello\n\n{text}"


async def test_a_selection_keeps_its_place_while_text_arrives_and_the_page_moves() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        x, y = find(app, "line 41")
        await drag(app, pilot, (x, y), (x + 6, y))
        app.play([Answer(turn="t", message="new", text=SafeText("one\n\ntwo\n\nthree"))])
        await pilot.pause()
        assert app.screen.get_selected_text() == "line 41"
        assert find(app, "line 41")[1] < y


async def test_what_is_selected_is_painted() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(100, 44)) as pilot:
        await pilot.pause()
        x, y = find(app, "line 3: the check")
        before = app.view.render_line(y)
        await drag(app, pilot, (x, y), (x + 5, y))
        await pilot.pause()
        after = app.view.render_line(y)
        assert after.text == before.text
        style = next(s.style for s in after if s.text == "line 3")
        plain = next(s.style for s in before if "line 3" in s.text)
        assert style is not None
        assert plain is not None
        assert style.bgcolor != plain.bgcolor


async def test_wide_characters_are_selected_whole() -> None:
    app = ChatApp([Answer(turn="t", message="m", text=SafeText("日本語 text"))])
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        assert await drag(app, pilot, (6, 0), (8, 0)) == "本語"


async def test_two_clicks_select_the_item_and_not_everything() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(120, 44)) as pilot:
        await pilot.pause()
        x, y = find(app, "Three places")
        await pilot.click(app.view, offset=(x, y), times=2)
        await pilot.pause()
        chosen = app.screen.get_selected_text()
        assert chosen is not None
        assert (
            chosen.strip() == "Three places in two files. Both files are small, I can edit them directly."
        )


async def test_code_is_copied_as_it_is() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(60, 50)) as pilot:
        await pilot.pause()
        x, y = find(app, "def host")
        end = find(app, "name)")
        chosen = await drag(app, pilot, (x, y), (end[0] + 4, end[1]))
        assert chosen is not None
        assert chosen.split("\n")[0] == "def host(name: str) -> str:"
        assert "python" not in chosen
        assert chosen.split("\n")[1].startswith("    # 日本語")


@pytest.mark.parametrize(
    ("key", "text", "what"),
    [
        ("Y", page.ANSWER, "the last answer"),
        ("c", page.ANSWER.split("```python\n")[1].split("\n```")[0], "code block 1 of 1"),
        ("r", page.JSON, "the result"),
        ("a", '{\n  "repo_path": "."\n}', "the arguments"),
    ],
)
async def test_keys_copy_what_they_say(key: str, text: str, what: str) -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        app.chat.transcript.focus_call("c4")
        await pilot.press(key)
        assert app.copied == [(text, what)]


async def test_y_copies_the_item_with_the_cursor() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        app.view.focus()
        await pilot.press("home", "y", "end", "y")
        app.chat.transcript.focus_call("c1")
        await pilot.press("y")
        assert [what for _, what in app.copied] == ["your message", "the answer", "the call"]
        assert app.copied[0][0].startswith("Which notes")
        assert app.copied[1][0] == page.ANSWER
        assert app.copied[2][0].startswith("files › search_files\n\n{")


async def test_one_code_block_after_the_other() -> None:
    text = SafeText("```\none\n```\n\n```\ntwo\n```")
    app = ChatApp([Answer(turn="t", message="m", text=text)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.view.focus()
        await pilot.press("c", "c", "c")
        assert [code for code, _ in app.copied] == ["one", "two", "one"]


async def test_a_cut_result_says_so_when_copied() -> None:
    events: list[AnyEvent] = [
        proposed("c", "s", "t", {}, "read"),
        CallFinished(
            call="c", state="succeeded", elapsed_ms=1, size=9_000_000, parts=(part("x", truncated=True),)
        ),
    ]
    app = ChatApp(events)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.chat.transcript.focus_call("c")
        await pilot.press("r")
        assert app.copied == [("x", "the beginning of the result (Enter opens all 9.0 MB)")]


async def test_nothing_to_copy_is_said_and_nothing_breaks() -> None:
    app = ChatApp([UserMessage(turn="t", text=SafeText("hi"))])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.view.focus()
        await pilot.press("Y", "c", "a", "r")
        assert app.copied == []
        assert app.is_running
