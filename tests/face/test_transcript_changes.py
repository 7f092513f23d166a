"""All that looks different is what the fold says has changed: the rest is not drawn again."""

from __future__ import annotations

import random

import pytest

from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_lines import draw_item
from omni_tui.face.transcript.item_types import AnyItem
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.base import Journalled
from tests.face import asks, plans, scenario
from tests.lengths import SEED, times

WIDTH = 80


def above(items: list[AnyItem], index: int) -> AnyItem | None:
    return next((item for item in reversed(items[:index]) if not item.hidden), None)


def rows(fold: Fold, index: int) -> list[str]:
    lines = draw_item(fold.items[index], above(fold.items, index), WIDTH, scenario.NOW)
    return [line.text.rstrip() for line in lines]


class Screen:
    """A transcript that draws only what the fold says has changed."""

    def __init__(self) -> None:
        self.fold = Fold()
        self.shown: list[list[str]] = []

    def apply(self, event: AnyEvent) -> None:
        self.fold.apply(event)

    def draw(self) -> None:
        changed = self.fold.with_next_shown(self.fold.take_changes())
        self.shown += [[] for _ in range(len(self.fold.items) - len(self.shown))]
        for index in changed:
            self.shown[index] = rows(self.fold, index)

    def assert_true(self, after: object) -> None:
        for index, shown in enumerate(self.shown):
            assert shown == rows(self.fold, index), f"{self.fold.items[index]!r} after {after!r}"


SESSIONS: dict[str, list[AnyEvent]] = {
    "conversation": [*scenario.conversation(), *scenario.after_approval()],
    "plan": [scenario.conversation()[0], *plans.running(), *plans.ended()],
    "edited plan": [
        *plans.begun(),
        plans.plan(),
        plans.plan(edited=True),
        *plans.running(),
        *plans.ended(),
    ],
    "requests": [scenario.conversation()[0], asks.asked(), asks.review(), *scenario.after_approval()],
}
"""Sessions as an engine tells them."""


def orders(events: list[AnyEvent]) -> list[list[AnyEvent]]:
    """Return a session in its own order, with what is not in the journal first, and mixed up."""
    live = [event for event in events if not isinstance(event, Journalled)]
    kept = [event for event in events if isinstance(event, Journalled)]
    mixed = []
    for number in range(times(10, 100)):
        chance = random.Random(f"{SEED}-{number}")
        mixed.append(chance.sample(events, len(events)))
    return [events, [*live, *kept], [*kept, *live], *mixed]


@pytest.mark.parametrize("name", SESSIONS)
def test_whatever_looks_different_was_said_to_have_changed(name: str) -> None:
    for order in orders(SESSIONS[name]):
        screen = Screen()
        for event in order:
            screen.apply(event)
            screen.draw()
            screen.assert_true(event)


def test_an_agent_that_spoke_before_its_plan_came_leaves_no_rows_behind() -> None:
    """Two drawings, the plan between them: its agents' lines move under their tasks."""
    screen = Screen()
    events = [*plans.running()]
    for event in orders(events)[1]:
        screen.apply(event)
        screen.draw()
    hidden = [shown for shown, item in zip(screen.shown, screen.fold.items, strict=True) if item.hidden]
    assert hidden
    assert not any(hidden)
