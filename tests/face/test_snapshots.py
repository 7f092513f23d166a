"""Pictures of the face at three sizes; updated only with the Python they are made with."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from omni_tui.face.screens.elicitation import ElicitationScreen
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent, SafeText
from tests.face import asks, plans, scenario
from tests.face.conftest import Face, until

Snap = Callable[..., bool]
SIZES = {"80x24": (80, 24), "120x40": (120, 40), "160x45": (160, 45)}
LONG = {"path": "notes/long.md", "content": "\n".join(f"line {n} of a long note" for n in range(80))}


@pytest.fixture(autouse=True)
def _one_python(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--snapshot-update") and sys.version_info[:2] != (3, 11):
        pytest.fail("pictures are made with Python 3.11")


def take(
    snap: Snap,
    size: str,
    events: Iterable[AnyEvent],
    *keys: str,
    theme: str = "omni-dark",
    then: Callable[[Face, Pilot[None]], Awaitable[None]] | None = None,
) -> bool:
    face = Face(*events, theme=theme)

    async def before(pilot: Pilot[Any]) -> None:
        await face.settle(pilot)
        await pilot.press(*keys)
        face.clock.advance(1.0)
        await pilot.pause()
        if then is not None:
            await then(face, pilot)
        for rows in face.app.main.query(RowList):
            rows.refresh()  # ages and countdowns otherwise follow a timer of their own
        await pilot.pause()

    return snap(face.app, terminal_size=SIZES[size], run_before=before)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pane", ["servers", "tools", "chat", "approvals"])
def test_panes(snap_compare: Snap, size: str, pane: str) -> None:
    key = {"servers": "f2", "tools": "f3", "chat": "f4", "approvals": "f5"}[pane]

    async def armed(face: Face, pilot: Pilot[None]) -> None:
        if pane == "approvals":
            await until(pilot, lambda: face.app.main.pane("approvals")._was_armed)  # type: ignore[attr-defined]

    assert take(snap_compare, size, scenario.whole(), key, then=armed)


@pytest.mark.parametrize("size", SIZES)
def test_empty(snap_compare: Snap, size: str) -> None:
    assert take(snap_compare, size, [scenario.ready()])


@pytest.mark.parametrize("theme", ["omni-light", "high-contrast", "terminal"])
def test_themes(snap_compare: Snap, theme: str) -> None:
    assert take(snap_compare, "120x40", scenario.whole(), theme=theme)


@pytest.mark.parametrize("size", ["80x24", "160x45"])
def test_what_does_not_fit(snap_compare: Snap, size: str) -> None:
    assert take(
        snap_compare, size, [scenario.ready(), scenario.approval("c1", LONG, tool="write_file")], "f5"
    )


@pytest.mark.parametrize("size", ["80x24", "120x40"])
def test_help(snap_compare: Snap, size: str) -> None:
    assert take(snap_compare, size, scenario.whole(), "f5", "f1")


@pytest.mark.parametrize("size", ["80x24", "120x40"])
def test_first_run(snap_compare: Snap, size: str) -> None:
    assert take(snap_compare, size, [scenario.ready(first_run=True)])


def test_the_engine_is_gone(snap_compare: Snap) -> None:
    async def crash(face: Face, pilot: Pilot[None]) -> None:
        face.link.crash()
        await until(pilot, lambda: face.app.main.has_class("-engine-stopped"))

    assert take(snap_compare, "120x40", scenario.whole(), then=crash)


def test_a_grave_call(snap_compare: Snap) -> None:
    item = scenario.approval(
        "c1", {"path": "notes\u202e/old.md", "recursive": True, "depth": 3}, tool="delete_file",
        label="delete_file", risk="destructive", held=True, differs=True,
        description="Delete a file for good.", trust="changed since 3 Nov",
    )  # fmt: skip
    assert take(snap_compare, "160x45", [scenario.ready(), *scenario.servers(), item], "f5")


QUESTIONS = {
    "form": asks.asked("form", call="c1"),
    "url": asks.asked("url", why=(SafeText("the page is on another host than the server"),)),
    "sampling": asks.asked("sampling"),
    "review": asks.review(edited=True),
    "refused": asks.asked("form", refused=SafeText("it asks for a password, which no form may do")),
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_questions(snap_compare: Snap, kind: str) -> None:
    async def armed(face: Face, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: face.app.main.pane("approvals")._was_armed)  # type: ignore[attr-defined]

    events = [*scenario.whole(), QUESTIONS[kind]]
    assert take(snap_compare, "120x40", events, "f5", "end", then=armed)


def test_the_form_of_a_question(snap_compare: Snap) -> None:
    async def filled(face: Face, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: face.app.main.pane("approvals")._was_armed)  # type: ignore[attr-defined]
        await pilot.press("A")
        face.clock.advance(0.1)
        await until(pilot, lambda: isinstance(face.app.screen, ElicitationScreen))
        await until(pilot, lambda: face.app.screen.focused is not None)
        await pilot.press(*"A", "f9")
        screen = face.app.screen
        assert isinstance(screen, ElicitationScreen)
        await until(pilot, lambda: screen.form.problems == 1)

    events = [scenario.ready(), *scenario.servers(), QUESTIONS["form"]]
    assert take(snap_compare, "120x40", events, "f5", then=filled)


BEFORE_A_PLAN = [
    scenario.ready(mode="orchestrator"),
    *scenario.servers(),
    msgspec.structs.replace(scenario.conversation()[0], mode="orchestrator"),
]


@pytest.mark.parametrize("size", ["80x24", "160x45"])
def test_a_plan_that_waits(snap_compare: Snap, size: str) -> None:
    assert take(snap_compare, size, [*BEFORE_A_PLAN, *plans.begun(), plans.plan()], "f5")


async def tick(face: Face, pilot: Pilot[None]) -> None:
    """Bring what counts seconds up to the clock: its own timers follow the wall's."""
    chat = face.app.main.pane("chat")
    chat.transcript._tick()  # type: ignore[attr-defined]
    chat._show_state()  # type: ignore[attr-defined]
    await pilot.pause()


@pytest.mark.parametrize("size", ["80x24", "160x45"])
def test_a_plan_at_work(snap_compare: Snap, size: str) -> None:
    asked = scenario.approval("c9", turn="t1", agent="root/p2/t4")
    assert take(snap_compare, size, [*BEFORE_A_PLAN, *plans.running(), asked], "f4", then=tick)


def test_a_lane_unfolded(snap_compare: Snap) -> None:
    async def unfold(face: Face, pilot: Pilot[None]) -> None:
        view = face.app.main.pane("chat").transcript  # type: ignore[attr-defined]
        view.focus()
        await pilot.pause()
        view.put_cursor(6)
        await pilot.press("space")
        await tick(face, pilot)

    assert take(snap_compare, "120x40", [*BEFORE_A_PLAN, *plans.running()], "f4", then=unfold)


def test_another_wording(snap_compare: Snap) -> None:
    async def reword(face: Face, pilot: Pilot[None]) -> None:
        face.app.run_named("edit_message")
        chat = face.app.main.pane("chat")
        await until(pilot, lambda: chat.edit_banner is not None)  # type: ignore[attr-defined]

    events = [*BEFORE_A_PLAN, *plans.running(), *plans.ended()]
    assert take(snap_compare, "120x40", events, "f4", then=reword)


def test_too_small(snap_compare: Snap) -> None:
    face = Face(*scenario.whole())
    assert snap_compare(face.app, terminal_size=(58, 14), run_before=lambda pilot: face.settle(pilot))
