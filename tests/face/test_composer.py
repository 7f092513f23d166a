"""The composer: sending, history, commands, pastes, and that nothing written is lost."""

from __future__ import annotations

import time

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.widgets import Static

from omni_tui.face.actions import Action
from omni_tui.face.port import CommandError
from omni_tui.face.widgets.composer import MAX_MESSAGE, MAX_ROWS, MessageHistory
from omni_tui.face.widgets.marks import LARGE_PASTE
from omni_tui.protocol import AnyCommand, AnyEvent, LinkClosed, SafeText
from omni_tui.protocol.commands import SendMessage
from omni_tui.protocol.events import CommandFailed, UserMessage
from tests.bench.transcript import script
from tests.face.chat_app import ChatApp
from tests.face.conftest import until


def sent(app: ChatApp) -> list[str]:
    return [command.text for command in app.port.sent if isinstance(command, SendMessage)]


def hint(app: ChatApp) -> str:
    return str(app.composer.query_one("#composer-hint", Static).render())


def said(text: str) -> UserMessage:
    return UserMessage(turn="t", text=SafeText(text))


async def test_enter_sends_and_empties() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"hello", "enter")
        await pilot.pause()
        assert sent(app) == ["hello"]
        assert app.chat.draft == ""


async def test_nothing_is_not_sent() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter", "space", "enter")
        assert sent(app) == []


@pytest.mark.parametrize("key", ["ctrl+j", "alt+enter", "shift+enter"])
async def test_new_lines(key: str) -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a", key, "b", "enter")
        await pilot.pause()
        assert sent(app) == ["a\nb"]


def test_alt_enter_of_an_old_terminal_is_no_plain_enter() -> None:
    keys = [event.key for event in XTermParser(False).feed("\x1b\r") if isinstance(event, events.Key)]
    assert keys == ["alt+enter"]


async def test_it_grows_with_its_lines_and_not_while_a_line_is_typed() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 40)) as pilot:
        heights = []
        await pilot.press(*"some words")
        heights.append(app.composer.prompt.size.height)
        for _ in range(12):
            await pilot.press("ctrl+j", "x")
            await pilot.pause()
            heights.append(app.composer.prompt.size.height)
        assert heights == [min(rows, MAX_ROWS) for rows in range(1, 14)]


async def test_typing_does_not_lay_out_the_transcript() -> None:
    app = ChatApp(script(100))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await pilot.pause()
        layouts: list[int] = []
        real = app.screen._refresh_layout
        app.screen._refresh_layout = lambda *a, **k: layouts.append(1) or real(*a, **k)  # type: ignore[method-assign,func-returns-value]
        await pilot.press(*"bcdefgh")
        await pilot.pause()
        assert app.chat.draft == "abcdefgh"
        assert not layouts


async def test_the_history_is_walked_at_the_edges_and_keeps_the_draft() -> None:
    app = ChatApp([said("first"), said("second\nline")])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"draft", "up")
        assert app.chat.draft == "second\nline"
        await pilot.press("up", "up")
        assert app.chat.draft == "first"
        await pilot.press("up")
        assert app.chat.draft == "first"
        await pilot.press("down", "down", "down")
        assert app.chat.draft == "draft"
        await pilot.press("down")
        assert app.chat.draft == "draft"


async def test_what_was_sent_is_remembered_once() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"hello", "enter")
        app.play([said("hello")])
        await pilot.press("up")
        assert app.chat.draft == "hello"
        assert app.composer.history.entries == ["hello"]


def test_history_is_bounded() -> None:
    history = MessageHistory()
    for number in range(2_000):
        history.add(str(number))
    assert len(history.entries) == 500
    assert history.older("") == "1999"


# --- commands


async def test_commands_are_listed_completed_and_run() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/the")
        await pilot.pause()
        assert app.composer.popup_open
        await pilot.press("tab")
        await pilot.pause()
        assert app.chat.draft == "/theme "
        await pilot.press(*"omni-light", "enter")
        await pilot.pause()
        assert app.ran == [("theme", "omni-light")]
        assert app.chat.draft == ""
        assert sent(app) == []


async def test_enter_runs_the_command_that_is_picked() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("/")
        await pilot.pause()
        picked = app.composer._matches[0]
        assert isinstance(picked, Action)
        first = picked.name
        await pilot.press("down", "down", "up", "up", *"stat", "u")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.ran == [("status", "")]
        assert first != "status"


async def test_escape_closes_the_list_and_the_text_stays() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/th")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert not app.composer.popup_open
        assert app.chat.draft == "/th"
        await pilot.press("e")
        await pilot.pause()
        assert app.composer.popup_open


async def test_an_unknown_command_is_said_with_the_nearest_and_stays() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/thme x", "enter")
        await pilot.pause()
        assert "no command /thme" in hint(app)
        assert "/theme" in hint(app)
        assert app.chat.draft == "/thme x"
        assert app.ran == []
        assert sent(app) == []
        await pilot.press("backspace")
        await pilot.pause()
        assert "no command" not in hint(app)


@pytest.mark.parametrize(
    ("typed", "message"), [("//theme x", "/theme x"), ("/etc/hosts is what?", "/etc/hosts is what?")]
)
async def test_text_that_begins_with_a_slash_can_be_sent(typed: str, message: str) -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*typed, "enter")
        await pilot.pause()
        assert sent(app) == [message]


# --- pastes


@pytest.mark.parametrize(
    "written",
    [
        "all:\n\tcc x.c\n\n\tname\tvalue",
        "می\u200cخواهم",
        "क्\u200dष",
        "👨\u200d👩\u200d👧 ❤\ufe0f",
        "hi \U0001fae8 \U0001fae9",
        "a\x1b[31mb",
        "c\u202ed\u200be",
        "  spaces at both ends  ",
        "e" + "\u0301" * 9,
        "\U00031350",
    ],
)
async def test_what_is_sent_is_what_was_written(written: str) -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.composer.prompt.post_message(events.Paste(written.replace("\n", "\r")))
        await pilot.pause()
        assert app.chat.draft == written
        await pilot.press("enter")
        await pilot.pause()
        assert sent(app) == [written]
        await pilot.press("up")
        assert app.chat.draft == written


async def test_a_paste_sends_nothing_and_says_so() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.composer.prompt.post_message(events.Paste("first\rsecond\r"))
        await pilot.pause()
        assert sent(app) == []
        assert app.chat.draft == "first\nsecond\n"
        assert hint(app) == "pasted · enter sends"
        await pilot.press("x")
        await pilot.pause()
        assert "pasted" not in hint(app)


async def test_a_paste_says_how_much_of_it_does_not_show() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.composer.prompt.post_message(events.Paste("a\x1b[31mb\u202ec"))
        await pilot.pause()
        assert hint(app).startswith("pasted · 2 characters in it do not show")


async def test_a_large_paste_is_held_aside_and_sent_whole() -> None:
    app = ChatApp()
    big = "word " * (LARGE_PASTE // 2)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"see: ")
        app.composer.prompt.post_message(events.Paste(big))
        await pilot.pause()
        assert app.composer.prompt.text == "see: ⟦paste 1: 20,000 characters⟧"
        assert app.chat.draft == "see: " + big
        await pilot.press("enter")
        await pilot.pause()
        assert sent(app) == ["see: " + big]


async def test_a_paste_of_a_megabyte_stays_quick_and_is_never_lost() -> None:
    app = ChatApp()
    big = "x" * 1_000_000
    async with app.run_test(size=(80, 24)) as pilot:
        begun = time.process_time()
        app.composer.prompt.post_message(events.Paste(big))
        await pilot.pause()
        await pilot.press(*"and more words")
        assert time.process_time() - begun < 10
        assert app.chat.draft == big + "and more words"
        await pilot.press("enter")
        await pilot.pause()
        assert "too long to send" in hint(app)
        assert app.chat.draft == big + "and more words"
        assert sent(app) == []


async def test_a_paste_whose_mark_is_deleted_is_told_and_comes_back() -> None:
    app = ChatApp()
    big = "line\n" * 1_000
    async with app.run_test(size=(80, 24)) as pilot:
        app.composer.prompt.post_message(events.Paste(big))
        await until(pilot, lambda: "1,001 lines" in app.composer.prompt.text)
        await pilot.press("backspace")
        await until(pilot, lambda: "paste 1 is no longer in the message" in hint(app))
        await pilot.press("ctrl+underscore")
        await until(pilot, lambda: app.chat.draft == big)
        await until(pilot, lambda: "no longer in the message" not in hint(app))


async def test_markup_is_text() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"[/] [@click=app.quit]x[/]", "enter")
        await pilot.pause()
        assert sent(app) == ["[/] [@click=app.quit]x[/]"]
        await pilot.press(*"/[/]", "enter")
        await pilot.pause()
        assert app.is_running


# --- nothing is lost


def _refuse(_command: AnyCommand) -> AnyEvent:
    raise CommandError(CommandFailed(what=SafeText("no session"), todo=SafeText("open one")))


def _gone(_command: AnyCommand) -> AnyEvent:
    raise LinkClosed("it was killed (signal 9)")


@pytest.mark.parametrize(
    ("reply", "why"), [(_refuse, "no session · open one"), (_gone, "it was killed (signal 9)")]
)
async def test_a_message_that_does_not_arrive_is_given_back(reply: object, why: str) -> None:
    app = ChatApp()
    app.port.reply = reply  # type: ignore[assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"keep me", "enter")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.chat.draft == "keep me"
        assert f"not sent: {why}" in hint(app)


async def test_what_is_written_meanwhile_is_not_overwritten() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"new words")
        app.composer.give_back("old words", "the engine is gone")
        app.composer.history.add("old words")
        await pilot.pause()
        assert app.chat.draft == "new words"
        assert "↑ brings it back" in hint(app)
        await pilot.press("up")
        assert app.chat.draft == "old words"


async def test_a_message_just_short_enough_is_sent() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.chat.draft = "x" * MAX_MESSAGE
        await pilot.press("enter")
        await pilot.pause()
        assert [len(text) for text in sent(app)] == [MAX_MESSAGE]


async def test_events_change_nothing_of_what_is_being_written() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"half a sent", "left", "left")
        app.play(script(50))
        await pilot.pause()
        assert app.focused is app.composer.prompt
        assert app.chat.draft == "half a sent"
        assert app.composer.prompt.cursor_location == (0, 9)


async def test_text_is_inserted_where_the_cursor_stands() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"ac", "left")
        app.chat.composer.insert("b")
        await pilot.press("x")
        assert app.chat.draft == "abxc"


async def test_pages_are_turned_from_the_composer() -> None:
    app = ChatApp(script(100))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        top = app.view.scroll_y
        await pilot.press("pageup")
        await pilot.pause()
        assert app.view.scroll_y < top
        assert app.focused is app.composer.prompt


async def test_keys_of_the_app_are_not_taken() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        bound = {key for key, _ in app.composer.prompt._bindings}
        assert not bound & {"f1", "f2", "f3", "f4", "f5", "f6", "f7", "ctrl+p"}
        await pilot.press(*"abc", "shift+left", "ctrl+c")
        assert app.clipboard == "c"


async def test_keys_that_come_all_at_once_mean_what_they_say() -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/them")
        await pilot.pause()
        assert app.composer.popup_open
        app.composer.prompt.insert("e omni-light")  # its message is not handled yet
        app.composer.submit()
        await pilot.pause()
        assert app.ran == [("theme", "omni-light")]
