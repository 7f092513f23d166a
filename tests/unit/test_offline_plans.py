"""The offline rules as planner, worker and reporter: they split, call, quote, and say what they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_tui.agents.plan import Plan, PlannableTool
from omni_tui.agents.plan_parser import DirectAnswer, PlanConstraints, read_draft
from omni_tui.agents.plan_prompts import (
    correction,
    failure,
    planner_system,
    rejection,
    reporter_system,
    worker_retry,
)
from omni_tui.agents.plan_state import TaskRecord
from omni_tui.models.base import TASK_FAILED, Message, ModelRequest, Purpose, Reply, ToolSpec
from omni_tui.models.message_history import tool_message
from omni_tui.models.offline import OfflineModel
from tests.unit.test_offline_model import DEMO

OFFER = {
    key: PlannableTool(key, "demo", spec) for spec in DEMO for key in [spec.name.replace("__", "/", 1)]
}
SYSTEM = planner_system(OFFER, "")


async def said(
    purpose: Purpose, *messages: Message, system: str = SYSTEM, tools: tuple[ToolSpec, ...] = ()
) -> Message:
    request = ModelRequest((Message(role="system", text=system), *messages), tools, purpose)
    last = [event async for event in OfflineModel().stream(request)][-1]
    assert isinstance(last, Reply)
    return last.message


def user(text: str) -> Message:
    return Message(role="user", text=text)


async def planned(text: str) -> Any:
    draft = await said("plan", user(text))
    return read_draft(draft.text, PlanConstraints(OFFER))


@pytest.mark.parametrize(
    ("text", "phases"),
    [
        ("add 17 and 25", [["demo/add"]]),
        ("add 17 and 25 and list my notes", [["demo/add", "demo/list_notes"]]),
        ("add 1 and 2, then list my notes", [["demo/add"], ["demo/list_notes"]]),
    ],
)
async def test_a_request_is_split_into_tasks(text: str, phases: list[list[str]]) -> None:
    plan = await planned(text)
    assert isinstance(plan, Plan)
    assert [[tool for task in phase.tasks for tool in task.tools] for phase in plan.phases] == phases
    assert "not a language model" in plan.analysis


async def test_parts_that_hand_a_result_on_stay_together() -> None:
    plan = await planned("add 1 and 2, then echo the result")
    (task,) = plan.tasks
    assert task.goal == "add 1 and 2, then echo the result"
    assert task.tools == ("demo/add", "demo/echo")


@pytest.mark.parametrize("text", ["paint the sky", "?", "read or delete the note"])
async def test_what_is_not_understood_is_said(text: str) -> None:
    found = await planned(text)
    assert isinstance(found, DirectAnswer)
    assert f"“{text}”" in found.text


async def test_no_tools_are_no_plan() -> None:
    draft = await said("plan", user("add 1 and 2"), system=planner_system({}, ""))
    assert isinstance(found := read_draft(draft.text, PlanConstraints({})), DirectAnswer)
    assert "no tools are connected" in found.text


async def test_the_rules_do_not_pretend_to_plan_anew() -> None:
    first = await said("plan", user("add 1 and 2"))
    for message in (rejection("use another tool"), correction(["wrong"])):
        again = await said("plan", user("add 1 and 2"), first, message)
        assert "cannot plan anew" in json.loads(again.text)["answer"]
    plan = read_draft(first.text, PlanConstraints(OFFER))
    assert isinstance(plan, Plan)
    record = TaskRecord(plan.tasks[0], "failed", 2, reason="no luck")
    asked = failure(plan, {"t1": record}, ["t1"], {})
    on = await said("plan", user("add 1 and 2"), first, asked)
    assert "no other way" in json.loads(on.text)["go_on"]


async def test_a_task_that_fails_says_so_once() -> None:
    goal = user("fail")
    call = await said("task", goal, tools=DEMO)
    result = tool_message(call.calls[0], "because it was asked to", "failed")
    over = await said("task", goal, call, result, tools=DEMO)
    assert over.text.startswith(TASK_FAILED)
    again = await said("task", goal, call, result, over, worker_retry("it was asked to"), tools=DEMO)
    assert again.text.startswith(f"{TASK_FAILED} it was asked to")
    assert not again.calls
    unclear = await said("task", user("paint the sky"), tools=DEMO)
    assert unclear.text.startswith(TASK_FAILED)


async def test_a_task_that_succeeds_quotes_its_result() -> None:
    goal = user("add 1 and 2")
    call = await said("task", goal, tools=DEMO)
    over = await said("task", goal, call, tool_message(call.calls[0], "3", "succeeded"), tools=DEMO)
    assert over.text.startswith("`add` answered")


async def test_the_report_closes_what_was_cut() -> None:
    records = [
        {
            "title": "one",
            "state": "done",
            "result": "it said:\n\n````json\n{",
            "calls": ["add: succeeded"],
        },
        {"title": "two", "state": "failed", "reason": "no luck"},
    ]
    text = "Records of all tasks, as JSON:\n" + json.dumps(records)
    report = (await said("report", user("go"), user(text), system=reporter_system(""))).text
    assert report.startswith("1 of 2 tasks were done.")
    assert "{\n````\n\n**two**: failed\n\nno luck" in report
    broken = (await said("report", user("nothing"), system=reporter_system(""))).text
    assert "cannot be read" in broken
