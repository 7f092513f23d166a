"""Pictures of the face at three sizes; updated only with the Python they are made with."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from omni_tui.face.screens.audit import AuditScreen
from omni_tui.face.screens.elicitation import ElicitationScreen
from omni_tui.face.screens.rule_composer import RuleComposerScreen
from omni_tui.face.screens.rules import RulesScreen
from omni_tui.face.widgets.block_view import BlockView
from omni_tui.face.widgets.rows import RowList
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.rules import RuleAdded
from omni_tui.protocol.session_search import SearchSessions, SessionsFound
from tests.face import asks, plans, scenario
from tests.face.conftest import Face, arm, until
from tests.face.rules import RuleEngine, rule
from tests.face.test_audit_screen import AuditEngine, line
from tests.face.test_rule_composer import card_of
from tests.face.test_sessions_screen import SessionsEngine, info, opened

Snap = Callable[..., bool]
SIZES = {"80x24": (80, 24), "120x40": (120, 40), "160x45": (160, 45)}
LONG = {"path": "notes/long.md", "content": "\n".join(f"line {n} of a long note" for n in range(80))}


@pytest.fixture(autouse=True)
def _one_python(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--snapshot-update") and sys.version_info[:2] != (3, 11):
        pytest.fail("pictures are made with Python 3.11")


def measure(view: BlockView[Any]) -> None:
    """Measure every block: heights out of sight are estimates, which depend on what was drawn before."""
    for index in range(len(view.heights)):
        view._measure(index)
    view._resize()
    view.settle()


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
        measure(face.app.main.chat.transcript)
        await pilot.pause()

    return snap(face.app, terminal_size=SIZES[size], run_before=before)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pane", ["servers", "tools", "chat", "approvals"])
def test_panes(snap_compare: Snap, size: str, pane: str) -> None:
    key = {"servers": "f2", "tools": "f3", "chat": "f4", "approvals": "f5"}[pane]

    async def armed(face: Face, pilot: Pilot[None]) -> None:
        if pane == "approvals":
            await until(pilot, lambda: face.app.main.pane("approvals")._painted_armed)  # type: ignore[attr-defined]

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
def test_sessions(snap_compare: Snap, size: str) -> None:
    async def searched(face: Face, pilot: Pilot[None]) -> None:
        work = (SafeText("work"),)
        titles = (
            "Fix the old host name",
            "Notes on the move",
            "Why the gate asked twice",
            "長期記憶 の設計",
        )
        engine = SessionsEngine(face, [
            info(number, title=SafeText(title), state=state, open_calls=number // 3,
                 tags=work if number == 2 else ())
            for (number, title), state in zip(
                enumerate(titles, 1), ("closed", "open", "unfinished", "closed"), strict=True
            )
        ])  # fmt: skip
        screen = await opened(face, pilot)
        if size == "120x40":
            face.link.answers[SearchSessions] = lambda _command: [
                SessionsFound(sessions=tuple(map(engine.found, engine.infos[:3])), total=6)
            ]
            await pilot.press("slash", *"said", "tab")
            await until(pilot, lambda: screen._preview is not None and screen._preview.at == 3)

    assert take(snap_compare, size, [scenario.ready()], then=searched)


def test_history(snap_compare: Snap) -> None:
    assert take(snap_compare, "80x24", [*scenario.whole(), *BEFORE_A_PLAN[1:]], "f8")


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
        await until(pilot, lambda: face.app.main.pane("approvals")._painted_armed)  # type: ignore[attr-defined]

    events = [*scenario.whole(), QUESTIONS[kind]]
    assert take(snap_compare, "120x40", events, "f5", "end", then=armed)


def test_the_form_of_a_question(snap_compare: Snap) -> None:
    async def filled(face: Face, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: face.app.main.pane("approvals")._painted_armed)  # type: ignore[attr-defined]
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
    chat = face.app.main.chat
    chat.transcript._tick()
    chat._show_state()
    await pilot.pause()


@pytest.mark.parametrize("size", ["80x24", "160x45"])
def test_a_plan_at_work(snap_compare: Snap, size: str) -> None:
    asked = scenario.approval("c9", turn="t1", agent="root/p2/t4")
    assert take(snap_compare, size, [*BEFORE_A_PLAN, *plans.running(), asked], "f4", then=tick)


def test_a_lane_unfolded(snap_compare: Snap) -> None:
    async def unfold(face: Face, pilot: Pilot[None]) -> None:
        view = face.app.main.chat.transcript
        view.focus()
        await until(pilot, lambda: view.has_focus and view.cursor is not None and len(view.heights) > 6)
        view.put_cursor(6)
        await pilot.pause()  # Textual scrolls after the next refresh
        folded = view.heights[6]
        await pilot.press("space")
        await tick(face, pilot)
        await until(pilot, lambda: view.heights[6] > folded)

    assert take(snap_compare, "120x40", [*BEFORE_A_PLAN, *plans.running()], "f4", then=unfold)


def test_another_wording(snap_compare: Snap) -> None:
    async def reword(face: Face, pilot: Pilot[None]) -> None:
        face.app.run_named("edit_message")
        chat = face.app.main.chat
        await until(pilot, lambda: chat.edit_banner is not None)

    events = [*BEFORE_A_PLAN, *plans.running(), *plans.ended()]
    assert take(snap_compare, "120x40", events, "f4", then=reword)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("width", ["1", "2"])
def test_a_rule_from_a_card(snap_compare: Snap, size: str, width: str) -> None:
    async def compose(face: Face, pilot: Pilot[None]) -> None:
        RuleEngine(face, releases=("c4",))
        await pilot.press("W")
        await until(pilot, lambda: isinstance(face.app.screen, RuleComposerScreen))
        screen = face.app.screen
        assert isinstance(screen, RuleComposerScreen)
        await until(pilot, lambda: screen.arming.painted is not None)
        await pilot.press(width)
        await until(pilot, lambda: screen.arming.painted is not None and screen.view.end_seen)
        await arm(face, pilot, screen.arming)
        screen.look()

    assert take(snap_compare, size, scenario.whole(), "f5", then=compose)


@pytest.mark.parametrize("size", SIZES)
def test_a_rule_was_written(snap_compare: Snap, size: str) -> None:
    async def write(face: Face, pilot: Pilot[None]) -> None:
        call, other = (key for key in face.app.main.approvals.queue.keys)
        pane = face.app.main.approvals
        face.link.emit(
            RuleAdded(
                id="files-edit_file", scope="session", sentence=SafeText("Allows edit_file of files."),
                rule_toml="", call=call, allows=(call, other),
            )
        )  # fmt: skip
        await until(pilot, lambda: "now allowed by the rule" in card_of(face))
        await arm(face, pilot, pane.arming)
        await until(pilot, lambda: pane._painted_armed and pane.arming.armed)

    assert take(snap_compare, size, scenario.whole(), "f5", then=write)


@pytest.mark.parametrize("size", SIZES)
def test_rules(snap_compare: Snap, size: str) -> None:
    async def show(face: Face, pilot: Pilot[None]) -> None:
        engine = RuleEngine(face)
        engine.problems = (SafeText("config.toml:12: unknown key alow; did you mean allow?"),)
        engine.rules = [
            rule("files-read", uses=1_234, last_used=scenario.NOW - 7_200, made="card"),
            rule("no-deletes", decision="deny", notes=(SafeText("no tool of its servers has this name"),)),
            rule("careful", decision="ask", uses=3, last_used=scenario.NOW - 40),
            rule("theirs", scope="project", state="proposed", place=SafeText("/code/.omni-tui.toml:4")),
            rule("suspended", state="suspended"),
            rule("old", state="over"),
        ]
        face.app.run_named("rules")
        await until(pilot, lambda: isinstance(face.app.screen, RulesScreen))
        await until(pilot, lambda: bool(face.app.screen.query_one(RowList).keys))
        await pilot.press("down")

    assert take(snap_compare, size, scenario.whole(), then=show)


@pytest.mark.parametrize("size", SIZES)
def test_audit(snap_compare: Snap, size: str) -> None:
    async def show(face: Face, pilot: Pilot[None]) -> None:
        AuditEngine(face, [
            line(1, action=SafeText("proposed"), actor=SafeText("agent"), state=SafeText("")),
            line(2, action=SafeText("asked"), actor=SafeText("gate"), state=SafeText("pending")),
            line(3, action=SafeText("rejected"), state=SafeText("rejected")),
            line(4, actor=SafeText("rule:files-read")),
            line(5, action=SafeText("finished"), actor=SafeText("server"), state=SafeText("succeeded")),
            line(6, action=SafeText("finished"), actor=SafeText("server"), state=SafeText("failed")),
        ])  # fmt: skip
        face.app.run_named("audit")
        await until(pilot, lambda: isinstance(face.app.screen, AuditScreen))
        await until(pilot, lambda: bool(face.app.screen.query_one(RowList).keys))

    assert take(snap_compare, size, scenario.whole(), then=show)


def test_too_small(snap_compare: Snap) -> None:
    face = Face(*scenario.whole())
    assert snap_compare(face.app, terminal_size=(58, 14), run_before=lambda pilot: face.settle(pilot))
