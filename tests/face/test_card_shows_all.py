"""What a card says of itself is true cell by cell: whatever the arguments are, at whatever size.

`OMNI_TUI_CARDS=20000 pytest -s tests/face/test_card_shows_all.py` tries as many cards as it is told.
"""

from __future__ import annotations

import os
import random
import re
import sys

import msgspec
import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget

from omni_tui.face.approval.arming import Arming
from omni_tui.face.approval.calls import compose_body
from omni_tui.face.approval.card import Card
from omni_tui.face.approval.keys import key_lines
from omni_tui.face.themes import fallback_variables
from omni_tui.face.widgets.lines import LinesView
from omni_tui.protocol import JsonText
from omni_tui.protocol.events import ApprovalRequested
from tests.face.fake import FakeClock
from tests.face.random_cards import Maker, Table, cells, missing, missing_of_edit, sent
from tests.face.scenario import approval

CARDS = int(os.environ.get("OMNI_TUI_CARDS", "200"))
pytestmark = pytest.mark.timeout(max(120, CARDS))
SIZES = 8
"""How many sizes are tried; the cards are shared out among them."""


class OneCard(App[None]):
    """A card, or the view that shows the whole of an item, over the whole terminal."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return fallback_variables()

    def compose(self) -> ComposeResult:
        yield self.widget


def say(words: str) -> None:
    """Tell whoever runs this with `-s` how much was tried."""
    sys.stdout.write(f"\n{words}")


def a_card() -> Card:
    arming = Arming(FakeClock(0.0))

    def keys() -> list[Content]:
        assert card.item is not None
        return key_lines(card.item, lambda name: name[0], "$done", card.size.width)

    card = Card(arming, keys, lambda: [])
    return card


def call_with(arguments: Table) -> ApprovalRequested:
    text = sent(arguments)
    return msgspec.structs.replace(approval("c1"), arguments_json=JsonText(text), size=len(text))


def painted(widget: Widget) -> str:
    """Return the text of every cell of a widget, as it is painted."""
    width, height = widget.outer_size
    return "\n".join(strip.text for strip in widget.render_lines(Region(0, 0, width, height)))


def not_found(arguments: Table, text: str) -> list[list[str]]:
    """Return for each argument that is not in the cells what is missing of it."""
    seen = cells(text)
    if len({key for key, _value in arguments}) == 3 and arguments[0][0] in ("oldText", "old_str", "search"):
        edit = missing_of_edit(arguments, seen)
        lost = [edit, edit, missing(*arguments[2], seen)]
    else:
        lost = [missing(key, value, seen) for key, value in arguments]
    return [each for each in lost if each]


def check(card: Card, arguments: Table) -> bool:
    """Hold what the card says against what it painted; True if it says that all is there."""
    card.show(call_with(arguments))
    text = painted(card)
    lost, words = not_found(arguments, text), cells(text)
    count = len(arguments)
    claims = {0: "ittakesnoarguments", 1: "theoneargumentisshown"}.get(count, f"all{count}argumentsshown")
    whole = card._arming.painted is not None and card._arming.painted.whole
    assert (claims in words) == whole, text
    if whole:
        assert lost == [], text
    elif count > 1 and lost:
        counted = re.search(rf"(\d+)of{count}argumentsnotshownwhole", words)
        assert counted is not None, text
        assert int(counted.group(1)) >= len(lost), (lost, text)
    else:
        assert re.search(r"…\d+morelines?", words) is not None, text
    return whole


@pytest.mark.parametrize("part", range(SIZES))
async def test_every_leaf_is_in_the_cells_or_counted_as_not_shown(part: int) -> None:
    size = random.Random(part)
    width, height = size.randint(24, 140), size.choice((8, 15, 24, 45, 200))
    card, wholes, cards = a_card(), 0, max(1, CARDS // SIZES)
    async with OneCard(card).run_test(size=(width, height)) as pilot:
        await pilot.pause()
        for seed in range(cards):
            wholes += check(card, Maker(part * 1_000_000 + seed).arguments())
    say(
        f"{cards} cards at {width}x{height}: {wholes} whole, {cards - wholes} cut, every leaf accounted for"
    )


@pytest.mark.parametrize("part", range(SIZES))
async def test_the_whole_view_paints_every_leaf_and_the_exact_text(part: int) -> None:
    size = random.Random(100 + part)
    width, height = size.randint(24, 140), size.choice((8, 15, 24, 45))
    view, cards = LinesView(), max(1, CARDS // SIZES // 4)
    async with OneCard(view).run_test(size=(width, height)) as pilot:
        await pilot.pause()
        for seed in range(cards):
            arguments = Maker(part * 1_000_000 + seed).arguments()
            item = call_with(arguments)
            body = compose_body(item, view.room)
            view.show([*body.arguments, *body.verdict, Content(item.arguments_json)])
            text = "\n".join(view.render_line(y).text for y in range(view.count))
            assert not_found(arguments, text) == []
            assert cells(item.arguments_json) in cells(text)
    say(f"{cards} whole views at {width}x{height}: every leaf painted")
