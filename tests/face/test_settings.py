"""The settings screen, with real keys."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from omni_tui.face.screens.settings import SettingsScreen
from omni_tui.protocol import JsonText, SafeText
from omni_tui.protocol.events import CommandDone, CommandFailed
from omni_tui.protocol.settings import ReadSettings, SettingInfo, SettingsRead, WriteSetting
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_shell import screen_text


def info(name: str, kind: str, value: str, **more: object) -> SettingInfo:
    given = {"description": SafeText(f"What {name} does."), "default_json": JsonText(value), **more}
    return SettingInfo(name=name, kind=kind, value_json=JsonText(value), **given)  # type: ignore[arg-type]


SETTINGS = (
    info("agent.max_steps", "whole", "25", live=True, limits=SafeText("at least 1")),
    info(
        "ui.bell", "switch", "true", file_json=JsonText("true"), layer="user", where=SafeText("/c.toml:3")
    ),
    info(
        "agent.mode", "choice", '"chat"', choices=("chat", "auto"), waits=True, file_json=JsonText('"auto"')
    ),
    info("agent.system_prompt", "text", '""'),
)


def face_with(fixed: str = "") -> Face:
    face = Face(scenario.ready())
    read = SettingsRead(settings=SETTINGS, file=SafeText("/c.toml"), fixed=SafeText(fixed))
    face.link.answers[ReadSettings] = lambda _: [read]
    face.link.answers[WriteSetting] = lambda _: [CommandDone(text=SafeText("it is written"))]
    return face


async def test_a_switch_a_choice_a_number_and_the_default_by_keys() -> None:
    face = face_with()
    async with face.app.run_test(size=(100, 30)) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(SettingsScreen())
        await until(pilot, lambda: "agent.max_steps" in screen_text(face.app))
        await pilot.press("enter")
        line = face.app.screen.query_one("#setting-line", Input)
        await until(pilot, lambda: line.has_focus and line.value == "25")
        await pilot.press("backspace", "backspace", "4", "0", "enter")
        await until(pilot, lambda: len(face.link.sent(WriteSetting)) == 1)
        await until(pilot, lambda: "it is written" in screen_text(face.app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(face.link.sent(WriteSetting)) == 2)
        await pilot.press("delete")
        await until(pilot, lambda: len(face.link.sent(WriteSetting)) == 3)
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(face.link.sent(WriteSetting)) == 4)
    assert [(each.name, each.value_json) for each in face.link.sent(WriteSetting)] == [
        ("agent.max_steps", "40"),
        ("ui.bell", "false"),
        ("ui.bell", ""),
        ("agent.mode", '"chat"'),
    ]


async def test_text_is_typed_without_quotes_and_escape_leaves_it() -> None:
    face = face_with()
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(SettingsScreen("system"))
        await until(pilot, lambda: "agent.system_prompt" in screen_text(face.app))
        await until(pilot, lambda: face.app.screen.query_one("#setting-rows").has_focus)
        await pilot.press("enter", "s", "a", "y", "escape")
        await pilot.press("enter")
        line = face.app.screen.query_one("#setting-line", Input)
        await until(pilot, lambda: line.has_focus and line.value == "")
        await pilot.press("quotation_mark", "h", "i", "enter")
        await until(pilot, lambda: bool(face.link.sent(WriteSetting)))
    assert [each.value_json for each in face.link.sent(WriteSetting)] == ['"\\"hi"']


async def test_a_mistake_is_said_and_the_line_stays() -> None:
    face = face_with()
    face.link.answers[WriteSetting] = lambda _: [CommandFailed(what=SafeText("must be at least 1"))]
    async with face.app.run_test(size=(100, 30)) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(SettingsScreen())
        await until(pilot, lambda: "agent.max_steps" in screen_text(face.app))
        await pilot.press("enter", "backspace", "backspace", "0", "enter")
        await until(pilot, lambda: "must be at least 1" in screen_text(face.app))
        assert face.app.screen.query_one("#setting-line", Input).value == "0"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_each_row_says_when_a_change_counts_and_where_it_is_from(
    size: tuple[int, int],
) -> None:
    face = face_with()
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(SettingsScreen())
        await until(pilot, lambda: "agent.max_steps" in screen_text(face.app))
        await pilot.press("down", "down")
        await until(pilot, lambda: "counts from the next start" in screen_text(face.app))
        shown = screen_text(face.app)
        assert "live" in shown
        assert "restart" in shown
        await pilot.press("up")
        await until(pilot, lambda: "from: user (/c.toml:3)" in screen_text(face.app))


async def test_what_is_fixed_cannot_be_changed() -> None:
    face = face_with("the demo leaves your config file alone")
    async with face.app.run_test(size=(100, 30)) as pilot:
        await face.settle(pilot)
        await face.app.push_screen(SettingsScreen())
        await until(pilot, lambda: "the demo leaves" in screen_text(face.app))
        await pilot.press("enter", "delete", "down", "enter")
        await pilot.pause()
    assert face.link.sent(WriteSetting) == []
