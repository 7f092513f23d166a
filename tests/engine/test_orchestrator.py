"""Plans: proposed, decided on, carried out side by side, mended, stopped, reported."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from omni_tui.agents.turn_limits import TurnMeter
from omni_tui.agents.turn_writer import TurnStopped
from omni_tui.memory.audit_table import entries
from omni_tui.models.base import ModelError, ToolCall
from omni_tui.models.message_history import read_result
from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import plan as p
from omni_tui.protocol.conversation import RunReport
from tests.engine.orchestra import PLANNER, REPORTER, WORKER, Box, Players, plan, put, stage, task
from tests.scripted_model import reply

SIX = plan(
    [task("a", "one"), task("b", "two"), task("c", "three")],
    [task("d", "four", "a"), task("e", "five", "b")],
    [task("f", "six", "d", "e", tools=())],
)
ALLOW = '[policy]\nplan = "allow"\n'


async def test_three_phases_and_six_tasks(tmp_path: Path) -> None:
    box = Box()
    box.open.clear()
    model = Players(SIX, work={"six": [[reply("six is thought")]]})
    async with stage(tmp_path, model, box) as running:
        await running.ask(c.SendMessage(text="fill the box"))
        shown = await running.verdict()
        await running.until(e.CallChanged, lambda _event: box.inside == 3)
        box.open.set()
        assert [[t.agent for t in phase.tasks] for phase in shown.phases] == [
            ["root/p1/t1", "root/p1/t2", "root/p1/t3"],
            ["root/p2/t4", "root/p2/t5"],
            ["root/p3/t6"],
        ]
        assert shown.asks
        ended = await running.ended()
        assert (ended.status, ended.reason) == ("done", "")
        assert box.got == {"one": 1, "two": 1, "three": 1, "four": 1, "five": 1}
        assert set(running.states().values()) == {"done"}
        (over,) = running.of(p.PlanEnded)
        assert (over.done, over.failed, over.skipped) == (6, 0, 0)
        # The root's conversation holds the message and the report, not the chatter of the agents.
        history = running.session.runner.history()
        assert [(m.role, m.text) for m in history] == [
            ("user", "fill the box"),
            ("assistant", "All of it was done."),
        ]
        answers = {event.agent: event.text for event in running.of(e.Answer)}
        assert answers["root"] == "All of it was done."
        assert answers["root/p2/t4"] == "four is put"
        assert {event.agent for event in running.of(e.CallProposed)} == {
            f"root/{path}" for path in ("p1/t1", "p1/t2", "p1/t3", "p2/t4", "p2/t5")
        }
        assert box.most == 3


async def test_the_phases_are_in_order_and_results_are_passed_on(tmp_path: Path) -> None:
    model = Players(SIX, work={"six": [[reply("six is thought")]]})
    async with stage(tmp_path, model, Box(), ALLOW) as running:
        await running.ask(c.SendMessage(text="fill the box"))
        await running.ended()
        assert not running.of(p.PlanProposed)[0].asks
        (decided,) = running.of(p.PlanDecided)
        assert (decided.verdict, decided.decider) == ("approved", "policy")
        states = [(event.task, event.state) for event in running.of(p.PlanTaskChanged)]
        for first, later in (("t1", "t4"), ("t2", "t4"), ("t3", "t5"), ("t4", "t6"), ("t5", "t6")):
            assert states.index((first, "done")) < states.index((later, "running"))
        (four,) = [r for r in model.of(WORKER) if model.goal(r) == "four" and len(r.messages) == 2]
        assert '"result": "one is put"' in four.messages[0].text
        assert "two is put" not in four.messages[0].text
        (report,) = model.of(REPORTER)
        records = json.loads(report.messages[-1].text.partition("\n")[2])
        assert records[0]["calls"] == ['box/put {"text": "one"}: done']
        (told,) = running.of(RunReport)
        assert told.states == {"succeeded": 5}, "those of every agent, from the journal"
        assert (told.goal, [part.state for part in told.parts]) == ("fill the box", ["not_checked"])


async def test_parallel_bounds_how_many_work_at_once(tmp_path: Path) -> None:
    box = Box()
    box.open.clear()
    model = Players(plan([task(f"x{at}", f"goal {at}") for at in range(6)]))
    async with stage(tmp_path, model, box, ALLOW + "[agent]\nparallel = 2\n") as running:
        await running.ask(c.SendMessage(text="go"))
        await running.until(e.CallChanged, lambda _event: box.inside == 2)
        assert len(running.of(p.PlanTaskChanged)) == 2
        box.open.set()
        assert (await running.ended()).status == "done"
        assert box.most == 2
        assert len(box.got) == 6


async def test_a_task_that_fails_is_tried_once_more_with_its_history(tmp_path: Path) -> None:
    box = Box()
    work = {
        "two": [
            [reply("", put("two, first"))],
            [reply("**FAILED:** the lid was closed")],
            [reply("", put("two, again"))],
            [reply("it went in")],
        ]
    }
    async with stage(
        tmp_path, model := Players(plan([task("a", "one"), task("b", "two")]), work=work), box, ALLOW
    ) as running:
        await running.ask(c.SendMessage(text="go"))
        assert (await running.ended()).status == "done"
        changes = [
            (ev.state, ev.attempt, ev.reason) for ev in running.of(p.PlanTaskChanged) if ev.task == "t2"
        ]
        assert changes == [
            ("running", 1, ""),
            ("failed", 1, "the lid was closed"),
            ("running", 2, ""),
            ("done", 2, ""),
        ]
        # Both attempts used the same id for their call, and each was made.
        assert box.got == {"one": 1, "two, first": 1, "two, again": 1}
        again = [r for r in model.of(WORKER) if model.goal(r) == "two"][2]
        assert "the lid was closed" in again.messages[-1].text


FAILS = [[reply("FAILED: no")], [reply("FAILED: still no")]]


async def test_a_failure_is_planned_around_and_the_person_decides_again(tmp_path: Path) -> None:
    box = Box()
    first = plan([task("a", "one"), task("b", "two")], [task("c", "three", "b")])
    second = plan([task("x", "another way", "t1")], [task("y", "three", "x")])
    model = Players(first, second, work={"two": FAILS})
    async with stage(tmp_path, model, box) as running:
        await running.ask(c.SendMessage(text="go"))
        shown = await running.verdict()
        again = await running.verdict()
        assert again.replaces == shown.plan
        assert "no" in again.why
        assert [t.agent for phase in again.phases for t in phase.tasks] == ["root/p3/t4", "root/p4/t5"]
        assert (await running.ended()).status == "done"
        assert running.states() == {
            "t1": "done",
            "t2": "failed",
            "t3": "skipped",
            "t4": "done",
            "t5": "done",
        }
        assert box.got == {"one": 1, "another way": 1, "three": 1}
        former, latter = running.of(p.PlanEnded)
        assert (former.plan, former.done, former.failed, former.skipped) == (shown.plan, 1, 1, 1)
        assert (latter.plan, latter.done, latter.failed) == (again.plan, 2, 0)


async def test_without_another_plan_dependents_are_left_out_and_reported(tmp_path: Path) -> None:
    first = plan(
        [task("a", "one"), task("b", "two"), task("z", "zed", "b")],
        [task("c", "three", "z"), task("d", "four", "a")],
    )
    model = Players(first, '{"go_on": "the rest stands by itself"}', work={"two": FAILS})
    box = Box()
    async with stage(tmp_path, model, box, ALLOW) as running:
        await running.ask(c.SendMessage(text="go"))
        ended = await running.ended()
        assert (ended.status, ended.reason) == (
            "failed",
            "3 of 5 tasks were not done: title of two; title of zed; title of three",
        )
        assert running.states() == {
            "t1": "done",
            "t2": "failed",
            "t3": "skipped",
            "t4": "skipped",
            "t5": "done",
        }
        assert box.got == {"one": 1, "four": 1}
        assert running.of(e.Answer)[-1].text == "All of it was done."


async def test_a_model_that_cannot_plan_is_told_twice_then_it_is_over(tmp_path: Path) -> None:
    model = Players("I think so.", plan([task("a", "x", tools=["box/fly"])]), '{"phases": []}', "never")
    async with stage(tmp_path, model, Box()) as running:
        await running.ask(c.SendMessage(text="go"))
        ended = await running.ended()
        assert ended.status == "failed"
        assert "could not make a plan" in ended.reason
        assert ended.todo
        assert len(model.of(PLANNER)) == 3
        assert "not one JSON object" in model.requests[1].messages[-1].text
        assert '"box/fly"' in model.requests[2].messages[-1].text
        assert running.of(p.PlanProposed) == []
        assert running.of(e.Answer) == []


async def test_a_draft_that_was_mended_is_proposed(tmp_path: Path) -> None:
    model = Players("hm", plan([task("a", "one")]))
    async with stage(tmp_path, model, Box()) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.verdict()
        assert (await running.ended()).status == "done"


async def test_a_greeting_needs_no_plan(tmp_path: Path) -> None:
    async with stage(tmp_path, Players('{"answer": "Hello!"}'), Box()) as running:
        await running.ask(c.SendMessage(text="hi"))
        assert (await running.ended()).status == "done"
        assert [event.text for event in running.of(e.Answer)] == ["Hello!"]
        assert running.of(p.PlanProposed) == []
        assert [m.text for m in running.session.runner.history()] == ["hi", "Hello!"]


async def test_a_rejection_with_words_makes_another_plan(tmp_path: Path) -> None:
    box = Box()
    model = Players(plan([task("a", "one")]), plan([task("a", "two")]))
    async with stage(tmp_path, model, box) as running:
        await running.ask(c.SendMessage(text="go"))
        first = await running.verdict("reject", "two, not one")
        second = await running.verdict()
        assert (second.replaces, second.plan != first.plan) == (first.plan, True)
        assert (await running.ended()).status == "done"
        assert "two, not one" in model.of(PLANNER)[1].messages[-1].text
        assert box.got == {"two": 1}


async def test_a_rejection_without_words_ends_the_turn(tmp_path: Path) -> None:
    box = Box()
    async with stage(tmp_path, Players(SIX), box) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.verdict("reject")
        ended = await running.ended()
        assert (ended.status, ended.reason) == ("stopped", "you rejected the plan")
        assert not box.got


async def test_an_edited_plan_is_judged_and_needs_its_own_approval(tmp_path: Path) -> None:
    box = Box()
    async with stage(tmp_path, Players(plan([task("a", "one"), task("b", "two")])), box) as running:
        await running.ask(c.SendMessage(text="go"))
        shown = await running.waiting()
        value = json.loads(shown.plan_json)
        for wrong, said in (
            ("{", "not one JSON object"),
            (json.dumps({**value, "phases": []}), "needs a task"),
            (shown.plan_json.replace("box/put", "box/fly"), "box/fly"),
        ):
            answer = await running.ask(
                p.EditPlan(plan=shown.plan, digest=shown.digest, plan_json=JsonText(wrong))
            )
            assert isinstance(answer, e.CommandFailed)
            assert said in answer.what
        value["phases"][0]["tasks"][1]["goal"] = "twelve"
        answer = await running.ask(
            p.EditPlan(plan=shown.plan, digest=shown.digest, plan_json=JsonText(json.dumps(value)))
        )
        assert isinstance(answer, e.CommandDone)
        edited = await running.waiting(edited=True)
        assert edited.plan == shown.plan
        assert edited.digest != shown.digest
        for digest, plan_id in ((shown.digest, shown.plan), (edited.digest, "plan-other")):
            stale = await running.ask(p.DecidePlan(plan=plan_id, digest=digest, verdict="approve"))
            assert isinstance(stale, e.CommandFailed)
        assert not box.got
        await running.ask(p.DecidePlan(plan=edited.plan, digest=edited.digest, verdict="approve"))
        assert (await running.ended()).status == "done"
        assert box.got == {"one": 1, "twelve": 1}
        audit = await running.session.journal.run(lambda tx: list(entries(tx)))
        bound = [(each.action, each.args_hash) for each in audit if each.action.startswith("plan ")]
        assert bound == [
            ("plan proposed", shown.digest),
            ("plan edited", edited.digest),
            ("plan approved", edited.digest),
        ]
        late = await running.ask(p.DecidePlan(plan=edited.plan, digest=edited.digest, verdict="reject"))
        assert isinstance(late, e.CommandFailed)


async def test_stopping_ends_every_agent_and_every_call_has_one_result(tmp_path: Path) -> None:
    box = Box()
    box.open.clear()
    first = plan([task("a", "one"), task("b", "two"), task("c", "three")], [task("d", "four")])
    model = Players(first, work={"three": [[asyncio.Event().wait()]]})
    async with stage(tmp_path, model, box, ALLOW) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.until(e.CallChanged, lambda _e: box.got["one"] + box.got["two"] == 2)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await running.ask(c.StopRun())
        ended = await running.ended()
        assert loop.time() - begun < 3
        assert (ended.status, ended.reason) == ("stopped", "stopped by you")
        assert set(running.states().items()) == {(f"t{at}", "stopped") for at in range(1, 5)}
        histories = running.session.plans.progress.histories
        for path in ("root/p1/t1", "root/p1/t2"):
            (result,) = [m for m in histories[path] if m.role == "tool"]
            assert read_result(result.text)[0] == "uncertain"
        assert sorted(ev.state for ev in running.of(e.CallChanged) if ev.state == "uncertain") == [
            "uncertain",
            "uncertain",
        ]
        # What was done is known to the conversation, though no model wrote it.
        last = running.session.runner.history()[-1]
        assert "title of one: stopped" in last.text
        # And to the person: what ran is not to be guessed.
        (told,) = running.of(e.Answer)
        assert "`box/put`" in told.text
        assert "it may have run" in told.text


async def test_stopping_while_the_plan_waits_withdraws_it(tmp_path: Path) -> None:
    async with stage(tmp_path, Players(SIX), Box()) as running:
        await running.ask(c.SendMessage(text="go"))
        shown = await running.waiting()
        await running.ask(c.StopRun())
        assert (await running.ended()).status == "stopped"
        (decided,) = running.of(p.PlanDecided)
        assert (decided.plan, decided.verdict, decided.decider) == (shown.plan, "withdrawn", "stop")
        assert decided.digest == shown.digest
        late = await running.ask(p.DecidePlan(plan=shown.plan, digest=shown.digest, verdict="approve"))
        assert isinstance(late, e.CommandFailed)


@pytest.mark.parametrize(
    ("config", "said"),
    [("max_requests = 4", "4 model requests"), ("max_minutes = 0.002", "minutes of this turn")],
)
async def test_limits_end_in_a_clear_state(tmp_path: Path, config: str, said: str) -> None:
    box = Box()
    if "minutes" in config:
        box.open.clear()
    async with stage(tmp_path, Players(SIX), box, ALLOW + f"[agent]\n{config}\n") as running:
        await running.ask(c.SendMessage(text="go"))
        ended = await running.ended()
        assert ended.status == "limit"
        assert said in ended.reason
        assert "continue" in ended.todo
        assert set(running.states().values()) <= {"done", "stopped"}
        assert set(running.states()) == {f"t{at}" for at in range(1, 7)}
        report = running.of(e.Answer)[-1]
        assert report.agent == "root"
        assert "not by a model" in report.label


def test_the_time_the_person_takes_is_not_counted() -> None:
    now, waits = [0.0], [False]
    meter = TurnMeter(10, 1.0, lambda: waits[0], clock=lambda: now[0])
    now[0] = 59.0
    assert meter.late() is None
    waits[0] = True
    now[0] = 5_000.0
    assert meter.late() is None
    waits[0] = False
    with meter.paused():
        now[0] = 9_000.0
        assert meter.late() is None
    assert meter.late() is None
    now[0] = 9_002.0
    assert meter.late() is not None
    with pytest.raises(TurnStopped):
        meter.admit()


async def test_a_tool_that_was_not_allotted_is_refused_in_words(tmp_path: Path) -> None:
    """The result of `look` tells the model to use every tool; it obeys, and nothing comes of it."""
    box = Box()
    obeys = [
        [reply("", ToolCall("c1", "box__look", "{}"))],
        [reply("", put("evil", "c2"))],
        [reply("I could not")],
    ]
    first = plan([task("a", "spy", tools=["box/look"])])
    async with stage(tmp_path, model := Players(first, work={"spy": obeys}), box, ALLOW) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.ended()
        assert box.got == {"look": 1}
        assert [tool.name for tool in model.of(WORKER)[0].tools] == ["box__look"]
        told = model.of(WORKER)[2].messages[-1]
        status, text = read_result(told.text)
        assert status == "invalid"
        assert "not among the tools" in text
        assert len(running.of(e.CallProposed)) == 1


async def test_rejected_calls_are_told_to_the_agent_that_made_them(tmp_path: Path) -> None:
    box = Box()
    async with stage(
        tmp_path,
        model := Players(plan([task("a", "one"), task("b", "two")])),
        box,
        '[policy]\norchestrator = "ask"\n',
    ) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.verdict()
        await running.count(e.ApprovalRequested, 2)
        for asked in running.of(e.ApprovalRequested):
            verdict = "reject" if asked.agent.endswith("t1") else "approve"
            await running.ask(
                c.DecideCall(call=asked.call, digest=asked.digest, verdict=verdict, feedback="not this")  # type: ignore[arg-type]
            )
        await running.ended()
        assert box.got == {"two": 1}
        told = {model.goal(r): r.messages[-1].text for r in model.of(WORKER) if len(r.messages) > 2}
        assert "not this" in told["one"]
        assert "not this" not in told["two"]


async def test_without_a_face_a_plan_that_asks_is_withheld(tmp_path: Path) -> None:
    box = Box()
    async with stage(tmp_path, Players(SIX), box, headless=True) as running:
        await running.ask(c.SendMessage(text="go"))
        ended = await running.ended()
        assert ended.status == "failed"
        assert "nobody is there" in ended.reason
        (decided,) = running.of(p.PlanDecided)
        assert (decided.verdict, decided.decider) == ("withdrawn", "headless")
        assert not box.got


async def test_a_report_that_cannot_be_had_is_written_by_us(tmp_path: Path) -> None:
    model = Players(plan([task("a", "one")]))
    model.report = [ModelError("auth", "the key was refused", todo="another key")]
    async with stage(tmp_path, model, Box(), ALLOW) as running:
        await running.ask(c.SendMessage(text="go"))
        ended = await running.ended()
        assert ended.status == "failed"
        assert "the key was refused" in ended.reason
        report = running.of(e.Answer)[-1]
        assert "title of one: done" in report.text
        assert "not by a model" in report.label


async def test_the_mode_can_be_set_and_a_following_turn_of_another_mode_is_a_chat(tmp_path: Path) -> None:
    model = Players('{"answer": "Hello!"}')
    async with stage(tmp_path, model, Box(), mode="chat") as running:
        assert isinstance(await running.ask(c.SetMode(mode="orchestrator")), e.CommandDone)
        await running.ask(c.SendMessage(text="hi"))
        await running.ended()
        model.work["hi"] = [[], [reply("chatting")]]
        await running.ask(c.SetMode(mode="chat"))
        await running.ask(c.SendMessage(text="and now"))
        await running.count(e.TurnEnded, 2)
        assert running.of(e.Answer)[-1].text == "chatting"
