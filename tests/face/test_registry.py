"""Every action of the registry does something, by its command, its row in the palette and its key."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import Any, cast

import msgspec
import pytest
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import Input

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.screens.main import PaneName
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.lengths import some, times

PARTS = times(2, 4)
"""The actions are tried in so many tests, each in an app of its own."""
ALL = actions.all_actions()
BY_SLASH = some((one for one in ALL if one.slash and one.name != "quit"), 8)
BY_PALETTE = some((one for one in ALL if one.palette and one.name != "quit"), 8)
BY_KEY = some(
    (one for one in ALL if one.where in ("app", "servers", "tools") and one.keys and one.name != "quit"),
    16,
)


class Seen:
    """Stands before an action and keeps what became of it."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.calls = 0
        self.lost = 0
        self._method = method

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        done = self._method(*arguments)
        if not inspect.isawaitable(done):
            return done
        self.lost += 1
        return self._awaited(done)

    def _awaited(self, done: Any) -> Any:
        seen = self

        class Awaited:
            def __await__(self) -> Generator[Any, Any, Any]:
                seen.lost -= 1
                return done.__await__()  # type: ignore[no-any-return]

        return Awaited()


Watch = Callable[[Face, Action], Seen]


async def _back(face: Face, pilot: Pilot[None]) -> None:
    """Leave whatever the last action opened."""
    while len(face.app.screen_stack) > 1:
        face.app.pop_screen()
    face.app.go("chat")
    face.app.main.chat.composer.draft = ""
    await pilot.pause()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    def watched(face: Face, action: Action) -> Seen:
        if action.run is not None:
            seen = Seen(action.run)
            changed = msgspec.structs.replace(action, run=seen)
            monkeypatch.setitem(actions._registry, action.name, changed)
        else:
            widget = face.app.main.widget_of(action.where)
            seen = Seen(getattr(widget, f"action_{action.name}"))
            monkeypatch.setattr(widget, f"action_{action.name}", seen)
        return seen

    return watched


def _on_offer(face: Face, action: Action) -> bool | None:
    """Whether its key works now."""
    if action.run is not None:
        return face.app.check_action("run", (action.name,))
    return face.app.main.widget_of(action.where).check_action(action.name, ())


async def _happened(pilot: Pilot[None], seen: Seen, action: Action) -> None:
    try:
        await until(pilot, lambda: seen.calls > 0 and seen.lost == 0)
    except AssertionError:
        raise AssertionError(
            f"{action.name}: {seen.calls} calls, {seen.lost} of them not awaited"
        ) from None


@pytest.mark.every_case
@pytest.mark.parametrize("part", range(PARTS))
async def test_every_slash_command_runs_its_action(part: int, watch: Watch) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        for action in BY_SLASH[part::PARTS]:
            seen = watch(face, action)
            await pilot.press("slash", *action.slash, "enter")
            await pilot.pause()
            if not seen.calls and action.argument:  # the first one completed the command
                await pilot.press("enter")
            await _happened(pilot, seen, action)
            await _back(face, pilot)


@pytest.mark.every_case
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("words", ["title", "description"])
async def test_every_row_of_the_palette_runs_its_action(words: str, part: int, watch: Watch) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        for action in BY_PALETTE[part::PARTS]:
            seen = watch(face, action)
            await pilot.press("ctrl+p")
            line = face.app.screen.query_one(Input)
            line.value = action.title if words == "title" else action.description
            rows = face.app.screen.query_one(CommandList)
            await until(pilot, lambda rows=rows: rows.option_count > 0)  # type: ignore[misc]
            await pilot.press("enter")
            await _happened(pilot, seen, action)
            await _back(face, pilot)


@pytest.mark.every_case
@pytest.mark.parametrize("part", range(PARTS))
async def test_every_key_runs_its_action(part: int, watch: Watch) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        for action in BY_KEY[part::PARTS]:
            if action.where != "app":
                face.app.go(cast("PaneName", action.where))
                await pilot.press("home")
            seen = watch(face, action)
            if not _on_offer(face, action):
                continue  # not of the server the cursor is on, or the engine runs
            await pilot.press(action.keys.split(",")[0])
            await _happened(pilot, seen, action)
            await _back(face, pilot)


@pytest.mark.parametrize("way", ["command", "palette", "key"])
async def test_leaving_leaves(way: str) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        if way == "command":
            face.app.go("chat")
            await pilot.press(*"/quit", "enter")
        elif way == "palette":
            await pilot.press("ctrl+p", *"Quit Omni TUI")
            await until(pilot, lambda: face.app.screen.query_one(CommandList).option_count > 0)
            await pilot.press("enter")
        else:
            await pilot.press("ctrl+q")
        await until(pilot, lambda: face.app._exit)
