"""A message over the screen goes when its time is over, and stops neither the app nor a careful person."""

from __future__ import annotations

from time import monotonic

import pytest
from textual.widgets._toast import Toast

from omni_tui.face.toasts import SteadyNotification
from tests.face.conftest import Face, until
from tests.face.scenario import ready


@pytest.mark.parametrize("late", [0.0, 4.9, 5.0, 5.1, 1e6])
def test_the_time_left_is_never_over(late: float) -> None:
    """A timer of Textual that begins with a time below zero counts for ever."""
    notification = SteadyNotification("x", timeout=5.0, began=monotonic() - late)
    assert notification.time_left > 0
    assert notification.has_expired == (late >= 5.0)


async def test_a_toast_that_is_mounted_after_its_time_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process was stopped, or the screen busy, between a message and its toast."""
    monkeypatch.setattr(SteadyNotification, "has_expired", property(lambda _: False))
    face = Face(ready())
    async with face.app.run_test(notifications=True) as pilot:
        face.app.notify("late", timeout=-3.0)
        await until(pilot, lambda: bool(face.app.screen.query(Toast)))
        await until(pilot, lambda: not face.app.screen.query(Toast))
