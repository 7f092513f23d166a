"""What the screen says heals by itself, though the sheet on top closes before the next frame."""

from __future__ import annotations

import pytest
from textual.screen import ModalScreen, Screen

from omni_tui.face.panes.servers import ServersPane
from omni_tui.face.panes.tools import ToolsPane
from omni_tui.face.widgets.footer import FooterBar
from omni_tui.face.widgets.next_frame import NextFrameCall
from omni_tui.face.widgets.rows import RowList
from omni_tui.face.widgets.status import StatusBar
from omni_tui.protocol.events import ModeChanged
from tests.face import scenario
from tests.face.conftest import Face, until

SIZE = (120, 40)


class _Closing(Screen[None]):
    """Drops what is to be called after its next frame, as a sheet does that closes before it."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0

    def _invoke_later(self, callback: object, sender: object) -> None:
        self.dropped += 1


class Sheet(_Closing):
    """A sheet over everything."""


class Overlay(_Closing, ModalScreen[None]):
    """A sheet that what lies below shines through."""


async def test_a_redraw_asked_for_under_a_sheet_that_closes_at_once_still_comes() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        drawn: list[int] = []
        soon = NextFrameCall(face.app.main, lambda: drawn.append(1))
        sheet = Sheet()
        await face.app.push_screen(sheet)
        for _ in range(5):
            soon.ask()
        await until(pilot, lambda: sheet.dropped > 0)
        face.app.pop_screen()
        await until(pilot, lambda: bool(drawn))
        assert drawn == [1]
        soon.ask()  # and it can be asked for again
        await until(pilot, lambda: len(drawn) == 2)


async def test_a_redraw_of_what_has_gone_is_none() -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        footer = face.app.main.query_one(FooterBar)
        drawn: list[int] = []
        soon = NextFrameCall(footer, lambda: drawn.append(1))
        await footer.remove()
        soon.ask()
        later: list[int] = []
        NextFrameCall(face.app.main, lambda: later.append(1)).ask()
        await until(pilot, lambda: bool(later))
        assert drawn == []


@pytest.mark.parametrize("kind", [Sheet, Overlay])
async def test_bars_and_panes_are_right_after_a_sheet_was_there_for_a_moment(
    kind: type[_Closing],
) -> None:
    face = Face(scenario.ready())
    async with face.app.run_test(size=SIZE) as pilot:
        await face.settle(pilot)
        main = face.app.main
        servers, tools = main.query_one(ServersPane), main.query_one(ToolsPane)
        sheet = kind()
        await face.app.push_screen(sheet)
        for event in (*scenario.servers(), *scenario.tools(), ModeChanged(mode="auto")):
            face.app.deliver(event)
        face.app.flushed()
        await until(pilot, lambda: sheet.dropped > 2)
        face.app.pop_screen()
        await until(pilot, lambda: "AUTO" in main.query_one(StatusBar).render().plain)
        await until(pilot, lambda: len(servers.query_one(RowList).keys) == len(servers.servers) > 0)
        await until(pilot, lambda: tools.count > 0 and not tools.query_one("#tools-empty").display)
