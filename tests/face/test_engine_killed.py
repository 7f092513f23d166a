"""When the engine is gone, nothing on the screen looks alive, and nothing waits for an answer."""

from __future__ import annotations

import pytest

from omni_tui.face.messages import OpenTool
from omni_tui.face.screens.tool import ToolScreen
from omni_tui.protocol import SafeText
from omni_tui.protocol.commands import CallTool, DescribeTool
from omni_tui.protocol.events import CommandDone
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.test_shell import screen_text
from tests.face.test_tool_screen import details

ALIVE = ("connecting", "active", "idle", "degraded", "needs_sign_in")


async def test_no_row_stays_green() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        assert any(server.state in ALIVE for server in face.app.overview.servers.values())
        face.link.crash()
        await until(pilot, lambda: "The engine stopped" in screen_text(face.app))
        assert not any(server.state in ALIVE for server in face.app.overview.servers.values())
        pane = face.app.main.pane("servers")
        assert not any(server.state in ALIVE for server in pane.servers.values())  # type: ignore[attr-defined]
        await until(pilot, lambda: "it ended" in screen_text(face.app))


async def opened(face: Face, pilot: object) -> ToolScreen:
    face.link.answers[DescribeTool] = lambda _command: [details()]
    face.app.post_message(OpenTool("files", "list", '{"path":"notes"}'))
    await until(pilot, lambda: isinstance(face.app.screen, ToolScreen))  # type: ignore[arg-type]
    screen = face.app.screen
    assert isinstance(screen, ToolScreen)
    await until(pilot, lambda: screen.form_ready)  # type: ignore[arg-type]
    return screen


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_an_open_form_says_so_at_once_and_sends_nothing(size: tuple[int, int]) -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=size) as pilot:
        await face.settle(pilot)
        await opened(face, pilot)
        face.link.crash()
        await until(pilot, lambda: "the engine stopped" in screen_text(face.app))
        face.link.closed = False  # the other end of a socket takes bytes for a while
        await pilot.press("f9")
        await until(pilot, lambda: "not sent" in screen_text(face.app))
        assert not face.link.sent(CallTool)


async def test_a_call_that_ran_is_not_counted_on_for_ever() -> None:
    face = Face(*scenario.whole())
    face.link.answers[CallTool] = lambda _command: [CommandDone(id="c-77")]
    async with face.app.run_test(size=(140, 40)) as pilot:
        await face.settle(pilot)
        screen = await opened(face, pilot)
        await pilot.press("f9")
        await until(pilot, lambda: screen.running is not None)
        face.link.crash()
        await until(pilot, lambda: "what became of the call" in screen_text(face.app))


async def test_before_the_engine_has_told_nobody_says_that_there_are_no_servers() -> None:
    face = Face()
    async with face.app.run_test(size=(160, 45)) as pilot:
        await pilot.pause()
        assert "No server" not in screen_text(face.app)
        face.link.emit(scenario.ready())
        await until(pilot, lambda: "No servers yet" in screen_text(face.app))
        assert SafeText("No server yet") in screen_text(face.app)
