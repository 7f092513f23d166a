"""What a newcomer sees: whole sentences at every size, nothing cut or run together."""

from __future__ import annotations

import re

import msgspec
import pytest

from omni_tui.face import actions
from omni_tui.face.panes.chat import ChatPane
from omni_tui.face.screens.help import HelpScreen
from omni_tui.face.screens.welcome import _CHOICES, WelcomeScreen
from omni_tui.protocol import SafeText
from tests.face import scenario
from tests.face.conftest import Face
from tests.face.test_shell import screen_text

SIZES = [(60, 20), (80, 24), (120, 40), (160, 45), (240, 60)]


def words(face: Face) -> str:
    """Return what the screen shows as one line of words."""
    return " ".join(re.sub(r"[│▌▁▂▃▄▅▆▇█]", " ", screen_text(face.app)).split())


def columns(face: Face, left: int, width: int) -> str:
    """Return the words of some columns of the screen."""
    rows = screen_text(face.app).split("\n")
    return " ".join(" ".join(row[left : left + width].split()) for row in rows)


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_welcome_shows_every_choice_and_its_whole_text(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(WelcomeScreen())
        await pilot.pause()
        seen = words(face)
        for _name, title, text in _CHOICES:
            assert title in seen
            assert text in seen
        assert "esc closes" in seen


@pytest.mark.parametrize("size", [size for size in SIZES if size[0] >= 120], ids=str)
async def test_the_hints_of_empty_panes_are_whole_at_any_width(size: tuple[int, int]) -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        for pane, said in (
            ("approvals", "A call that needs approval is shown here exactly as it would be sent."),
            ("tools", "No server yet, so no tools. ctrl+p finds “add server” and “import servers”."),
            ("servers", "No servers yet. n adds one"),
        ):
            region = face.app.main.query_one(f"#{pane}").region
            assert said in columns(face, region.x, region.width), pane


@pytest.mark.parametrize("size", [(60, 20), (80, 24)], ids=str)
async def test_the_hint_of_empty_approvals_is_whole_on_a_small_screen(
    size: tuple[int, int],
) -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await pilot.press("f5")
        await pilot.pause()
        assert "A call that needs approval is shown here exactly as it would be sent." in words(face)


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_columns_of_the_help_do_not_collide(
    size: tuple[int, int],
) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(size[0], 400)) as pilot:
        await face.settle(pilot)
        await pilot.press("f4", "f1")
        await pilot.pause()
        assert isinstance(face.app.screen, HelpScreen)
        text = screen_text(face.app)
        seen = " ".join(text.split())
        for target in ("chat", "composer", "app"):
            for action in actions.for_target(target):
                if action.keys or action.slash:
                    assert action.description in seen
        for row in text.split("\n"):
            if found := re.match(r"    \S.*?(shift\+enter)(.*)", row):
                assert found[2].strip() == "" or found[2].startswith("  ")
        # What is broken goes on under its own beginning, not under the keys.
        rest = [row for row in text.split("\n") if row.startswith("  ") and "item_previous" in row]
        assert all(re.match(r"    ↑|\s{18,}", row) for row in rest)


async def test_a_key_file_is_one_dim_line_that_leaves_the_help_where_it_is() -> None:
    ready = msgspec.structs.replace(scenario.ready(), encryption=SafeText("key file"))
    face = Face(ready)
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        assert face.app.main.query_one(ChatPane).has_class("-empty")
        seen = words(face)
        assert "Nothing has been said yet." in seen
        assert "omni-tui doctor says how to keep it elsewhere." in seen
