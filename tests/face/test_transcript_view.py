"""The view: following, scrolling, resizing, folding, and that work is only done for what is seen."""

from __future__ import annotations

import subprocess
import sys

import pytest
from rich.cells import cell_len
from textual.events import MouseScrollUp

from omni_tui.face.lines import Line
from omni_tui.face.transcript import TranscriptView
from omni_tui.face.transcript.item_lines import draw_item
from omni_tui.face.transcript.item_types import CallItem
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    CallChanged,
    CallFinished,
    ContentPart,
    Retrying,
    TurnStarted,
    UserMessage,
)
from tests.bench.transcript import script
from tests.face import page, scenario
from tests.face.chat_app import ChatApp
from tests.face.scenario import NOW, START, proposed
from tests.lengths import some

HOSTILE = (
    "[/]",
    "[@click=app.quit]x[/]",
    "[red]x[/red]",
    '{"a":[true]}',
    "[link=http://e]x[/]",
    "e\u0301" * 40,
)


def answer(text: str, number: int = 0) -> Answer:
    return Answer(turn="t", message=f"n{number}", text=SafeText(text))


def whole(app: ChatApp) -> list[str]:
    """Every row of the transcript, drawn without the view."""
    width = app.view.window.width - 1
    items = app.view.fold.items
    return [line.text.rstrip() for i, item in enumerate(items)
            for line in draw_item(item, items[i - 1] if i else None, width, NOW)]  # fmt: skip


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the items that are drawn."""
    drawn: list[int] = []
    real = TranscriptView.draw_block

    def draw_block(view: TranscriptView, index: int, width: int) -> list[Line]:
        drawn.append(index)
        return real(view, index, width)

    monkeypatch.setattr(TranscriptView, "draw_block", draw_block)
    return drawn


async def test_it_follows_the_end_until_the_person_scrolls_away() -> None:
    app = ChatApp(script(100))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.play([answer("the newest")])
        assert app.rows()[-1] == "  the newest"
        app.view.focus()
        await pilot.press("pageup")
        before = app.rows()
        app.play([answer("unseen", 1), answer("unseen too", 2)])
        assert app.rows() == before
        assert app.view.unread == 2
        await pilot.press("end")
        assert app.rows()[-1] == "  unseen too"
        assert app.view.unread == 0


async def test_what_leaves_the_end_has_left_it_before_the_next_event() -> None:
    app = ChatApp(script(100))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        view = app.view
        assert view.following
        view.put_cursor(0)
        assert (view.following, view.scroll_y) == (False, 0)
        view.apply(answer("unseen"))
        view.flush()
        assert view.unread == 1
        await pilot.pause()
        assert (view.following, view.scroll_y, view.unread) == (False, 0, 1)
        view.action_scroll_down()
        view.action_scroll_down()  # in the same step: each key counts
        assert view.scroll_y == 2
        view.put_cursor(len(view.items) - 1)
        assert view.following
        assert view.scroll_y == view.max_scroll_y
        assert view.unread == 0


async def test_scrolling_back_to_the_end_follows_again() -> None:
    app = ChatApp(script(50))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.view.focus()
        await pilot.press("pageup")
        assert not app.view.following
        await pilot.press("pagedown")
        assert app.view.following


async def test_the_mouse_wheel_scrolls() -> None:
    app = ChatApp(script(50))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        top = app.view.scroll_y
        app.view.post_message(MouseScrollUp(app.view, 5, 5, 0, 0, 0, False, False, False))
        await pilot.pause()
        assert app.view.scroll_y < top


@pytest.mark.parametrize("size", [(80, 24), (30, 16), (120, 40)])
async def test_walking_up_through_what_was_never_drawn_skips_and_repeats_nothing(
    size: tuple[int, int],
) -> None:
    app = ChatApp(script(150))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        rows = whole(app)
        height = app.view.window.height
        seen = app.rows()
        for _ in range(len(rows) - height):
            app.view.scroll_to(y=app.view.scroll_y - 1, animate=False)
            now = app.rows()
            assert now[1:] == seen[:-1]
            seen = now
        assert seen == rows[:height]
        assert app.view.scroll_y == 0


async def test_jumping_anywhere_shows_whole_lines_of_the_page() -> None:
    app = ChatApp(script(2_000))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        rows = "\n".join(whole(app))
        for share in (0.5, 0.1, 0.9, 0.0, 0.3):
            app.view.scroll_to(y=app.view.max_scroll_y * share, animate=False)
            assert "\n".join(app.rows()) in rows


async def test_a_resize_keeps_the_first_line_where_it_was() -> None:
    app = ChatApp(script(300))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        app.view.scroll_to(y=app.view.max_scroll_y * 0.5, animate=False)
        index, _ = app.view.heights.find(round(app.view.scroll_y))
        await pilot.resize_terminal(50, 20)
        await pilot.pause()
        assert app.view.heights.find(round(app.view.scroll_y))[0] == index
        assert all(cell_len(row) <= 50 for row in app.rows())
        assert "\n".join(app.rows()) in "\n".join(whole(app))


async def test_a_resize_at_the_end_stays_at_the_end() -> None:
    app = ChatApp(script(300))
    async with app.run_test(size=(100, 30)) as pilot:
        for size in ((40, 15), (120, 40), (81, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.rows() == whole(app)[-app.view.window.height :]


async def test_only_what_is_seen_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = counted(monkeypatch)
    for size in (100, 10_000):
        app = ChatApp()
        async with app.run_test(size=(80, 24)) as pilot:
            drawn.clear()
            app.play(script(size))
            await pilot.pause()
            replay = len(drawn)
            drawn.clear()
            app.play([answer("one more")])
            append = len(drawn)
            drawn.clear()
            app.view.scroll_to(y=app.view.scroll_y - 3, animate=False)
            assert (replay < 60, append, len(drawn) < 5) == (True, 1, True)


async def test_a_change_further_up_is_drawn_only_once_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ChatApp([proposed("first", "s", "t", {}, "read"), *script(500)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        drawn = counted(monkeypatch)
        app.play([CallChanged(call="first", state="rejected", feedback=SafeText("no"))])
        assert not drawn
        app.view.scroll_to(y=0, animate=False)
        assert app.rows()[0].endswith("⊘ rejected")
        assert app.rows()[1] == "  └ “no”"


async def test_every_row_is_exactly_as_wide_as_the_window() -> None:
    for size in ((30, 20), (80, 24), (141, 30)):
        app = ChatApp(page.everything())
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            for _ in range(40):
                for y in range(app.view.window.height):
                    strip = app.view.render_line(y)
                    assert strip.cell_length == app.view.window.width
                    assert sum(cell_len(s.text) for s in strip) == app.view.window.width
                app.view.scroll_to(y=app.view.scroll_y - 5, animate=False)


@pytest.mark.parametrize("text", some(HOSTILE, 4))
async def test_hostile_text_is_text_everywhere(text: str) -> None:
    safe = SafeText(text)
    events: list[AnyEvent] = [
        UserMessage(turn="t", text=safe),
        answer(text),
        answer(f"# {text}\n\n| {text} |\n|--|\n| {text} |\n\n```{text}\n{text}\n```", 1),
        proposed("c", "[/]", "t", {text: text}, "read", label=safe),
        CallFinished(call="c", state="failed", elapsed_ms=1, size=1, reason=safe,
                     parts=(ContentPart(index=0, kind="text", text=safe),)),
        AnswerDelta(turn="t", message="s", text=safe),
        Retrying(turn="t2", attempt=1, of=2, delay_s=1, reason=safe, ts=NOW),
    ]  # fmt: skip
    app = ChatApp(events)
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.pause()
        for item in app.view.fold.items:
            item.folded = False
        app.view.reset(len(app.view.items))
        app.view.refresh()
        await pilot.pause()
        assert sum(text[:60] in row for row in app.rows()) >= 5
        for y in range(app.view.window.height):
            for segment in app.view.render_line(y):
                assert segment.style is None or "@click" not in segment.style.meta
        assert app.is_running


async def test_a_line_of_a_megabyte_is_folded_and_nothing_freezes() -> None:
    text = SafeText("x" * 1_000_000)
    part = ContentPart(index=0, kind="text", text=text, size=1_000_000)
    app = ChatApp([
        UserMessage(turn="t", text=text), answer(text),
        proposed("c", "s", "t", {}, "read"),
        CallFinished(call="c", state="succeeded", elapsed_ms=1, size=1_000_000, parts=(part,)),
    ])  # fmt: skip
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.view.focus()
        await pilot.press("home")
        assert app.rows()[12].startswith("▌ … 999,1")
        await pilot.press("space", "space", "end", "space")
        assert app.is_running


async def test_keys_unfold_and_fold() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        assert app.view.focus_call("c4")
        before = len(whole(app))
        await pilot.press("enter")
        assert len(whole(app)) > before
        assert any('"branch": "main",' in row for row in app.rows())
        await pilot.press("space")
        assert len(whole(app)) == before


async def test_a_click_unfolds_a_call() -> None:
    app = ChatApp(page.answered())
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        row = next(y for y, text in enumerate(app.rows()) if "git_status" in text)
        await pilot.click(app.view, offset=(20, row))
        call = app.view.fold.items[app.view.fold.find_call("c4") or 0]
        assert not call.folded
        assert app.view.current is call


async def test_enter_opens_the_reader_where_the_result_was_cut() -> None:
    app = ChatApp(page.troubles())
    async with app.run_test(size=(100, 40)) as pilot:
        app.view.focus_call("d1")
        await pilot.press("enter")
        await pilot.pause()
        assert type(app.screen).__name__ == "ReaderScreen"


async def test_the_cursor_walks_over_items_and_reads_on_in_tall_ones() -> None:
    app = ChatApp(
        [UserMessage(turn="t", text=SafeText("first")), answer("\n\n".join(f"p{n}" for n in range(60)))]
    )
    async with app.run_test(size=(80, 20)) as pilot:
        app.view.focus()
        await pilot.press("home")
        assert app.view.cursor == 0
        await pilot.press("down")
        assert app.view.cursor == 1
        tops = [app.view.scroll_y]
        for _ in range(40):
            await pilot.press("down")
            tops.append(app.view.scroll_y)
        assert app.view.cursor == 1
        assert tops == sorted(tops)
        assert app.view.scroll_y == app.view.max_scroll_y
        for _ in range(40):
            await pilot.press("up")
        assert app.view.cursor == 0
        assert app.rows()[0] == "▌ first"


async def test_a_jump_to_a_call_shows_it_and_takes_the_keys() -> None:
    app = ChatApp([*scenario.conversation(), *script(400)])
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.chat.transcript.focus_call("c1")  # the page is not laid out yet
        await pilot.pause()
        assert any("search_files" in row for row in app.rows())
        assert app.focused is app.view
        assert isinstance(app.view.current, CallItem)
        assert not app.chat.transcript.focus_call("nobody")


async def test_seconds_of_a_running_call_go_on() -> None:
    app = ChatApp([proposed("c", "s", "t", {}, "read"), CallChanged(call="c", state="dispatching", ts=NOW)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.rows()[0].endswith("… running")
        app.clock.advance(5)
        app.view._tick()
        assert app.rows()[0].endswith("… 5 s")


async def test_other_colours_are_painted_at_once() -> None:
    app = ChatApp(scenario.conversation())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        before = app.view.render_line(0)
        text = before.text
        app.theme = "omni-light"
        await pilot.pause()
        after = app.view.render_line(0)
        assert after.text == text
        assert [s.style for s in after] != [s.style for s in before]


@pytest.mark.parametrize("theme", ["omni-dark", "omni-light", "high-contrast", "terminal"])
async def test_every_theme_draws_every_item(theme: str) -> None:
    app = ChatApp(page.everything(), theme)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab", "home", "down", "down")
        await pilot.pause()
        assert app.rows()[0].startswith("▌ Which notes")


async def test_another_session_begins_on_an_empty_page() -> None:
    app = ChatApp(scenario.conversation())
    async with app.run_test(size=(80, 24)) as pilot:
        app.composer.draft = "keep me"
        app.chat.clear_session()
        app.view.flush()
        await pilot.pause()
        assert app.chat.has_class("-empty")
        assert app.chat.draft == "keep me"
        app.play(scenario.conversation())
        await pilot.pause()
        assert not app.chat.has_class("-empty")
        assert app.rows()[0].startswith("▌ Which notes")


async def test_the_composer_says_what_goes_on() -> None:
    app = ChatApp([TurnStarted(turn="t1", mode="chat", model=SafeText("m"), ts=NOW - 4)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "working 4 s" in str(app.query_one("#composer-state").render())
        app.play(scenario.conversation())
        await pilot.pause()
        assert "2 to approve" in str(app.query_one("#composer-state").render())
        assert app.chat.count == 2
        assert START < NOW


async def test_streamed_text_is_drawn_in_few_frames_and_completely() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        frames = []
        flush = app.view.flush
        app.view.flush = lambda: frames.append(1) or flush()  # type: ignore[method-assign,func-returns-value]
        for n in range(500):
            app.chat.apply(AnswerDelta(turn="t", message="m", text=SafeText(f"w{n} ")))
        await pilot.pause()
        assert len(frames) <= 2
        flush()
        assert app.rows()[-1].endswith("w499")


async def test_a_result_of_many_rows_opens_the_reader_too() -> None:
    text = SafeText("\n".join(f"row {n}" for n in range(500)))
    part = ContentPart(index=0, kind="text", text=text, size=len(text))
    app = ChatApp([
        proposed("c", "s", "t", {}, "read"),
        CallFinished(call="c", state="succeeded", elapsed_ms=1, size=len(text), parts=(part,)),
    ])  # fmt: skip
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.chat.transcript.focus_call("c")
        await pilot.press("enter")
        assert whole(app)[-1] == "    … 2,400 more characters · enter opens the full result"
        await pilot.press("enter")
        await pilot.pause()
        assert type(app.screen).__name__ == "ReaderScreen"


def test_parser_and_lexers_are_not_imported_before_an_answer_comes() -> None:
    code = "import sys, omni_tui.face.panes.chat; print(*({'markdown_it', 'pygments'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
