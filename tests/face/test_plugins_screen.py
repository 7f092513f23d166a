"""The screen of plugins: what each is, what is asked before one is enabled, and nothing invisible."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from omni_tui.face.screens.confirm import ConfirmScreen
from omni_tui.face.screens.plugins import PluginsScreen
from omni_tui.face.themes import PLUGIN_THEMES
from omni_tui.protocol import AnyCommand, AnyEvent, SafeText
from omni_tui.protocol.events import CommandDone, CommandFailed
from omni_tui.protocol.plugins import (
    CheckPlugin,
    DisablePlugin,
    EnablePlugin,
    ListPlugins,
    PluginChecked,
    PluginLine,
    PluginsChanged,
    PluginsListed,
)
from tests.face.conftest import Face, until
from tests.face.scenario import ready

DICE = PluginLine(
    name="dice", label=SafeText("dice"), package=SafeText("omni-tui-dice"), version="1.0", word="off"
)
ECHO = PluginLine(
    name="echo", label=SafeText("echo"), package=SafeText("omni-tui-echo"), version="2.0", word="on",
    summary=SafeText("Repeats what you say"), provides=(SafeText("model echo"),),
)  # fmt: skip
BAD = PluginLine(
    name="bad", label=SafeText("bad"), package=SafeText("bad"), version="1.0", word="faulty",
    reason=SafeText("its model failed: no luck"),
)  # fmt: skip
CHECKED = msgspec.structs.replace(
    DICE, summary=SafeText("Dice to roll"), provides=(SafeText("server dice"),),
    permissions=(SafeText("network"),),
)  # fmt: skip


class PluginEngine:
    """Answers the commands about plugins, and notes those that change something."""

    def __init__(self, face: Face, *plugins: PluginLine, problem: str = "") -> None:
        self.plugins = list(plugins)
        self.problem = problem
        self.switched: list[AnyCommand] = []
        face.link.answers[ListPlugins] = self._list
        face.link.answers[CheckPlugin] = self._check
        face.link.answers[EnablePlugin] = self._switch
        face.link.answers[DisablePlugin] = self._switch

    def _list(self, command: AnyCommand) -> Iterable[AnyEvent]:
        return [PluginsListed(plugins=tuple(self.plugins))]

    def _check(self, command: AnyCommand) -> Iterable[AnyEvent]:
        return [PluginChecked(plugin=CHECKED, problem=SafeText(self.problem))]

    def _switch(self, command: AnyCommand) -> Iterable[AnyEvent]:
        self.switched.append(command)
        if isinstance(command, DisablePlugin):
            return [CommandFailed(what=SafeText("it does not let go"))]
        self.plugins = [msgspec.structs.replace(CHECKED, word="on"), *self.plugins[1:]]
        return [PluginsChanged(), CommandDone(text=SafeText("the plugin dice is enabled: server dice"))]


async def opened(face: Face, pilot: Pilot[None]) -> PluginsScreen:
    await face.settle(pilot)
    await pilot.press("slash", *"plugins", "enter")
    if not isinstance(face.app.screen, PluginsScreen):  # the first one completed the command
        await pilot.press("enter")
    await until(pilot, lambda: isinstance(face.app.screen, PluginsScreen))
    screen = face.app.screen
    assert isinstance(screen, PluginsScreen)
    await until(pilot, lambda: screen.message == "")
    return screen


def listed(screen: PluginsScreen) -> list[str]:
    rows = screen.rows
    return [rows.render_line(y).text.rstrip() for y in range(rows.size.height)]


def detail(screen: PluginsScreen) -> str:
    return str(screen.query_one("#plugin-detail", Static).content)


async def test_each_row_says_what_a_plugin_is_and_whether_it_is_on() -> None:
    face = Face(ready())
    PluginEngine(face, DICE, ECHO, BAD)
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await opened(face, pilot)
        dice, echo, bad = (" ".join(row.split()) for row in listed(screen)[:3])
        assert (dice, echo) == ("○ dice 1.0 off", "● echo model echo 2.0 on")
        assert bad == "✗ bad 1.0 switched off"
        assert "not checked yet" in detail(screen)
        await pilot.press("end")
        await until(pilot, lambda: "its model failed: no luck" in detail(screen))


async def test_one_is_enabled_after_its_check_and_a_question() -> None:
    face = Face(ready())
    engine = PluginEngine(face, DICE, ECHO)
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        words = "\n".join(str(one.content) for one in face.app.screen.query(Static))
        assert "Enable the plugin dice?" in words
        assert "says it needs: network" in words
        assert "own rights" in words
        await pilot.press("n")
        await until(pilot, lambda: face.app.screen is screen)
        assert engine.switched == [], "looking is not enabling"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(face.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: bool(engine.switched))
        (sent,) = engine.switched
        assert isinstance(sent, EnablePlugin)
        assert (sent.name, sent.version) == ("dice", "1.0"), "the version that was shown"
        await until(pilot, lambda: "on" in listed(screen)[0].split())


async def test_a_failed_check_asks_nothing_and_says_why() -> None:
    face = Face(ready())
    engine = PluginEngine(face, DICE, problem="it imports what plugins may not")
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("e")
        await until(pilot, lambda: "it imports what plugins may not" in detail(screen))
        assert face.app.screen is screen
        assert engine.switched == []


async def test_a_refusal_of_the_engine_is_shown() -> None:
    face = Face(ready())
    PluginEngine(face, ECHO)
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        await pilot.press("d")
        await until(pilot, lambda: "it does not let go" in detail(screen))


@pytest.mark.parametrize("size", [(60, 20), (120, 40)])
async def test_hostile_words_of_a_plugin_show_nothing_invisible(size: tuple[int, int]) -> None:
    face = Face(ready())
    nasty = SafeText("[bold]no\u202e\u200b luck[/] " + "x" * 400)
    PluginEngine(face, msgspec.structs.replace(ECHO, summary=nasty, reason=nasty, provides=(nasty,)))
    async with face.app.run_test(size=size) as pilot:
        screen = await opened(face, pilot)
        await until(pilot, lambda: "<U+202E>" in detail(screen))
        shown = "\n".join(listed(screen)) + detail(screen)
        assert not {"\u202e", "\u200b"} & set(shown)
        assert "[bold]" in shown, "it is text, not markup"


async def test_without_plugins_it_says_how_to_get_one() -> None:
    face = Face(ready())
    PluginEngine(face)
    async with face.app.run_test(size=(80, 24)) as pilot:
        screen = await opened(face, pilot)
        assert "plugins install" in str(screen.query_one("#list-empty", Static).content)


async def test_a_theme_of_a_plugin_comes_and_goes_and_takes_no_name_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / PLUGIN_THEMES / "sunset"
    folder.mkdir(parents=True)
    (folder / "sunset.toml").write_text('primary = "#ff9e64"\n')
    (folder / "omni-dark.toml").write_text('primary = "#000000"\n')
    face = Face(ready(), folder=str(tmp_path))
    async with face.app.run_test(size=(80, 24)) as pilot:
        await face.settle(pilot)
        assert face.app.themes.load() == []
        assert "sunset" in face.app.themes.names
        assert face.app.get_theme("omni-dark").primary != "#000000"  # type: ignore[union-attr]
        (folder / "sunset.toml").unlink()
        face.link.emit(PluginsChanged())
        await until(pilot, lambda: face.app.themes.names == [])
        face.app.themes.load()
        assert "sunset" not in face.app.themes.names
