"""What makes the face's tests steady: no motion, UTC, no settings of this machine, a clock that stands.

Each case of a test that runs an app costs a fifth of a second of a processor: a short run tries few.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from textual import constants
from textual.pilot import Pilot

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.face.approval.arming import Arming
from omni_tui.protocol import AnyEvent
from tests.face import shared_work
from tests.face.fake import FakeClock, FakeLink
from tests.face.scenario import NOW
from tests.lengths import LONG, some

CASES = 1
"""So many cases of a parametrised test that runs an app are tried in a short run."""
CASES_OF_APPROVING = 2
"""The same where somebody approves: the last case too."""
APPROVING = {
    "test_approvals_keys.py",
    "test_asks.py",
    "test_consent.py",
    "test_hostile_text.py",
    "test_plan_approvals.py",
    "test_rule_composer.py",
}
shared_work.share()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of a short run what a family of cases has beyond its number.

    Pictures are all drawn anew together: one that is left out would be wrong from then on.
    """
    if LONG or config.getoption("--snapshot-update", default=False):
        return
    families: defaultdict[tuple[Path, str], list[pytest.Function]] = defaultdict(list)
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and item.path.is_relative_to(Path(__file__).parent)
            and (iscoroutinefunction(item.function) or "snap_compare" in item.fixturenames)
            and item.get_closest_marker("every_case") is None
        ):
            families[item.path, item.originalname].append(item)
    left_out: set[pytest.Item] = set()
    for (path, _name), cases in families.items():
        left_out.update(cases)
        left_out.difference_update(some(cases, CASES_OF_APPROVING if path.name in APPROVING else CASES))
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


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
