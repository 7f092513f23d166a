"""Every action of the registry does something, by its command, its row in the palette and its key."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

import pytest
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import Input

from omni_tui.face import actions
from omni_tui.face.actions import Action
from omni_tui.face.panes import approvals, chat, servers, tools  # noqa: F401 - they add their actions
from tests.face import scenario
from tests.face.conftest import Face, until

ALL = actions.all_actions()


class Seen:
    """Stands before an action and keeps what became of it."""

    def __init__(self, owner: Any, name: str) -> None:
        self.calls = 0
        self.lost = 0
        self._method = getattr(owner, f"action_{name}")
        setattr(owner, f"action_{name}", self)

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


async def _begin(face: Face, pilot: Pilot[None], action: Action) -> Seen:
    await face.settle(pilot)
    owner = face.app.owner_of(action)
    assert owner is not None, f"nothing has an action_{action.name}"
    return Seen(owner, action.name)


async def _happened(pilot: Pilot[None], seen: Seen) -> None:
    await until(pilot, lambda: seen.calls > 0)
    await until(pilot, lambda: seen.lost == 0)


@pytest.mark.parametrize("action", [one for one in ALL if one.slash], ids=lambda one: one.name)
async def test_a_slash_command_runs_its_action(action: Action) -> None:
    face = Face(*scenario.everything())
    async with face.app.run_test(size=(120, 40)) as pilot:
        seen = await _begin(face, pilot, action)
        face.app.go("chat")
        await pilot.press("slash", *action.slash, "space", "enter")
        await _happened(pilot, seen)


@pytest.mark.parametrize("action", [one for one in ALL if one.palette], ids=lambda one: one.name)
async def test_a_row_of_the_palette_runs_its_action(action: Action) -> None:
    face = Face(*scenario.everything())
    async with face.app.run_test(size=(120, 40)) as pilot:
        seen = await _begin(face, pilot, action)
        await pilot.press("ctrl+p")
        line = face.app.screen.query_one(Input)
        await pilot.press(*(character for character in action.description))
        assert line.value == action.description
        rows = face.app.screen.query_one(CommandList)
        await until(pilot, lambda: rows.option_count > 0)
        await pilot.press("enter")
        await _happened(pilot, seen)


@pytest.mark.parametrize("action", [one for one in ALL if one.target == "app" and one.keys], ids=lambda one: one.name)
async def test_a_key_of_the_app_runs_its_action(action: Action) -> None:
    face = Face(*scenario.everything())
    async with face.app.run_test(size=(120, 40)) as pilot:
        if action.name == "restart":
            await face.settle(pilot)
            face.app._engine_gone = True
        seen = await _begin(face, pilot, action)
        await pilot.press(action.keys.split(",")[0])
        await _happened(pilot, seen)


@pytest.mark.parametrize("way", ["command", "palette", "key"])
async def test_leaving_leaves(way: str) -> None:
    face = Face(*scenario.everything())
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        if way == "command":
            face.app.go("chat")
            await pilot.press(*"/quit", "enter")
        elif way == "palette":
            await pilot.press("ctrl+p", *"Leave Omni TUI")
            await until(pilot, lambda: face.app.screen.query_one(CommandList).option_count > 0)
            await pilot.press("enter")
        else:
            await pilot.press("ctrl+q")
        await until(pilot, lambda: face.app._exit)
