"""A plan survives the engine's end between any two steps: it goes on, and no call is made twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from omni_tui.memory import call_table
from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import plan as p
from tests.engine.orchestra import Box, Players, Stage, plan, put, refuse, stage, task
from tests.lengths import some
from tests.scripted_model import reply

ALLOW = '[policy]\nplan = "allow"\n[agent]\nparallel = 2\n'
ASK = "[agent]\nparallel = 2\n"
FIRST = plan([task("a", "one"), task("b", "two")], [task("c", "three", "b"), task("d", "four", "a")])
SECOND = plan([task("x", "five", "t1")])
WORK = {
    "two": [
        [reply("", put("two"))],
        [reply("FAILED: no")],
        [reply("", put("two again"))],
        [reply("FAILED:")],
    ]
}
WHOLE = {"one": 1, "two": 1, "two again": 1, "five": 1}
COMMITS = 40


def players() -> Players:
    return Players(FIRST, SECOND, work=WORK)


def broke(event: e.Event) -> bool:
    return isinstance(event, e.JournalFailed)


async def approve_all(running: Stage, ends: Callable[[e.Event], bool] = lambda _event: False) -> e.Event:
    """Approve what waits, as often as something does, until the turn is over, or something `ends` it."""
    decided: set[str] = set()

    def waits(event: e.Event) -> bool:
        return isinstance(event, p.PlanProposed) and event.plan not in decided

    def is_end(event: e.Event) -> bool:
        return ends(event) or (isinstance(event, e.TurnEnded) and event.status != "parked")

    while True:
        event = await running.until(e.Event, lambda event: is_end(event) or waits(event))
        if not isinstance(event, p.PlanProposed):
            return event
        decided.add(event.plan)
        if event.asks and event.plan not in {each.plan for each in running.of(p.PlanDecided)}:
            answer = await running.ask(
                p.DecidePlan(plan=event.plan, digest=event.digest, verdict="approve")
            )
            if isinstance(answer, e.CommandFailed):
                return answer  # The verdict could not be written down; the plan waits on.


CUT = ("uncertain", "cancelled")


async def go_on(folder: Path, box: Box, config: str) -> tuple[e.Event, list[e.Event], list[str]]:
    """Start again, continue what was cut off, and return how it ended, with the whole journal."""
    async with stage(folder, players(), box, config) as running:
        await running.until(e.ReplayDone)
        if not running.of(e.UserMessage):
            await running.ask(c.SendMessage(text="go"))
        elif not [event for event in running.of(e.TurnEnded) if event.status != "parked"]:
            answer = await running.ask(c.ContinueRun())
            assert isinstance(answer, e.CommandDone), answer
        ended = await approve_all(running)
        journal = running.session.journal
        rows = await journal.run(lambda tx: call_table.open_calls(tx))
        return ended, list(running.seen), [row.call for row in rows]


def outcome(events: list[e.Event]) -> dict[str, str]:
    return {event.task: event.state for event in events if isinstance(event, p.PlanTaskChanged)}


def assert_no_call_was_made_twice(events: list[e.Event]) -> None:
    sent = Counter(
        event.call for event in events if isinstance(event, e.CallChanged) and event.state == "dispatching"
    )
    assert all(count == 1 for count in sent.values()), sent


def assert_the_end_is_the_same(ended: e.Event, events: list[e.Event], box: Box) -> None:
    assert isinstance(ended, e.TurnEnded)
    assert ended.status == "done", ended
    # A call cut off on its way to the server is not known to have run, or known not to have, and is the
    # agent's to repeat, which this one does not.
    cut = [event for event in events if isinstance(event, e.CallChanged) and event.state in CUT]
    assert max(box.got.values()) == 1, box.got
    assert set(box.got) <= set(WHOLE)
    assert len(WHOLE) - len(box.got) <= len(cut)
    assert_no_call_was_made_twice(events)
    assert outcome(events) == {"t1": "done", "t2": "failed", "t3": "skipped", "t4": "skipped", "t5": "done"}
    reports = [event.text for event in events if isinstance(event, e.Answer) and event.agent == "root"]
    assert reports == ["All of it was done."]
    assert len([event for event in events if isinstance(event, p.PlanEnded)]) == 2


@pytest.mark.parametrize("config", [ALLOW, ASK], ids=["allow", "ask"])
async def test_the_whole_without_a_crash(tmp_path: Path, config: str) -> None:
    box = Box()
    ended, events, left = await go_on(tmp_path, box, config)
    assert (left, dict(box.got)) == ([], WHOLE)
    assert_the_end_is_the_same(ended, events, box)


@pytest.mark.parametrize("commits", some(range(COMMITS), 12))
async def test_going_on_after_the_disk_refused(tmp_path: Path, commits: int) -> None:
    """Whatever was the last thing on disk: what was sent is not sent again, and the end is the same."""
    box = Box()
    config = ALLOW if commits % 2 else ASK
    async with stage(tmp_path, players(), box, config, at_commit=(commits, refuse)) as running:
        answer = await running.ask(c.SendMessage(text="go"))
        if isinstance(answer, e.CommandDone):
            ended = await approve_all(running, broke)
        if not running.session.journal.broken:
            # How many commits share a flush differs; this number comes after the end.
            assert_the_end_is_the_same(ended, list(running.seen), box)
            return
    ended, events, left = await go_on(tmp_path, box, config)
    assert left == []
    assert_the_end_is_the_same(ended, events, box)


@pytest.mark.parametrize("commits", some(range(1, 29, 2), 5))
async def test_going_on_after_leaving(tmp_path: Path, commits: int) -> None:
    """The same when the app is left in the middle, which parks the turn."""
    box = Box()
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()

    def now(_engine: object) -> None:
        loop.call_soon_threadsafe(leave.set)

    async with stage(tmp_path, players(), box, ALLOW, at_commit=(commits, now)) as running:
        await running.ask(c.SendMessage(text="go"))
        over = asyncio.ensure_future(approve_all(running))
        leaving = asyncio.ensure_future(leave.wait())
        await asyncio.wait({over, leaving}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        leaving.cancel()
    if [event for event in running.of(e.TurnEnded) if event.status != "parked"]:
        # How many commits share a flush differs; this number comes after the end.
        assert_the_end_is_the_same(running.of(e.TurnEnded)[-1], list(running.seen), box)
        return
    ended, events, left = await go_on(tmp_path, box, ALLOW)
    assert left == []
    assert_the_end_is_the_same(ended, events, box)


async def left_with_an_open_plan(folder: Path, box: Box) -> p.PlanProposed:
    async with stage(folder, players(), box, ASK) as running:
        await running.ask(c.SendMessage(text="go"))
        return await running.waiting()


async def test_a_verdict_after_a_restart_is_the_word_to_go_on(tmp_path: Path) -> None:
    box = Box()
    shown = await left_with_an_open_plan(tmp_path, box)
    async with stage(tmp_path, players(), box, ASK) as running:
        again = await running.waiting()
        assert (again.plan, again.digest) == (shown.plan, shown.digest)
        assert not running.session.runner.running
        ended = await approve_all(running)
        assert_the_end_is_the_same(ended, list(running.seen), box)


async def test_an_edit_after_a_restart_still_waits(tmp_path: Path) -> None:
    box = Box()
    shown = await left_with_an_open_plan(tmp_path, box)
    async with stage(tmp_path, players(), box, ASK) as running:
        await running.waiting()
        other = JsonText(shown.plan_json.replace('"goal":"one"', '"goal":"another"'))
        await running.ask(p.EditPlan(plan=shown.plan, digest=shown.digest, plan_json=other))
        edited = await running.waiting(edited=True)
        await running.ask(c.ContinueRun())
        assert not box.got
        await running.ask(p.DecidePlan(plan=edited.plan, digest=edited.digest, verdict="approve"))
        await approve_all(running)
        assert box.got == {**{name: 1 for name in WHOLE if name != "one"}, "another": 1}


async def test_a_plan_that_is_left_behind_is_withdrawn(tmp_path: Path) -> None:
    box = Box()
    shown = await left_with_an_open_plan(tmp_path, box)
    async with stage(tmp_path, Players('{"answer": "Hello!"}'), box, ASK, mode="chat") as running:
        await running.waiting()
        await running.ask(c.SetMode(mode="orchestrator"))
        await running.ask(c.SendMessage(text="something else"))
        decided = await running.until(p.PlanDecided)
        assert (decided.plan, decided.verdict) == (shown.plan, "withdrawn")
        ended = await running.until(e.TurnEnded, lambda event: event.status != "parked")
        assert ended.status == "done"
        assert not box.got


async def test_calls_that_waited_for_approval_wait_again_in_their_lanes(tmp_path: Path) -> None:
    box = Box()
    both = '[policy]\nplan = "allow"\norchestrator = "ask"\n'
    two = plan([task("a", "one"), task("b", "two")])
    async with stage(tmp_path, Players(two), box, both) as running:
        await running.ask(c.SendMessage(text="go"))
        await running.count(e.ApprovalRequested, 2)
    async with stage(tmp_path, Players(two), box, both) as running:
        await running.until(
            e.ApprovalRequested,
            lambda _e: len({x.call for x in running.of(e.ApprovalRequested) if x.restored}) == 2,
        )
        decided: set[str] = set()
        while len(decided) < 2:
            asked = await running.until(
                e.ApprovalRequested,
                lambda x: x.restored and bool(x.transport) and x.call not in frozenset(decided),
            )
            answer = await running.ask(
                c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve")
            )
            assert isinstance(answer, e.CommandDone), answer
            decided.add(asked.call)
        ended = await running.ended()
        assert ended.status == "done"
        assert {x.agent for x in running.of(e.ApprovalRequested)} == {"root/p1/t1", "root/p1/t2"}
        assert box.got == {"one": 1, "two": 1}
