"""The names of files after `/save` and `/load`: listed and completed, never run by mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.widgets import OptionList

from omni_tui.face.widgets.file_names import MOST_READ, matching_files, read_folder, typed_file
from tests.face.chat_app import ChatApp
from tests.face.conftest import until


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with files and a folder."""
    for name in ("talk one.json", "talk-two.md", "other.json", ".hidden.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "deep.json").write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(app: ChatApp) -> list[str]:
    options = app.composer.query_one("#composer-commands", OptionList)
    return [
        str(options.get_option_at_index(at).prompt).split("   ")[0] for at in range(options.option_count)
    ]


async def test_names_are_listed_and_tab_completes_them_down_a_folder(here: Path) -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/load t")
        await until(pilot, lambda: app.composer.popup_open)
        assert rows(app) == ["talk one.json", "talk-two.md", "talks/"]
        await pilot.press("up", "tab")
        await until(pilot, lambda: app.composer.popup_open and rows(app) == ["deep.json"])
        assert app.chat.draft == "/load talks/"
        await pilot.press("tab")
        await pilot.pause()
        assert app.chat.draft == "/load talks/deep.json"
        assert not app.composer.popup_open
        await pilot.press("enter")
        await pilot.pause()
        assert app.ran == [("load_conversation", "talks/deep.json")]


async def test_enter_runs_what_is_written_unless_a_name_was_picked(here: Path) -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/save talk")  # a name of its own, not that of a file that is there
        await until(pilot, lambda: app.composer.popup_open)
        await pilot.press("enter")
        await pilot.pause()
        assert app.ran == [("save_conversation", "talk")]
        await pilot.press(*"/load talk")
        await until(pilot, lambda: app.composer.popup_open)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.chat.draft == "/load talk-two.md"
        assert len(app.ran) == 1


async def test_names_come_also_where_enter_and_letters_outrun_the_disk(here: Path) -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/load other.json", "enter")
        await pilot.pause()
        assert app.ran == [("load_conversation", "other.json")]
        assert not app.composer.popup_open


async def test_no_list_where_no_file_is_meant(here: Path) -> None:
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for text in ("/pin t", "look at t", "/call t"):
            app.chat.draft = text
            await pilot.pause()
            assert not app.composer.popup_open, text
    assert typed_file("/load a\nb") is None


def test_hidden_names_come_when_they_are_begun_and_case_does_not_matter(here: Path) -> None:
    folder = read_folder("")
    assert [one.written for one in matching_files("load", "", folder, 50)] == [
        "other.json", "talk one.json", "talk-two.md", "talks/",
    ]  # fmt: skip
    assert [one.written for one in matching_files("load", ".h", folder, 50)] == [".hidden.json"]
    assert [one.written for one in matching_files("load", "OTH", folder, 50)] == ["other.json"]
    assert matching_files("load", "other.json", folder, 50) == []
    assert len(matching_files("load", "", folder, 2)) == 2


def test_the_home_and_absolute_folders_are_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert ("talks", True) in read_folder("~/").entries
    [found] = matching_files("load", f"{here}/oth", read_folder(f"{here}/"), 50)
    assert found.written == f"{here}/other.json"


@pytest.mark.parametrize(
    "written", ["nowhere/", "other.json/", "~nobody-has-this-name/", "a\0b/", "x" * 5_000 + "/"]
)
def test_a_folder_that_cannot_be_read_has_no_names(here: Path, written: str) -> None:
    assert read_folder(written).entries == ()


def test_names_that_cannot_be_shown_as_they_are_are_left_out(tmp_path: Path) -> None:
    names = [
        "fine.json",
        "esc\x1b]0;x\x07.json",
        "line\nbreak.json",
        "bidi\u202etxt.json",
        " space.json",
        "[red]x",
    ]
    for name in names:
        (tmp_path / name).write_text("x")
    (tmp_path / os.fsdecode(b"half\xff.json")).write_text("x")
    (tmp_path / "round").symlink_to(tmp_path / "round")  # a link to itself
    found = read_folder(f"{tmp_path}/").entries
    assert [name for name, _ in found] == ["[red]x", "fine.json", "round"]


async def test_a_name_is_shown_as_it_is_and_not_as_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[red]x.json").write_text("x")
    app = ChatApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"/load [")
        await until(pilot, lambda: app.composer.popup_open)
        assert rows(app) == ["[red]x.json"]


def test_of_a_very_large_folder_only_some_names_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (tmp_path / f"{number}.json").write_text("x")
    monkeypatch.setattr("omni_tui.face.widgets.file_names.MOST_READ", 7)
    assert len(read_folder(f"{tmp_path}/").entries) == 7
    assert MOST_READ >= 1_000
