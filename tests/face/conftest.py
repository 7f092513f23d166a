"""What makes the face's tests steady: no motion, UTC, no settings of this machine, a clock that stands."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Any

import pytest
from textual import constants
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.face.approval.arming import Arming
from omni_tui.protocol import AnyEvent
from tests.face.fake import FakeClock, FakeLink
from tests.face.scenario import NOW

_parse = Stylesheet._parse_rules
_parsed: dict[Hashable, list[RuleSet]] = {}


def _parse_once(sheet: Stylesheet, css: str, *more: Any, **named: Any) -> list[RuleSet]:
    """Give the rules of a text that another app has parsed before: a third of what a test costs."""
    known = (frozenset(sheet._variables.items()), css, more, *sorted(named.items()))
    if known not in _parsed:
        _parsed[known] = _parse(sheet, css, *more, **named)
    return _parsed[known]


Stylesheet._parse_rules = _parse_once  # type: ignore[assignment, method-assign]


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(constants, "TEXTUAL_ANIMATIONS", "none")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Face:
    """An app over a scripted engine, and what tests ask of it."""

    def __init__(
        self, *events: AnyEvent, theme: str = "omni-dark", keys: str = "", folder: str = ""
    ) -> None:
        self.clock = FakeClock(NOW)
        self.link = FakeLink(events, now=NOW)
        self.links = [self.link]
        self.app = OmniApp(
            self.link,
            FaceOptions(theme=theme, config_path=keys, state_dir=folder),
            clock=self.clock,
        )

    async def settle(self, pilot: Pilot[None], events: int = 0) -> None:
        """Wait until everything the engine said has been drawn."""
        await until(pilot, lambda: self.link._queue.empty() and bool(self.link.commands))
        for _ in range(3):
            await pilot.pause()


@pytest.fixture
def make_face() -> type[Face]:
    return Face


async def until(pilot: Pilot[None], condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Let the app go on until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        await pilot.pause(0.005)
    await pilot.pause()


async def arm(face: Face, pilot: Pilot[None], arming: Arming) -> None:
    """Let time pass until a key counts. A picture that was painted late begins its quiet time anew."""

    def armed() -> bool:
        if not arming.armed:
            face.clock.advance(1.0)
        return arming.armed

    await until(pilot, armed)


Press = Callable[..., Awaitable[None]]
