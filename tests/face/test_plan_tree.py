"""A plan in the transcript: it lives, its agents have lanes, and what nobody sees costs nothing."""

from __future__ import annotations

import re

import msgspec
import pytest
from rich.cells import cell_len

from omni_tui.face.approval.queue import PendingQueue, QueueRows
from omni_tui.face.overview import Overview
from omni_tui.face.transcript import TranscriptView
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import EndItem, PlanItem, TaskItem
from omni_tui.face.transcript.sub_agents import MAX_ITEMS
from omni_tui.face.widgets.status import right_parts
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import (
    Answer,
    AnswerDelta,
    Retrying,
    ThoughtDelta,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageChanged,
)
from omni_tui.protocol.plan import PlanDecided, PlanPhase, PlanProposed, PlanTask
from tests.face import plans, scenario
from tests.face.chat_app import ChatApp
from tests.face.fake import FakeClock
from tests.face.scenario import approval, proposed
from tests.face.test_transcript_view import HOSTILE, counted


def folded(*events: AnyEvent) -> Fold:
    fold = Fold()
    for event in events:
        fold.apply(event)
    return fold


def task_of(fold: Fold, ident: str) -> TaskItem:
    return next(item for item in fold.items if isinstance(item, TaskItem) and item.task == ident
                and not item.hidden)  # fmt: skip


def row(app: ChatApp, words: str) -> str:
    return next((line for line in app.rows() if words in line), "")


async def on_task(app: ChatApp, ident: str) -> int:
    app.view.focus()
    index = app.view.fold.items.index(task_of(app.view.fold, ident))
    app.view.put_cursor(index)
    return index


# --- the fold


def turn_of(events: list[AnyEvent]) -> str:
    return next(event.turn for event in events if isinstance(event, TurnStarted))


def test_a_parked_turn_that_goes_on_is_not_called_parked() -> None:
    events = list(plans.running())
    turn = turn_of(events)
    parked = TurnEnded(turn=turn, status="parked", reason=SafeText("left"), ts=scenario.NOW)
    fold = folded(*events, parked)
    ends = [item for item in fold.items if isinstance(item, EndItem)]
    assert [(item.status, item.hidden) for item in ends] == [("parked", False)]
    still = [item for item in fold.items if isinstance(item, TaskItem) and item.state == "running"]
    assert still
    assert all(item.ended for item in still)
    fold.apply(TurnStarted(turn=turn, mode="orchestrator", model=SafeText("m"), ts=scenario.NOW + 60))
    assert [item.hidden for item in ends] == [True]
    assert not any(item.ended for item in still)
    assert fold.running


def test_the_clocks_of_a_plan_stand_still_when_the_engine_is_gone() -> None:
    fold = folded(*plans.running())
    assert fold.running
    fold.engine_stopped(scenario.NOW)
    assert fold.running == set()
    assert fold.turn == ""
    still = [item for item in fold.items if isinstance(item, TaskItem) and item.state == "running"]
    assert {item.ended for item in still} == {scenario.NOW}


def test_a_row_of_the_queue_names_the_task_of_its_agent() -> None:
    queue = PendingQueue()
    for event in plans.running():
        queue.apply(event)
    asked = approval("c-agent", {"path": "x"})
    turn = turn_of(list(plans.running()))
    queue.apply(msgspec.structs.replace(asked, turn=turn, agent="root/p1/t1"))
    queue.apply(msgspec.structs.replace(asked, call="c-root", agent="root"))
    queue.apply(msgspec.structs.replace(asked, call="c-other", agent="root/p9/t9"))
    agents = {key: item.agent for key in queue.keys if (item := queue.get(key))}
    assert agents["c-agent"].startswith("t1 ")
    assert agents["c-root"] == ""
    assert agents["c-other"] == "root/p9/t9"
    drawn = QueueRows(queue, FakeClock(scenario.NOW)).render_row("c-agent", 100, 1).plain
    assert "t1 Search the notes" in drawn


def test_every_state_of_a_task_has_its_mark_and_its_word() -> None:
    fold = folded(*plans.running(), *plans.ended())
    states = {item.task: item.state for item in fold.items if isinstance(item, TaskItem)}
    assert states == {
        "t1": "done", "t2": "done", "t3": "done", "t4": "stopped", "t5": "failed", "t6": "skipped",
    }  # fmt: skip
    assert fold.running == set()
    assert task_of(fold, "t5").attempt == 2
    plan = next(item for item in fold.items if isinstance(item, PlanItem))
    assert (plan.stage, plan.counts) == ("over", "3 done · 1 failed · 1 skipped")


def test_what_an_agent_does_stands_in_its_lane_only() -> None:
    fold = folded(*plans.running())
    kinds = [type(item).__name__ for item in fold.items]
    assert kinds == ["UserItem", "PlanItem", *["PhaseItem", *["TaskItem"] * 2], *["PhaseItem",
                     *["TaskItem"] * 3], "PhaseItem", "TaskItem"]  # fmt: skip
    lane = task_of(fold, "t1").sub_agent
    assert lane is not None
    assert [type(item).__name__ for item in lane.fold.items] == ["TextItem", "CallItem", "TextItem"]
    assert (lane.calls, lane.tokens) == (1, 4_140)
    assert lane.fold.items[1].agent == "root"


def test_a_call_that_waits_in_a_lane_is_counted_and_leaves_with_its_verdict() -> None:
    fold = folded(*plans.running(), approval("c9", turn="t1", agent="root/p2/t4"))
    assert (fold.waits, fold.waiting) == (1, set())
    for event in plans.call("c9", "root/p2/t4")[1:]:
        fold.apply(event)
    assert fold.waits == 0


def test_the_same_path_in_another_turn_is_another_lane() -> None:
    again = plans.plan(plan="plan-2", turn="t2")
    late = Answer(turn="t2", message="z", agent="root/p1/t1", text=SafeText("the second turn"))
    fold = folded(*plans.running(), *plans.ended(), again, late)
    lanes = [item.sub_agent for item in fold.items if isinstance(item, TaskItem) and item.task == "t1"]
    assert [len(lane.fold.items) for lane in lanes if lane is not None] == [3, 1]


def test_an_edited_plan_takes_the_place_of_the_first() -> None:
    edited = plans.plan(digest="other", edited=True, phases=plans.phases()[:1])
    fold = folded(*plans.begun(), plans.plan(), edited)
    seen = [item for item in fold.items if not item.hidden]
    assert [type(item).__name__ for item in seen] == [
        "UserItem",
        "PlanItem",
        "PhaseItem",
        "TaskItem",
        "TaskItem",
    ]
    assert fold.waits == 1
    fold.apply(plans.moved("t1", "running"))
    assert task_of(fold, "t1").state == "running"


def test_a_rejected_plan_says_so_and_waits_no_more() -> None:
    verdict = PlanDecided(
        plan="plan-1", turn="t1", verdict="rejected", decider="user", feedback=SafeText("smaller")
    )
    fold = folded(*plans.begun(), plans.plan(), verdict)
    plan = next(item for item in fold.items if isinstance(item, PlanItem))
    assert fold.waits == 0
    assert "smaller" in plan.said


def test_events_of_tasks_and_agents_that_nobody_proposed_are_shown() -> None:
    fold = folded(
        plans.moved("t99", "running", agent="root/p9/t99"),
        plans.moved("t98", "on holiday", plan="nobody's"),
        Answer(turn="t1", message="q", agent="root/\x1b[31m[/]evil\u202e/path", text=SafeText("hello")),
        UsageChanged(turn="t1", agent="root/silent", usage=Usage(input=5)),
        TurnEnded(turn="t1", status="parked"),
    )
    tasks = [item for item in fold.items if isinstance(item, TaskItem)]
    states = [(item.task, item.state) for item in tasks]
    assert states == [("t99", "running"), ("t98", "on holiday"), ("", "")]
    assert not re.search("[\x1b\u202e]", tasks[2].title)
    assert fold.running == set()


def test_a_turn_that_ends_leaves_no_stream_open_in_any_lane() -> None:
    fold = folded(*plans.running(), TurnEnded(turn="t1", status="stopped"))
    lane = task_of(fold, "t3").sub_agent
    assert lane is not None
    last = lane.fold.items[-1]
    assert (last.partial, last.stream) == (True, None)  # type: ignore[union-attr]


# --- on the screen


async def test_what_was_left_while_it_ran_does_not_seem_to_run() -> None:
    app = ChatApp([*plans.running(), TurnEnded(turn="t1", status="parked", ts=2_000.0)])
    async with app.run_test(size=(100, 60)) as pilot:
        await pilot.pause()
        assert not [line for line in app.rows() if "running" in line]
        assert [line for line in app.rows() if "parked ·" in line]


@pytest.mark.parametrize("size", [(108, 40), (80, 24), (44, 24)], ids=["wide", "narrow", "tiny"])
async def test_the_tree_tells_states_without_colour(size: tuple[int, int]) -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = "\n".join(line.text for index in range(len(app.view.fold.items))
                         for line in app.view.rows_of(index))  # fmt: skip
        for words in (
            "◐ 2/6 done",
            "● t1 ",
            "done · 4 s",
            "✗ t5 ",
            "attempt 2",
            "○ t6 ",
            "◐ t3 ",
            "2 calls",
        ):
            assert words in text
        assert all(cell_len(line) <= app.view.window.width for line in app.rows())


async def test_a_lane_unfolds_under_its_task_and_folds_again() -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=(108, 50)) as pilot:
        await pilot.pause()
        await on_task(app, "t3")
        assert not row(app, "│ ")
        await pilot.press("space")
        assert "read_text_file" in row(app, "│ ▶ files › read_text_file")
        assert row(app, "│   Both notes now say")
        assert "files/edit_file" in row(app, "may use")
        app.play([AnswerDelta(turn="t1", message="a3", agent="root/p2/t3", text=SafeText("And more."))])
        assert "And more." in row(app, "Both notes now say")
        await pilot.press("enter")
        assert not row(app, "│ ")


async def test_folding_the_plan_folds_all_of_it() -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=(108, 50)) as pilot:
        await pilot.pause()
        app.view.focus()
        app.view.put_cursor(1)
        await pilot.press("space")
        assert not row(app, "t1 Search")
        assert row(app, "2/6 done")
        app.play([plans.moved("t3", "done")])
        assert row(app, "3/6 done")
        await pilot.press("space")
        assert row(app, "t1 Search")


async def test_an_agent_alone_is_a_transcript_of_its_own_and_esc_comes_back() -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=(108, 40)) as pilot:
        await pilot.pause()
        index = await on_task(app, "t3")
        await pilot.press("z")
        await pilot.pause()
        assert app.view.zoomed_task is task_of(app.view.fold, "t3")
        assert not row(app, "Find everything")
        await pilot.press("up")
        assert type(app.view.current).__name__ == "CallItem"
        app.play([
            AnswerDelta(turn="t1", message="a3", agent="root/p2/t3", text=SafeText("Streamed here.")),
            Answer(turn="t1", message="x", text=SafeText("said by the root")),
            Answer(turn="t1", message="y", agent="root/p2/t4", text=SafeText("said by another")),
        ])  # fmt: skip
        assert row(app, "Streamed here.")
        assert not row(app, "said by")
        await pilot.press("y")
        assert app.copied[-1][1] == "the call"
        assert app.chat.close_innermost()
        await pilot.pause()
        assert app.view.cursor == index
        assert row(app, "Find everything")
        assert row(app, "said by the root")
        assert not app.chat.close_innermost()


async def test_a_task_without_an_agent_cannot_be_shown_alone() -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=(108, 40)) as pilot:
        await pilot.pause()
        await on_task(app, "t6")
        await pilot.press("z")
        assert app.view.zoomed_task is None


async def test_a_call_in_a_lane_is_found() -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=(108, 40)) as pilot:
        await pilot.pause()
        assert app.chat.transcript.focus_call("c4")
        assert app.view.current is not None
        assert getattr(app.view.current, "call", "") == "c4"
        assert app.chat.transcript.focus_call("c1")
        assert getattr(app.view.current, "call", "") == "c1"
        assert app.chat.transcript.focus_call("nobody's") is False


async def test_another_session_leaves_the_lane() -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=(108, 40)) as pilot:
        await pilot.pause()
        await on_task(app, "t1")
        await pilot.press("z")
        app.chat.clear_session()
        app.play(scenario.conversation())
        assert app.view.zoomed_task is None
        assert row(app, "Which notes still mention")


async def test_sixteen_folded_lanes_that_stream_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    many = sixteen()
    app = ChatApp(many)
    async with app.run_test(size=(108, 50)) as pilot:
        await pilot.pause()
        agents = [f"root/p1/w{number}" for number in range(16)]
        app.play([delta(agent, "a first word ") for agent in agents])
        drawn = counted(monkeypatch)
        for _ in range(20):
            app.play([delta(agent, "and another word ") for agent in agents])
        assert drawn == []
        for agent in agents:
            app.play([delta(agent, "a thought", ThoughtDelta)])
        assert sum(index >= 3 for index in drawn) <= 2 * 16 + 16  # a line each, and what stands under it


async def test_a_long_lane_shows_its_end_and_says_how_much_came_before() -> None:
    agent = "root/p1/t1"
    texts = [
        Answer(turn="t1", message=f"n{number}", agent=agent, text=SafeText(f"number {number}"))
        for number in range(MAX_ITEMS + 12)
    ]
    app = ChatApp([*plans.begun(), plans.plan(), plans.moved("t1", "running"), *texts])
    async with app.run_test(size=(108, 100)) as pilot:
        await pilot.pause()
        index = await on_task(app, "t1")
        await pilot.press("space")
        lines = [line.text for line in app.view.rows_of(index)]
        assert any("12 more before" in line for line in lines)
        assert lines[-1].endswith(f"number {MAX_ITEMS + 11}")
        assert not any(line.endswith("number 3") for line in lines)


# --- hostile


def sixteen() -> list[AnyEvent]:
    """One phase with sixteen tasks, all at work."""
    tasks = tuple(
        PlanTask(id=f"w{number}", title=SafeText(f"work {number}"), goal=SafeText(""),
                 agent=f"root/p1/w{number}")
        for number in range(16)
    )  # fmt: skip
    phases = (PlanPhase(id="p1", title=SafeText("all at once"), tasks=tasks),)
    states = [plans.moved(f"w{number}", "running", agent=f"root/p1/w{number}") for number in range(16)]
    return [*plans.begun(), plans.plan(phases=phases, asks=False), *states]


def delta(agent: str, text: str, kind: type[AnswerDelta] | type[ThoughtDelta] = AnswerDelta) -> AnyEvent:
    return kind(turn="t1", message=f"m-{agent}", agent=agent, text=SafeText(text))


def monstrous() -> PlanProposed:
    """Eight phases, thirty tasks, titles of 300 characters of every kind."""
    odd = [
        *HOSTILE,
        "漢字" * 80,
        "\u0645\u0631\u062d\u0628\u0627 " * 50,
        "👩‍🚀" * 90,
        "x" * 300,
        "word " * 60,
    ]
    phases = []
    for phase in range(8):
        tasks = tuple(
            PlanTask(
                id=f"t{phase}-{number}",
                title=SafeText((odd[(phase * 4 + number) % len(odd)] * 300)[:300]),
                goal=SafeText("g" * 2_000),
                tools=tuple(SafeText(f"server/{'tool' * 20}{n}") for n in range(6)),
                after=tuple(f"t{phase - 1}-{n}" for n in range(4)) if phase else (),
                agent=f"root/p{phase}/t{number}",
            )
            for number in range(4 if phase < 7 else 2)
        )
        phases.append(PlanPhase(id=f"p{phase}", title=SafeText(odd[phase] * 20), tasks=tasks))
    return plans.plan(phases=tuple(phases), analysis=SafeText("[/] " * 500))


@pytest.mark.parametrize("width", [24, 80, 160])
async def test_monstrous_plans_stay_within_the_screen(width: int) -> None:
    plan = monstrous()
    moves = [plans.moved(task.id, "failed", agent=task.agent, reason=SafeText("because\n" * 99))
             for phase in plan.phases for task in phase.tasks]  # fmt: skip
    app = ChatApp([*plans.begun(), plan, *moves])
    async with app.run_test(size=(width, 24)) as pilot:
        await pilot.pause()
        room = app.view.window.width - 1
        for index, item in enumerate(app.view.fold.items):
            for item.folded in (True, False):
                lines = app.view.draw_block(index, app.view.window.width)
                assert all(line.width <= room for line in lines), (index, [line.text for line in lines])
                assert len(lines) < 400


async def test_lanes_retry_and_tick_without_a_call() -> None:
    app = ChatApp(plans.running())
    async with app.run_test(size=(108, 50)) as pilot:
        await pilot.pause()
        busy = SafeText("busy")
        app.play([Retrying(turn="t1", attempt=2, of=5, delay_s=8.0, reason=busy, agent="root/p2/t4")])
        assert "attempt 2 of 5 · busy" in row(app, "↻")
        app.clock.advance(5.0)
        app.view._tick()
        assert "running · 11 s" in row(app, "t3 Edit")


# --- the top bar


def test_the_top_bar_counts_the_tasks_while_a_plan_goes() -> None:
    overview = Overview()
    for event in (scenario.ready(mode="orchestrator"), *plans.running()):
        overview.apply(event)
    wide, narrow = (
        " ".join(part.plain for _weight, part in right_parts(overview, wide=wide)) for wide in (True, False)
    )
    assert "◐ 2 running · 2/6 tasks" in wide
    assert "◐2 2/6" in narrow
    assert overview.context is None  # the root's own window, not an agent's
    for event in plans.ended():
        overview.apply(event)
    assert "tasks" not in " ".join(part.plain for _weight, part in right_parts(overview, wide=True))


def test_a_view_without_plans_has_no_lanes() -> None:
    fold = folded(*scenario.conversation(), proposed("z", "files", "x", {}, "read", agent=""))
    assert fold.sub_agents.tasks == {}
    assert TranscriptView().zoomed_task is None
