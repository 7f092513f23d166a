"""Autonomous turns: a goal, limits that end in a clear state, and a report of what was really done."""

from __future__ import annotations

from pathlib import Path

from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.conversation import RunReport, StepTaken
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply


def add(number: int) -> ToolCall:
    return ToolCall(f"x{number}", "demo__add", f'{{"a": {number}, "b": 2}}')


FAILS = ToolCall("f1", "demo__always_fails", '{"reason": "rain"}')


async def work(running: Rig, text: str = "reach it") -> e.TurnEnded:
    await running.connected()
    done = await running.ask(c.SendMessage(text=text))
    assert isinstance(done, e.CommandDone)
    return await running.until(e.TurnEnded, lambda event: event.turn == done.id)


async def test_a_goal_is_worked_on_and_what_was_done_is_reported_from_the_journal(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", add(1), FAILS)], [reply("", add(2))], [reply("All went well.")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        ended = await work(running)
        assert ended.status == "done"
        [told] = running.of(RunReport)
        assert told.seq < ended.seq
        assert told.states == {"succeeded": 2, "failed": 1}
        assert (told.calls[0].label, told.calls[0].state) == ("always_fails", "failed")
        assert told.tokens == 45
        assert [(event.step, event.max_steps) for event in running.of(StepTaken)] == [
            (1, 25),
            (2, 25),
            (3, 25),
        ]
        assert "End with a report" in model.requests[0].messages[0].text


async def test_requests_have_a_limit_that_is_said(tmp_path: Path) -> None:
    model = ScriptedModel(*([reply("", add(number))] for number in range(5)), [reply("done")])
    few = "[agent]\nmax_requests = 2\n"
    async with rig(tmp_path, model=model, mode="auto", config=few) as running:
        ended = await work(running)
        assert (ended.status, len(model.requests)) == ("limit", 2)
        assert "2 model requests" in ended.reason
        assert "continue" in ended.todo
        assert running.of(RunReport)[0].states == {"succeeded": 2}


async def test_time_has_a_limit_that_is_said(tmp_path: Path) -> None:
    count = ToolCall("s1", "demo__slow_count", '{"to": 2, "delay_s": 0.05}')
    model = ScriptedModel([reply("", count)], [reply("never asked")])
    short = "[agent]\nmax_minutes = 0.001\n"
    async with rig(tmp_path, model=model, mode="auto", config=short) as running:
        ended = await work(running)
        assert (ended.status, len(model.requests)) == ("limit", 1)
        assert "minutes" in ended.reason


async def test_a_chat_has_neither_goal_nor_report(tmp_path: Path) -> None:
    model = ScriptedModel([reply("hi")])
    async with rig(tmp_path, model=model) as running:
        assert (await work(running)).status == "done"
        assert running.of(RunReport) == []
        assert "End with a report" not in model.requests[0].messages[0].text
