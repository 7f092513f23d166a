"""What a plan says of itself is what happened: what ran, which limit was reached, and that done is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from pathlib import Path

import pytest

from omni_tui.agents import orchestrator, turn_limits
from omni_tui.agents.turn_limits import TurnMeter
from omni_tui.models.base import ModelRequest, TextPart, ToolCall
from omni_tui.models.budget import BudgetExceeded
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import plan as p
from omni_tui.protocol.models import SetBudget
from tests.engine.orchestra import PLANNER, REPORTER, Box, Players, Stage, Turn, plan, put, stage, task
from tests.engine.rig import rig, turns
from tests.scripted_model import ScriptedModel, reply

ALLOW = '[policy]\nplan = "allow"\n'
SHORT = "[agent]\nmax_minutes = 0.001\n"
FAILS = [[reply("FAILED: no luck")], [reply("FAILED: no luck")]]


def forever() -> Awaitable[object]:
    return asyncio.Event().wait()


class Clock:
    """A clock that stands until it is told to go on, and counts how often somebody looked at it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now

    async def pass_an_hour(self) -> None:
        """Let an hour pass and be seen: whoever ended the turn by it looks no more."""
        self.now += 3600
        seen = self.looks
        await turns(lambda: self.looks >= seen + 3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which turns are measured."""
    clock = Clock()
    for module in (turn_limits, orchestrator):
        monkeypatch.setattr(module, "TurnMeter", partial(TurnMeter, clock=clock))
    return clock


# --- what ran is known ------------------------------------------------------------------------------


async def test_after_a_stop_the_person_and_the_next_planner_know_which_calls_ran(tmp_path: Path) -> None:
    box = Box()
    goes_on: list[Turn] = [[reply("", put("one"))], [forever()]]
    model = Players(plan([task("a", "one"), task("b", "two")]), '{"answer": "ok"}', work={"one": goes_on})
    async with stage(tmp_path, model, box, ALLOW) as running:
        await running.ask(c.SendMessage(text="fill the box"))
        await running.until(p.PlanTaskChanged, lambda event: event.task == "t2" and event.state == "done")
        await running.until(e.CallFinished, lambda _event: box.got["one"] == 1)
        await running.ask(c.StopRun())
        assert (await running.ended()).status == "stopped"
        told = running.of(e.Answer)[-1].text
        assert '`box/put` {"text": "one"}: done' in told
        assert '`box/put` {"text": "two"}: done' in told
        await running.ask(c.ContinueRun())
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        heard = model.of(PLANNER)[-1].messages
        assert heard[-1].text == "continue"
        assert any('box/put` {"text": "one"}: done' in message.text for message in heard)


async def test_a_planner_that_is_asked_about_a_failure_is_told_which_calls_ran(tmp_path: Path) -> None:
    wrote = [[reply("", put("two"))], [reply("FAILED: too late")], [reply("FAILED: too late")]]
    first = plan([task("a", "one"), task("b", "two")], [task("c", "three", "b")])
    model = Players(first, '{"go_on": "well"}', work={"two": wrote})
    async with stage(tmp_path, model, Box(), ALLOW) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.ended()
        asked = model.of(PLANNER)[1].messages[-1].text
        assert 'box/put {\\"text\\": \\"two\\"}: done' in asked
        assert "must not be made again" in asked


async def test_a_planner_that_calls_a_tool_is_told_that_nothing_was_sent(tmp_path: Path) -> None:
    class Caller(Players):
        def _turn(self, request: ModelRequest) -> Turn:
            if self.role(request) == PLANNER and len(self.of(PLANNER)) == 1:
                return [reply("", put("unasked"))]
            return super()._turn(request)

    box = Box()
    model = Caller("the calling answer", '{"answer": "ok"}')
    async with stage(tmp_path, model, box, ALLOW) as running:
        await running.ask(c.SendMessage(text="fill the box"))
        await running.ended()
    told = [message.text for message in model.of(PLANNER)[1].messages if message.role == "tool"]
    assert len(told) == 1
    assert "nothing happened" in told[0]
    assert "unknown" not in told[0]
    assert box.got == {}


# --- limits hold everywhere -------------------------------------------------------------------------


async def test_the_time_ends_a_call_that_runs(tmp_path: Path, clock: Clock) -> None:
    count = ToolCall("s1", "demo__slow_count", '{"to": 60, "delay_s": 0.5}')
    model = ScriptedModel([reply("", count)], [reply("never asked")])
    async with rig(tmp_path, model=model, mode="auto", config=SHORT) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="count"))
        await running.until(e.CallProgress)
        clock.now += 3600
        ended = await running.until(e.TurnEnded)
        assert (ended.status, ended.limit, len(model.requests)) == ("limit", "time", 1)
        assert "/continue" in ended.todo
        assert [event.state for event in running.of(e.CallFinished)] == []
        results = [m for m in running.session.runner.history() if m.role == "tool"]
        assert len(results) == 1


async def test_the_time_ends_an_answer_that_streams(tmp_path: Path, clock: Clock) -> None:
    model = ScriptedModel([TextPart("the beginning "), forever(), reply("never")])
    async with rig(tmp_path, model=model, mode="auto", config=SHORT) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="tell"))
        await running.until(e.AnswerDelta)
        clock.now += 3600
        ended = await running.until(e.TurnEnded)
        assert (ended.status, ended.limit) == ("limit", "time")
        assert running.of(e.Answer)[-1].text.startswith("the beginning")


async def test_what_waits_for_the_person_takes_no_time(tmp_path: Path, clock: Clock) -> None:
    write = ToolCall("w1", "demo__write_note", '{"name": "a", "text": "1"}')
    model = ScriptedModel([reply("", write)], [reply("written")])
    asks = SHORT + '[policy]\nauto = "ask"\n'
    async with rig(tmp_path, model=model, mode="auto", config=asks) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write"))
        asked = await running.until(e.ApprovalRequested)
        await clock.pass_an_hour()
        assert running.of(e.TurnEnded) == []
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))
        await running.until(e.TurnEnded)
        assert [event.state for event in running.of(e.CallFinished)] == ["succeeded"]


class Stuck(Players):
    """Hangs for ever in one role."""

    def __init__(self, role: str, *drafts: str) -> None:
        super().__init__(*drafts)
        self.stuck = role

    def _turn(self, request):  # type: ignore[no-untyped-def]
        return [forever()] if self.role(request) == self.stuck else super()._turn(request)


@pytest.mark.parametrize("role", [PLANNER, REPORTER])
async def test_the_time_ends_planning_and_reporting(tmp_path: Path, clock: Clock, role: str) -> None:
    model = Stuck(role, plan([task("a", "one")]))
    async with stage(tmp_path, model, Box(), ALLOW + SHORT) as running:
        await running.ask(c.SendMessage(text="go"))
        await turns(lambda: bool(model.of(role)))
        clock.now += 3600
        ended = await running.ended()
        assert (ended.status, ended.limit) == ("limit", "time")
        if role == REPORTER:
            assert "title of one: done" in running.of(e.Answer)[-1].text


async def test_a_plan_that_waits_for_the_person_takes_no_time(tmp_path: Path, clock: Clock) -> None:
    async with stage(tmp_path, Players(plan([task("a", "one")])), Box(), SHORT) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.waiting()
        await clock.pass_an_hour()
        assert running.of(e.TurnEnded) == []
        assert [event.verdict for event in running.of(p.PlanDecided)] == []


async def test_a_budget_that_is_used_up_in_a_worker_stops_the_plan_and_is_no_failed_task(
    tmp_path: Path,
) -> None:
    model = Players(plan([task("a", "one")], [task("b", "two", "a")]), "never asked")
    async with stage(tmp_path, model, Box(), ALLOW) as running:
        await running.ask(SetBudget(key="turn_tokens", value=0))
        budget = running.session.budget
        hold = budget.hold
        held = 0

        def once(turn, name, wanted):  # type: ignore[no-untyped-def]
            nonlocal held
            held += 1
            if held == 2:
                raise BudgetExceeded("all of it is used", "raise it")
            return hold(turn, name, wanted)

        budget.hold = once  # type: ignore[method-assign]
        await running.ask(c.SendMessage(text="go"))
        ended = await running.ended()
        assert (ended.status, ended.limit, ended.reason) == (
            "limit",
            "budget",
            "all of it is used",
        )
        assert running.states() == {"t1": "stopped", "t2": "stopped"}
        assert len(model.of(PLANNER)) == 1


# --- done means done --------------------------------------------------------------------------------


async def test_what_failed_and_was_planned_around_is_said_though_the_rest_is_done(tmp_path: Path) -> None:
    first = plan([task("a", "one")], [task("b", "two", "a")])
    model = Players(first, plan([task("c", "three")]), work={"one": FAILS})
    async with stage(tmp_path, model, Box(), ALLOW) as running:
        await running.ask(c.SendMessage(text="go"))
        ended = await running.ended()
        assert ended.status == "done"
        assert ended.reason == "a new plan replaced what failed: title of one"


async def rejected(running: Stage, which: str) -> None:
    asked = await running.until(e.ApprovalRequested, lambda event: which in event.arguments)
    await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="reject"))


async def test_a_task_whose_only_call_was_rejected_is_not_done_by_its_agents_word(tmp_path: Path) -> None:
    config = '[policy]\nplan = "allow"\norchestrator = "ask"\n'
    model = Players(plan([task("a", "one")]))
    async with stage(tmp_path, model, Box(), config) as running:
        await running.ask(c.SendMessage(text="go"))
        await rejected(running, "one")
        ended = await running.ended()
        assert ended.status == "failed"
        (last,) = [event for event in running.of(p.PlanTaskChanged) if event.state == "failed"]
        assert last.reason == "its only call was rejected, whatever its agent says"


async def test_a_task_of_which_some_calls_were_rejected_says_so(tmp_path: Path) -> None:
    config = '[policy]\nplan = "allow"\norchestrator = "ask"\n'
    two = [[reply("", put("yes", "c1"), put("no", "c2"))], [reply("all is put")]]
    model = Players(plan([task("a", "one")]), work={"one": two})
    async with stage(tmp_path, model, Box(), config) as running:
        await running.ask(c.SendMessage(text="go"))
        asked = await running.until(e.ApprovalRequested, lambda event: "yes" in event.arguments)
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))
        await rejected(running, "no")
        assert (await running.ended()).status == "done"
        (last,) = [event for event in running.of(p.PlanTaskChanged) if event.state == "done"]
        assert last.reason == "1 of its 2 calls were refused"


async def test_headless_a_task_whose_only_call_was_withheld_fails(tmp_path: Path) -> None:
    config = '[policy]\nplan = "allow"\nauto = "ask"\n'
    async with stage(tmp_path, Players(plan([task("a", "one")])), Box(), config, headless=True) as running:
        await running.ask(c.SendMessage(text="go"))
        assert (await running.ended()).status == "failed"
        assert running.states() == {"t1": "failed"}


# --- what covers the calls of a plan ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "calls"),
    [
        ("", "allow"),
        ('auto = "ask"', "ask"),
        ('auto = "ask"\norchestrator = "allow"', "allow"),
        ('orchestrator = "deny"', "deny"),
    ],
)
async def test_what_auto_asks_about_is_asked_about_in_a_plan_unless_the_person_says_otherwise(
    tmp_path: Path, policy: str, calls: str
) -> None:
    box = Box()
    config = f'[policy]\nplan = "allow"\n{policy}\n'
    async with stage(tmp_path, Players(plan([task("a", "one")])), box, config) as running:
        await running.ask(c.SendMessage(text="go"))
        if calls == "ask":
            asked = await running.until(e.ApprovalRequested)
            assert not box.got
            await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))
        await running.ended()
        assert running.of(p.PlanProposed)[0].calls == calls
        assert bool(box.got) == (calls != "deny")


# --- going on ---------------------------------------------------------------------------------------


async def test_continue_goes_on_after_a_limit_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    model = ScriptedModel(
        [reply("", ToolCall("x1", "demo__add", '{"a": 1, "b": 2}'))], [reply("three")], [reply("never")]
    )
    async with rig(tmp_path, model=model, mode="auto", config="[agent]\nmax_steps = 1\n") as running:
        await running.connected()
        refused = await running.ask(c.ContinueRun())
        assert isinstance(refused, e.CommandFailed)
        assert "nothing to continue" in refused.what
        await running.ask(c.SendMessage(text="add"))
        first = await running.until(e.TurnEnded)
        assert (first.status, first.limit) == ("limit", "steps")
        assert first.todo == "type /continue to let it continue"
        assert isinstance(await running.ask(c.ContinueRun()), e.CommandDone)
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        refused = await running.ask(c.ContinueRun())
        assert isinstance(refused, e.CommandFailed)
