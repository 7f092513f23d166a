"""Random calls on cards of random sizes, read back: `python -m tests.proof.cards [CARDS] [SEED]`.

Every leaf of the arguments is in the painted cells, or the card counts it among what it hides. For each
ten cards one is shown whole as well (the full view): there every leaf and the exact text must be.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from textual.content import Content
from textual.pilot import Pilot

from omni_tui.face.approval.pending_call import PendingCallItem
from omni_tui.face.widgets.lines_view import LinesView
from tests.face.painted_cards import OneCard, a_card, call_with, check, not_found
from tests.face.random_cards import Maker, Table, cells

CARDS = 20_000
SAME_SIZE = 10
"""Cards that are drawn before the terminal takes another size."""
_VIEWS = 10
_ROWS = (8, 10, 15, 24, 45, 120, 200)


@dataclass
class Drawn:
    """How many cards were drawn, at how many sizes, and how many showed all."""

    cards: int = 0
    sizes: int = 0
    whole: int = 0


async def draw_cards(count: int, seed: int) -> Drawn:
    """Draw so many cards. Raises `AssertionError` for one that says more than its cells show."""
    chance, drawn, card = random.Random(seed), Drawn(), a_card()
    async with OneCard(card).run_test() as pilot:
        for number in range(count):
            if number % SAME_SIZE == 0:
                await _resize(pilot, chance)
                drawn.sizes += 1
            with _named(pilot, made := chance.getrandbits(40)):
                drawn.whole += check(card, Maker(made).arguments())
            drawn.cards += 1
    return drawn


async def draw_views(count: int, seed: int) -> None:
    """Show so many calls whole. Raises `AssertionError` for a part that is not there."""
    chance, view = random.Random(seed), LinesView()
    async with OneCard(view).run_test() as pilot:
        for number in range(count):
            if number % SAME_SIZE == 0:
                await _resize(pilot, chance)
            with _named(pilot, made := chance.getrandbits(40)):
                _check_view(view, Maker(made).arguments())


def _check_view(view: LinesView, arguments: Table) -> None:
    item = call_with(arguments)
    body = PendingCallItem(item).body(view.room)
    view.show([*body.arguments, *body.verdict, Content(item.arguments_json)])
    text = "\n".join(view.render_line(y).text for y in range(view.count))
    assert not_found(arguments, text) == []
    assert cells(item.arguments_json) in cells(text)


async def _resize(pilot: Pilot[None], chance: random.Random) -> None:
    await pilot.resize_terminal(chance.randint(24, 140), chance.choice(_ROWS))
    await pilot.pause()


@contextlib.contextmanager
def _named(pilot: Pilot[None], made: int) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        error.add_note(f"the arguments of Maker({made}), at {pilot.app.size}")
        raise


def main(count: int, seed: int) -> None:
    """Draw cards and full views, and print how many."""
    print(f"seed {seed}", flush=True)
    began, views = time.monotonic(), count // _VIEWS
    drawn = asyncio.run(draw_cards(count, seed))
    asyncio.run(draw_views(views, seed))
    cut = drawn.cards - drawn.whole
    print(
        f"{drawn.cards:,} cards at {drawn.sizes:,} sizes and {views:,} full views, "
        f"{time.monotonic() - began:.0f} s\n"
        f"{drawn.whole:,} showed all of their arguments, {cut:,} counted what they hid\n"
        "leaves that were neither shown nor counted: 0"
    )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else CARDS,
        int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9),
    )
