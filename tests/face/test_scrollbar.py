"""A scroll bar is painted when, and where, it changes; what is seen is what Textual's own would show."""

from __future__ import annotations

import pytest
from textual.content import Content
from textual.scrollbar import ScrollBar

from omni_tui.face.widgets.rows import RowList
from omni_tui.face.widgets.scrollbar import CalmScrollBar
from tests.face.tool_app import ToolApp


class Rows(RowList):
    """A list of numbers, as high as there is room."""

    DEFAULT_CSS = "Rows { height: 1fr; }"

    def render_row(self, key: str, width: int, number: int) -> Content:
        return Content(key)


def _drawn(bar: ScrollBar) -> list[tuple[str, str]]:
    """The bar as it stands on the screen: text and style of each row."""
    x, y, _, height = bar.region
    strips = bar.screen._compositor.render_strips()[y : y + height]
    cells = [strip.crop(x, x + 1)._segments[0] for strip in strips]
    return [(cell.text, str(cell.style)) for cell in cells]


async def test_what_stays_the_same_is_not_painted_again() -> None:
    rows = Rows()
    async with ToolApp(rows).run_test(size=(20, 12)) as pilot:
        rows.set_keys([str(number) for number in range(100)])
        await pilot.pause()
        bar = rows.vertical_scrollbar
        assert isinstance(bar, CalmScrollBar)
        assert bar.display
        bar._exchange_repaint_regions()
        bar.refresh()
        assert not bar._repaint_regions
        bar.position = 40
        assert bar._repaint_regions
        assert sum(region.height for region in bar._repaint_regions) < bar.size.height


@pytest.mark.parametrize("position", [0, 1, 17, 44, 88])
async def test_a_bar_that_is_painted_in_part_is_as_one_painted_anew(position: int) -> None:
    rows = Rows()
    async with ToolApp(rows).run_test(size=(20, 12)) as pilot:
        rows.set_keys([str(number) for number in range(100)])
        await pilot.pause()
        for step in (30, 5, position):
            rows.scroll_to(y=step, animate=False)
            await pilot.pause()
        bar = rows.vertical_scrollbar
        seen = _drawn(bar)
        bar._set_dirty()
        assert seen == _drawn(bar)
        rows.set_keys([str(number) for number in range(140)])
        await pilot.pause()
        seen = _drawn(bar)
        bar._set_dirty()
        assert seen == _drawn(bar)


async def test_other_colours_paint_it_anew() -> None:
    rows = Rows()
    app = ToolApp(rows)
    async with app.run_test(size=(20, 12)) as pilot:
        rows.set_keys([str(number) for number in range(100)])
        await pilot.pause()
        before = _drawn(rows.vertical_scrollbar)
        app.theme = "omni-light"
        await pilot.pause()
        assert _drawn(rows.vertical_scrollbar) != before
