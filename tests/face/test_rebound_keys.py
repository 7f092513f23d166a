"""A person may change the keys: everywhere the screen names the key that works, and only that one works."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from omni_tui.face import actions
from omni_tui.face.approval.arming import Arming
from omni_tui.face.keys import check_keys, key_of, with_keys
from omni_tui.face.panes.approvals import ApprovalsPane
from omni_tui.face.panes.chat import ChatPane
from omni_tui.face.panes.servers import ServersPane
from omni_tui.face.panes.tools import ToolsPane
from omni_tui.face.screens.full_view import FullViewScreen
from omni_tui.face.screens.read_to_end import ReadToEndScreen
from omni_tui.protocol.commands import AllowServer, DecideCall
from omni_tui.protocol.rules import AdoptRule
from omni_tui.protocol.trust import AcceptTool
from tests.face import scenario
from tests.face.conftest import Face, arm, until
from tests.face.rules import RuleEngine, rule
from tests.face.scenario import approval, ready
from tests.face.test_approvals_keys import arrive, open_batch, pane_of
from tests.face.test_change_screen import opened as open_change
from tests.face.test_change_screen import pages, text
from tests.face.test_consent import ask, launch, waiting
from tests.face.test_hostile_text import drawn
from tests.face.test_rules_screen import opened as open_rules
from tests.face.test_rules_screen import said, shown

SIZE = (120, 40)
REBOUND = """[keys]
approve = "ctrl+y"
reject = "ctrl+x"
write_rule = "ctrl+w"
show_servers = "f7"
show_tools = "f8"
help = "f10"
palette = "ctrl+o"
close = "ctrl+b"
new_line = "ctrl+n"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "config.toml"
    file.write_text(REBOUND)
    return str(file)


def foot(face: Face) -> str:
    return drawn(face.app).rstrip().split("\n")[-1]


Decision = DecideCall | AllowServer | AcceptTool | AdoptRule


async def press_both(face: Face, pilot: Pilot[None], arming: Arming, kind: type[Decision]) -> None:
    """The key of before does nothing; the one that the person chose decides."""
    await arm(face, pilot, arming)
    await pilot.press("A")
    face.clock.advance(0.1)
    await pilot.pause()
    assert face.link.sent(kind) == []
    await arm(face, pilot, arming)
    await pilot.press("ctrl+y")
    face.clock.advance(0.1)
    await until(pilot, lambda: bool(face.link.sent(kind)))


async def test_the_batch(config: str) -> None:
    face = Face(ready(), *(approval(f"c{n}") for n in (2, 3)), keys=config)
    async with face.app.run_test(size=SIZE) as pilot:
        screen = await open_batch(face, pilot)
        await pilot.press("2")
        assert "^y approve all" in foot(face)
        await press_both(face, pilot, screen.arming, DecideCall)


async def test_the_change_and_the_consent(config: str) -> None:
    face = Face(ready(), approval(held=True, news="changed"), waiting(), keys=config)
    async with face.app.run_test(size=SIZE) as pilot:
        screen: ReadToEndScreen[None] = await open_change(face, pilot, pages(text()))
        assert "^y accept" in foot(face)
        await press_both(face, pilot, screen.arming, AcceptTool)
        await until(pilot, lambda: face.app.screen is not screen)
    face = Face(scenario.ready(), waiting(), keys=config)
    async with face.app.run_test(size=SIZE) as pilot:
        await pilot.press("f7")
        screen = await ask(face, pilot, launch())
        assert "^y allow it" in foot(face)
        await press_both(face, pilot, screen.arming, AllowServer)


async def test_the_rules(config: str) -> None:
    face = Face(ready(), keys=config)
    engine = RuleEngine(face)
    async with face.app.run_test(size=SIZE) as pilot:
        assert "ctrl+w on a waiting call" in said(await open_rules(face, pilot), "#list-empty")
        await pilot.press("escape")
        engine.rules = [rule("theirs", scope="project", state="proposed")]
        await open_rules(face, pilot)
        screen = await shown(face, pilot)
        assert "^y adopt" in foot(face)
        await press_both(face, pilot, screen.arming, AdoptRule)


async def test_the_card_and_the_full_view(config: str) -> None:
    long = {f"key{n}": "x" * 60 for n in range(60)}
    face = Face(ready(), approval("c2", long), keys=config)
    async with face.app.run_test(size=SIZE) as pilot:
        await arrive(face, pilot)
        card = " ".join(line.plain for line in pane_of(face).card._lines)
        assert "^y opens the full view" in " ".join(card.split())
        await pilot.press("ctrl+y")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        screen = face.app.screen
        assert isinstance(screen, FullViewScreen)
        await until(pilot, lambda: screen.view.count > 0)
        await pilot.press("end")
        await until(pilot, lambda: "^y approve" in foot(face) and "^x reject" in foot(face))
        await press_both(face, pilot, screen.arming, DecideCall)


async def test_hints_of_the_main_screen(config: str) -> None:
    face = Face(ready(), keys=config)
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        seen = drawn(face.app)
        for words in ("F8     call a tool", "F10    every key", "ctrl+n new line", "ctrl+o finds"):
            assert words in seen, words


@pytest.mark.parametrize("pane", [ApprovalsPane, ChatPane, ServersPane, ToolsPane])
def test_what_a_pane_is_for_names_the_keys_of_now(pane: type[ApprovalsPane | ChatPane]) -> None:
    named = set(re.findall(r"\{(\w+)\}", pane.HELP))
    assert named
    rebound = {name: f"ctrl+{chr(ord('a') + at)}" for at, name in enumerate(sorted(named))}
    for keymap in ({}, rebound):
        shown_text = with_keys(pane.HELP, keymap)
        for name in named:
            assert key_of(name, keymap, spelled=True) in shown_text


def test_a_former_name_of_an_action_still_names_it() -> None:
    keymap, problems = check_keys({"lane_alone": "ctrl+l"})
    assert (keymap, problems) == ({"agent_alone": "ctrl+l"}, [])
    names = [action.name for action in actions.all_actions()]
    assert not {action.former for action in actions.all_actions()} & set(names)


# --- no text names a key that can be another one -------------------------------------------------

FACE = Path(actions.__file__).parent
WHERE = ("panes", "screens", "approval", "transcript", "prompts_resources", "widgets", "commands")
OWN = {("rules.py", "R"), ("tool.py", "Y"), ("elicitation.py", "F7")}
"""Keys that belong to a screen and not to the registry."""


def strings(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module that may be painted: not docstrings, not the keys of bindings."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Binding":
            skipped.update(id(each) for each in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def test_no_text_names_a_key_of_the_registry() -> None:
    keys = {key for action in actions.all_actions() for key in action.keys.split(",")}
    function = "|".join(sorted(key.upper() for key in keys if re.fullmatch(r"f\d+", key)))
    capital = {key for key in keys if re.fullmatch("[A-Z]", key)}
    named = re.compile(rf"\b({function})\b|^({'|'.join(sorted(capital))}) (on|opens|counts|there|again)\b")
    found = {
        (file.name, words)
        for folder in WHERE
        for file in sorted((FACE / folder).glob("*.py"))
        for words in strings(ast.parse(file.read_text(encoding="utf-8")))
        if named.search(words) or words in capital
    }
    assert found <= OWN
