"""A plan in the approvals: all of it is seen before it counts; approved, rejected, edited, replaced."""

from __future__ import annotations

import json

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from omni_tui.face.approval.arming import Painted
from omni_tui.face.panes.approvals import ApprovalsPane
from omni_tui.face.screens.full_view import FullViewScreen
from omni_tui.face.widgets.lines_view import LinesView
from omni_tui.protocol import SafeText
from omni_tui.protocol.events import CommandDone
from omni_tui.protocol.plan import DecidePlan, EditPlan, PlanDecided, PlanPhase, PlanTask
from tests.face import plans
from tests.face.conftest import Face, arm, until
from tests.face.scenario import approval, ready
from tests.face.test_approvals_keys import arrive, pane_of
from tests.face.test_hostile_text import assert_harmless, drawn
from tests.face.test_plan_tree import monstrous

TALL = (160, 70)
SMALL = (80, 24)


def face_of(*events: object) -> Face:
    face = Face(ready(mode="orchestrator"), *plans.begun(), *events)  # type: ignore[arg-type]
    face.link.answers[DecidePlan] = lambda _command: [CommandDone()]
    face.link.answers[EditPlan] = lambda _command: [CommandDone()]
    return face


def card(pane: ApprovalsPane) -> str:
    return "\n".join(line.plain for line in pane.card._lines)


async def decided(face: Face, pilot: Pilot[None]) -> DecidePlan:
    face.clock.advance(0.1)
    await until(pilot, lambda: bool(face.link.sent(DecidePlan)))
    return face.link.sent(DecidePlan)[-1]


async def nothing(face: Face, pilot: Pilot[None]) -> None:
    pane = pane_of(face)
    face.clock.advance(0.1)
    await until(pilot, lambda: not pane.decision.holding)
    await pilot.pause()
    assert face.link.sent(DecidePlan) == []


async def test_a_plan_stands_in_the_queue_with_all_that_it_may_do() -> None:
    face = face_of(approval("c1"), plans.plan())
    async with face.app.run_test(size=TALL) as pilot:
        await face.settle(pilot)
        pane = pane_of(face)
        assert pane.queue.keys == ["c1", "plan:plan-1"]
        assert pane.count == len(face.app.overview.pending) == 2
        await pilot.press("f5", "2")
        await until(pilot, lambda: pane.shown is not None and pane.shown.key == "plan:plan-1")
        text = card(pane)
        assert "plan · 3 phases, 6 tasks" in drawn(face.app)
        said = " ".join(text.replace("│", " ").split())
        for phase in plans.phases():
            assert phase.title in said
            for task in phase.tasks:
                assert f"{task.id} {task.title}" in said
                assert task.goal in said
                assert all(tool in said for tool in task.tools)
        assert plans.ANALYSIS in said
        assert "after t3, t4, t5" in said
        assert "no tools: it can only think" in said


async def test_approving_names_exactly_the_plan_that_was_painted() -> None:
    face = face_of(plans.plan())
    async with face.app.run_test(size=TALL) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("A")
        verdict = await decided(face, pilot)
        assert (verdict.plan, verdict.digest, verdict.verdict) == ("plan-1", "digest-plan", "approve")
        face.link.emit(PlanDecided(plan="plan-1", turn="t1", verdict="approved", decider="user"))
        await until(pilot, lambda: len(pane.queue) == 0)
        assert face.app.overview.pending == {}


async def test_too_early_enter_and_small_letters_do_not_approve() -> None:
    face = face_of(plans.plan())
    async with face.app.run_test(size=TALL) as pilot:
        await arrive(face, pilot, quiet=0.39)
        await pilot.press("A")
        await nothing(face, pilot)
        face.clock.advance(1.0)
        await pilot.press("a", "m", "y")
        await nothing(face, pilot)


async def test_a_plan_that_does_not_fit_is_approved_only_at_its_end() -> None:
    face = face_of(plans.plan())
    async with face.app.run_test(size=SMALL) as pilot:
        await arrive(face, pilot)
        await until(pilot, lambda: "more lines: A opens the full view" in card(pane_of(face)))
        await pilot.press("A")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        screen = face.app.screen
        assert isinstance(screen, FullViewScreen)
        await until(pilot, lambda: screen.view.count > 10)
        face.clock.advance(1.0)
        await pilot.press("A")
        face.clock.advance(0.1)
        await pilot.pause()
        assert face.link.sent(DecidePlan) == []
        await pilot.press("end")
        await until(pilot, lambda: screen.query_one(LinesView).end_seen)
        await until(pilot, lambda: screen.arming.painted == Painted("plan:plan-1", "digest-plan", True))
        await arm(face, pilot, screen.arming)
        await pilot.press("A")
        assert (await decided(face, pilot)).verdict == "approve"


async def test_the_whole_view_closes_when_the_plan_changes_under_it() -> None:
    face = face_of(plans.plan())
    async with face.app.run_test(size=SMALL) as pilot:
        await arrive(face, pilot)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        face.link.emit(plans.plan(digest="other", edited=True))
        await until(pilot, lambda: not isinstance(face.app.screen, FullViewScreen))
        assert face.link.sent(DecidePlan) == []


@pytest.mark.parametrize("words", ["", "smaller, please"])
async def test_rejecting_with_and_without_words(words: str) -> None:
    face = face_of(plans.plan())
    async with face.app.run_test(size=TALL) as pilot:
        pane = await arrive(face, pilot)
        if words:
            await pilot.press("f")
            await until(pilot, lambda: isinstance(face.app.focused, Input))
            await pilot.press(*words.replace(" ", "_").replace("_", " "), "enter")
        else:
            await pilot.press("R")
        verdict = await decided(face, pilot)
        assert (verdict.verdict, verdict.feedback) == ("reject", words)
        await until(pilot, lambda: "plan:plan-1" not in pane.queue.deciding or pane.rows.selected is None)


async def test_later_and_marking() -> None:
    face = face_of(plans.plan(), approval("c1"))
    async with face.app.run_test(size=TALL) as pilot:
        pane = await arrive(face, pilot)
        await pilot.press("m")
        assert pane.queue.marked == set()
        face.clock.advance(1.0)
        await pilot.press("D")
        await until(pilot, lambda: pane.queue.keys == ["c1", "plan:plan-1"])
        assert face.link.sent(DecidePlan) == []


async def test_a_plan_that_goes_by_policy_does_not_ask() -> None:
    face = face_of(plans.plan(asks=False))
    async with face.app.run_test(size=TALL) as pilot:
        await face.settle(pilot)
        assert (len(pane_of(face).queue), face.app.overview.pending) == (0, {})


async def edit(face: Face, pilot: Pilot[None]) -> TextArea:
    await pilot.press("e")
    await until(pilot, lambda: isinstance(face.app.focused, TextArea) and face.app.focused.id != "prompt")
    assert isinstance(face.app.focused, TextArea)
    return face.app.focused


async def test_an_edit_sends_the_exact_plan_and_the_new_one_needs_its_own_approval() -> None:
    face = face_of(plans.plan())
    async with face.app.run_test(size=TALL) as pilot:
        pane = await arrive(face, pilot)
        area = await edit(face, pilot)
        value = json.loads(area.text)
        assert value == json.loads(plans.plan_json())
        value["phases"] = value["phases"][:1]
        area.load_text(json.dumps(value, indent=1))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: bool(face.link.sent(EditPlan)))
        sent = face.link.sent(EditPlan)[0]
        assert (sent.plan, sent.digest, json.loads(sent.plan_json)) == ("plan-1", "digest-plan", value)
        await until(pilot, lambda: not pane.query(TextArea))
        face.link.emit(plans.plan(digest="digest-2", edited=True, phases=plans.phases()[:1]))
        await until(pilot, lambda: pane.shown is not None and pane.shown.digest == "digest-2")
        assert "EDITED" in card(pane)
        face.clock.advance(0.1)
        await pilot.press("A")
        await nothing(face, pilot)
        await until(pilot, lambda: pane.arming.painted is not None)
        face.clock.advance(1.0)
        await pilot.press("A")
        assert (await decided(face, pilot)).digest == "digest-2"


async def test_a_refused_edit_stays_in_the_editor_with_the_engines_words() -> None:
    face = face_of(plans.plan())
    face.link.refuse(EditPlan, "this is not a plan that can be carried out:\nphase 1 needs a task\nbox/fly")
    async with face.app.run_test(size=TALL) as pilot:
        pane = await arrive(face, pilot)
        area = await edit(face, pilot)
        area.load_text('{"phases": []}')
        await pilot.press("ctrl+o")
        trouble = pane.query_one("#edit-problem", Static)
        await until(pilot, lambda: "phase 1 needs a task" in str(trouble.content))
        assert "box/fly" in str(trouble.content)
        assert area.text == '{"phases": []}'
        area.load_text('{"phases": ')
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "not a JSON object" in str(trouble.content))
        assert len(face.link.sent(EditPlan)) == 1


async def test_a_plan_replaced_while_the_editor_is_open_keeps_what_was_written() -> None:
    face = face_of(plans.plan())
    async with face.app.run_test(size=TALL) as pilot:
        pane = await arrive(face, pilot)
        area = await edit(face, pilot)
        area.load_text('{"mine": 1}')
        face.link.emit(plans.plan(digest="digest-2", edited=True))
        await until(pilot, lambda: pane.shown is not None and pane.shown.digest == "digest-2")
        assert area.text == '{"mine": 1}'
        face.link.refuse(EditPlan, "this plan changed after it was shown; look at it again")
        await pilot.press("ctrl+o")
        trouble = pane.query_one("#edit-problem", Static)
        await until(pilot, lambda: "changed after it was shown" in str(trouble.content))
        assert face.link.sent(EditPlan)[0].digest == "digest-plan"


async def test_a_call_says_which_task_asks_for_it() -> None:
    face = face_of(*plans.running()[2:], approval("c9", turn="t1", agent="root/p2/t4"))
    async with face.app.run_test(size=TALL) as pilot:
        pane = await arrive(face, pilot)
        assert "t4 Edit the deploy scripts (root/p2/t4)" in " ".join(card(pane).split())


@pytest.mark.parametrize("size", [TALL, SMALL], ids=["wide", "narrow"])
async def test_a_monstrous_plan_is_harmless_and_opens_whole(size: tuple[int, int]) -> None:
    face = face_of(monstrous())
    async with face.app.run_test(size=size) as pilot:
        pane = await arrive(face, pilot)
        assert_harmless(drawn(face.app).replace("\u200d", ""))  # a joiner inside an emoji may stand
        assert pane.arming.painted is not None
        assert not pane.arming.painted.whole
        await pilot.press("v")
        await until(pilot, lambda: isinstance(face.app.screen, FullViewScreen))
        screen = face.app.screen
        assert isinstance(screen, FullViewScreen)
        await until(pilot, lambda: screen.view.count > 200)
        assert_harmless(drawn(face.app).replace("\u200d", ""))


async def test_odd_plans_can_be_shown() -> None:
    empty = plans.plan(phases=(), analysis=SafeText(""), plan_json="{}")
    task = PlanTask(id="", title=SafeText(""), goal=SafeText(""), agent="")
    bare = plans.plan(plan="p2", phases=(PlanPhase(id="", title=SafeText(""), tasks=(task, task)),))
    face = face_of(empty, bare)
    async with face.app.run_test(size=SMALL) as pilot:
        pane = await arrive(face, pilot)
        assert "0 phases, 0 tasks" in card(pane)
        await pilot.press("2")
        await until(pilot, lambda: "1 phase, 2 tasks" in card(pane))
