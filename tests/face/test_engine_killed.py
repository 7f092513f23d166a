"""When the engine is gone, nothing on the screen looks alive, and nothing waits for an answer."""

from __future__ import annotations

import msgspec
import pytest
from textual.pilot import Pilot

from omni_tui.face.messages import OpenTool
from omni_tui.face.panes.tools import ToolsPane
from omni_tui.face.screens.tool import ToolScreen
from omni_tui.protocol import Link, SafeText
from omni_tui.protocol.commands import CallTool, DecideCall, DescribeTool, Hello
from omni_tui.protocol.events import CommandDone
from tests.face import scenario
from tests.face.conftest import Face, until
from tests.face.fake import FakeLink
from tests.face.test_approvals_keys import arrive, pane_of
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
        await until(pilot, lambda: "restart it to learn the call's outcome" in screen_text(face.app))


async def test_before_the_engine_has_told_nobody_says_that_there_are_no_servers() -> None:
    face = Face()
    async with face.app.run_test(size=(160, 45)) as pilot:
        await pilot.pause()
        assert "No server" not in screen_text(face.app)
        face.link.emit(scenario.ready())
        await until(pilot, lambda: "No servers yet" in screen_text(face.app))
        assert SafeText("No server yet") in screen_text(face.app)


async def restarted(face: Face, pilot: Pilot[None], second: FakeLink) -> None:
    """Start the engine again, as a person does; `second` is the new one's link."""

    async def again() -> Link:
        return second

    face.app._restart = again
    await until(pilot, lambda: face.app.main.has_class("-engine-stopped"))
    await pilot.press("ctrl+r")
    await until(pilot, lambda: bool(second.sent(Hello)))
    await until(pilot, lambda: not face.app.main.has_class("-engine-stopped"))
    await until(pilot, lambda: second._queue.empty())


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize(("key", "word"), [("A", "approved"), ("R", "rejected")])
async def test_a_decision_that_nobody_heard_is_not_said_to_be_made(
    key: str, word: str, taken: bool
) -> None:
    face = Face(scenario.ready(), scenario.approval("c2"))
    face.link.answers[DecideCall] = lambda _command: []
    async with face.app.run_test(size=(160, 45)) as pilot:
        await arrive(face, pilot)
        if not taken:
            face.link.crash()
            await until(pilot, lambda: face.app.main.has_class("-engine-stopped"))
            face.clock.advance(1.0)
        await pilot.press(key)
        pane = pane_of(face)
        face.clock.advance(0.1)
        if taken:
            await until(pilot, lambda: bool(face.link.sent(DecideCall)))
            face.link.crash()
        await until(pilot, lambda: not pane.decision.holding and not pane.queue.deciding)
        await until(
            pilot, lambda: "may not have received" in "".join(told.words for told in face.app.toasts)
        )
        assert f"is {word}" not in screen_text(face.app)
        assert pane.queue.keys == ["c2"]


async def test_tools_are_counted_once_after_a_restart() -> None:
    face = Face(*scenario.whole())
    async with face.app.run_test(size=(160, 45)) as pilot:
        await face.settle(pilot)
        before = dict(face.app.overview.tools)
        cut = [msgspec.structs.replace(page, generation=7, last=False) for page in scenario.tools()]
        face.link.emit(*cut)
        await face.settle(pilot)
        face.link.crash()
        await restarted(face, pilot, FakeLink(scenario.whole(), now=scenario.NOW))
        assert face.app.overview.tools == before
        pane = face.app.main.pane("tools")
        assert isinstance(pane, ToolsPane)
        assert pane.index.count == sum(before.values())
