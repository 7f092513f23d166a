"""Keys typed while a form opens are in the form when it is there, and nowhere else."""

from __future__ import annotations

from typing import Any

import msgspec
from textual import events
from textual.pilot import Pilot

from omni_tui.face.form.arguments_form import ArgumentsForm
from omni_tui.face.messages import OpenTool
from omni_tui.face.screens.server_form import ServerFormScreen
from omni_tui.face.screens.tool import ToolScreen
from omni_tui.protocol import AnyCommand, SafeText
from omni_tui.protocol.commands import CallTool, DecideCall, DescribeTool, SendMessage
from omni_tui.protocol.events import CommandFailed
from omni_tui.protocol.server_settings import ReadServer, ServerRead, ServerSettings
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_tool_screen import details


def at_once(face: Face, *keys: str) -> None:
    """Have keys arrive as fast as somebody types who knows the way."""
    driver = face.app._driver
    assert driver is not None
    for key in keys:
        driver.send_message(events.Key(key, key if len(key) == 1 else None))


class Later:
    """An engine that answers one kind of command when the test says so."""

    def __init__(self, face: Face, kind: type[Any]) -> None:
        self.asked: list[AnyCommand] = []
        self._face = face
        face.link.answers[kind] = self._ask

    def _ask(self, command: AnyCommand) -> list[Any]:
        self.asked.append(command)
        return []

    def answer(self, reply: Any) -> None:
        self._face.link.emit(msgspec.structs.replace(reply, request=self.asked[-1].request))


async def opened(face: Face, pilot: Pilot[None], later: Later) -> ToolScreen:
    await face.settle(pilot)
    face.app.post_message(OpenTool("files", "list"))
    await until(pilot, lambda: bool(later.asked))
    screen = face.app.screen
    assert isinstance(screen, ToolScreen)
    return screen


async def test_what_is_typed_before_the_schema_is_there_is_in_the_first_field() -> None:
    face = Face(*scenario.whole())
    later = Later(face, DescribeTool)
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await opened(face, pilot, later)
        at_once(face, *"docz", "backspace", *"s")
        await pilot.pause()
        later.answer(details())
        at_once(face, *"/more", "tab", "9")
        await until(pilot, lambda: bool(screen.query(ArgumentsForm)))
        form = screen.query_one(ArgumentsForm)
        await until(pilot, lambda: '"docs/more"' in (form.arguments_json or ""))
        assert not face.link.sent(CallTool)


async def test_what_is_typed_before_moves_between_fields_as_it_would_later() -> None:
    face = Face(*scenario.whole())
    later = Later(face, DescribeTool)
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await opened(face, pilot, later)
        at_once(face, *"docs", "tab")
        at_once(face, "backspace", "7")
        await pilot.pause()
        later.answer(details())
        await until(pilot, lambda: bool(screen.query(ArgumentsForm)))
        form = screen.query_one(ArgumentsForm)
        await until(pilot, lambda: (form.arguments_json or "") == '{"path":"docs","depth":7}')


async def test_a_form_that_is_closed_before_it_is_there_leaves_nothing_behind() -> None:
    face = Face(*scenario.whole())
    later = Later(face, DescribeTool)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await opened(face, pilot, later)
        draft = face.app.main.chat.draft
        at_once(face, *"AAR", "escape")
        await until(pilot, lambda: face.app.screen is face.app.main)
        later.answer(details())
        await face.settle(pilot)
        assert face.app.main.chat.draft == draft
        assert not face.link.sent(DecideCall)
        assert not face.link.sent(SendMessage)


async def test_a_form_that_does_not_come_takes_no_keys() -> None:
    face = Face(*scenario.whole())
    later = Later(face, DescribeTool)
    async with face.app.run_test(size=(120, 40)) as pilot:
        screen = await opened(face, pilot, later)
        at_once(face, *"docs")
        await pilot.pause()
        later.answer(CommandFailed(what=SafeText("files is not connected")))
        await until(pilot, lambda: screen.form_ready)
        await face.settle(pilot)
        assert not face.link.sent(CallTool)
        assert not face.app.keys_wait


async def test_a_servers_form_gets_what_was_typed_too() -> None:
    face = Face(*scenario.whole())
    later = Later(face, ReadServer)
    async with face.app.run_test(size=(120, 40)) as pilot:
        await face.settle(pilot)
        screen = ServerFormScreen("git")
        face.app.push_screen(screen)
        await until(pilot, lambda: bool(later.asked))
        at_once(face, *"-new")
        await pilot.pause()
        later.answer(ServerRead(name="git", settings=ServerSettings(command="git-mcp"), revision="r"))
        await until(pilot, lambda: screen._row("command").value == "git-mcp-new")
