"""The goal of an autonomous turn, its parts and the report; and what a model proposes in chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni_tui.agents.goal import goal_stated
from omni_tui.agents.proposed_actions import actions_proposed
from omni_tui.conversations import conversation_of
from omni_tui.conversations.document import FileNote
from omni_tui.engine.turn_report import checked_part
from omni_tui.face.transcript.fold import Fold
from omni_tui.face.transcript.item_types import NoticeItem
from omni_tui.memory.call_table import TurnCall
from omni_tui.models.base import Message, ToolCall, ToolSpec
from omni_tui.protocol import commands as c
from omni_tui.protocol import encode_record
from omni_tui.protocol import events as e
from omni_tui.protocol.conversation import RunReport
from omni_tui.protocol.goals import ActionsProposed, GoalPart, GoalStated, GoalTracked
from omni_tui.protocol.text import SafeText
from tests.engine.rig import Rig, rig
from tests.face.test_hostile_text import TEXTS
from tests.scripted_model import ScriptedModel, reply

ADD = ToolCall("x1", "demo__add", '{"a": 1, "b": 2}')
FAILS = ToolCall("f1", "demo__always_fails", '{"reason": "rain"}')
LIST = "Please:\n- add two numbers\n- make it rain\n* tell me"


def track(number: int, *parts: dict[str, Any]) -> ToolCall:
    return ToolCall(f"g{number}", "track_goal", json.dumps({"parts": parts}))


def part(text: str, state: str = "open", *calls: str) -> dict[str, Any]:
    return {"text": text, "state": state, "calls": list(calls)}


async def work(running: Rig, text: str) -> e.TurnEnded:
    await running.connected()
    done = await running.ask(c.SendMessage(text=text))
    assert isinstance(done, e.CommandDone)
    return await running.until(e.TurnEnded, lambda event: event.turn == done.id)


def notices(running: Rig) -> list[NoticeItem]:
    fold = Fold()
    for event in running.seen:
        fold.apply(event)
    return [item for item in fold.items if isinstance(item, NoticeItem)]


async def notes(running: Rig) -> list[str]:
    journal = running.session.journal
    made = await journal.run(lambda tx: conversation_of(tx, journal.session))
    return [item.text for item in made.items if isinstance(item, FileNote)]


# --- auto -----------------------------------------------------------------------------------------


async def test_the_goal_is_stated_and_each_part_is_checked_against_the_journal(tmp_path: Path) -> None:
    said = [
        part("add two numbers", "reached", "demo__add"),
        part("make it rain", "reached", "demo__always_fails"),
        part("tell me", "reached"),
        part("sing", "not_reached"),
    ]
    model = ScriptedModel(
        [reply("", track(1, part("add two numbers")), ADD, FAILS)],
        [reply("", track(2, *said))],
        [reply("All went well.")],
    )
    async with rig(tmp_path, model=model, mode="auto") as running:
        ended = await work(running, LIST)
        [stated] = running.of(GoalStated)
        assert stated.parts == ("add two numbers", "make it rain", "tell me")
        assert stated.goal == LIST
        first = min(event.seq for event in running.of(e.CallProposed))
        assert stated.seq < first
        [report] = running.of(RunReport)
        assert report.seq < ended.seq
        # The model says that it rained; the journal knows that the call failed.
        assert [each.state for each in report.parts] == [
            "reached", "not_checked", "not_checked", "not_reached"]  # fmt: skip
        [add] = [call.call for call in report.calls if call.label == "add"]
        assert report.parts[0].calls == (add,)
        assert report.goal == LIST
        assert "track_goal" in {tool.name for tool in model.requests[0].tools}
        shown = notices(running)[-1].more
        assert any(line.startswith("reached: add two numbers  (demo › add)") for line in shown)
        assert "not checked: make it rain  (demo › always_fails)" in shown
        text = "\n".join(await notes(running))
        assert "reached: add two numbers (demo › add)" in text
        assert "failed: demo › always_fails" in text
        assert json.loads(encode_record(report))["parts"][0]["state"] == "reached"


async def test_the_report_stands_though_the_model_writes_nothing_and_calls_nothing(tmp_path: Path) -> None:
    model = ScriptedModel([reply("no.")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await work(running, "reach it")
        [report] = running.of(RunReport)
        assert report.states == {}
        assert report.parts == (GoalPart(text=SafeText("reach it"), state="not_checked"),)
        assert notices(running)[-1].what == "no calls"
        assert "goal, not checked: reach it" in "\n".join(await notes(running))


async def test_what_is_open_is_named(tmp_path: Path) -> None:
    model = ScriptedModel(*([reply("", ADD)] for _ in range(5)))
    few = "[agent]\nmax_requests = 1\n"
    async with rig(tmp_path, model=model, mode="auto", config=few) as running:
        ended = await work(running, "reach it")
        assert ended.status == "limit"
        [report] = running.of(RunReport)
        assert report.open == (f"the turn did not end by itself: {ended.reason}",)


@pytest.mark.parametrize(
    "arguments",
    ["{}", '{"parts": []}', '{"parts": "x"}', '{"parts": [1]}', '{"parts": [{"text": " "}]}',
     '{"parts": [{"text": "a", "state": "done"}]}',
     '{"parts": [{"text": "a", "state": "reached", "calls": 1}]}'],
)  # fmt: skip
async def test_words_about_the_goal_that_cannot_be_read_are_refused(tmp_path: Path, arguments: str) -> None:
    model = ScriptedModel([reply("", ToolCall("g", "track_goal", arguments))], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        assert (await work(running, "reach it")).status == "done"
        assert running.of(GoalTracked) == []
        assert running.of(RunReport)[0].parts[0].state == "not_checked"


ROW = TurnCall(call="c-1", server="demo", tool="add", state="succeeded", provider_call_id="x1")


@pytest.mark.parametrize("name", ["c-1", "x1", "add", "demo__add"])
def test_a_part_is_reached_only_if_a_call_that_succeeded_shows_it(name: str) -> None:
    said = GoalPart(text=SafeText("a"), state="reached", calls=(name,))
    assert checked_part(said, [ROW]) == GoalPart(text=SafeText("a"), state="reached", calls=("c-1",))
    for state in ("failed", "uncertain", "rejected", "denied", "pending"):
        row = TurnCall(call="c-1", server="demo", tool="add", state=state, provider_call_id="x1")
        assert checked_part(said, [row]).state == "not_checked"
    assert checked_part(said, []).state == "not_checked"
    still = GoalPart(text=SafeText("a"), calls=(name,))
    assert checked_part(still, [ROW]).state == "not_checked"


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_goal_is_made_safe(text: str) -> None:
    stated = goal_stated("t", f"- {text}\n- {text}\n1) x")
    assert all(line.isprintable() or line == "" for line in stated.parts)
    proposed = actions_proposed("t", Message("assistant", text, calls=(ToolCall("1", text, text),)), [])
    assert proposed is not None
    for line in (proposed.intent, *(x for each in proposed.actions for x in (each.label, each.arguments))):
        assert line.isprintable() or line == ""


# --- chat -----------------------------------------------------------------------------------------


async def test_in_chat_the_proposed_actions_stand_before_the_first_card(tmp_path: Path) -> None:
    words = "I add the numbers first.\n\nThen more."
    model = ScriptedModel([reply(words, ADD, FAILS)], [reply("done")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        asked = await running.until(e.ApprovalRequested)
        [proposed] = running.of(ActionsProposed)
        assert proposed.seq < asked.seq
        assert proposed.intent == "I add the numbers first."
        assert [each.label for each in proposed.actions] == ["demo › add", "demo › always_fails"]
        assert proposed.actions[0].arguments == '{"a": 1, "b": 2}'
        [notice] = [item for item in notices(running) if item.what == "proposed: 2 actions"]
        assert notice.why == "I add the numbers first."


async def test_nothing_is_invented(tmp_path: Path) -> None:
    tools = [ToolSpec("demo__add", "adds", {}, label="demo › add")]
    silent = actions_proposed("t", Message("assistant", "", calls=(ADD,)), tools)
    assert silent is not None
    assert silent.intent == ""
    assert actions_proposed("t", Message("assistant", "only words"), tools) is None
    ours = ToolCall("1", "read_result", "{}")
    assert actions_proposed("t", Message("assistant", "x", calls=(ours,)), tools) is None


async def test_chat_has_no_goal_and_auto_no_list(tmp_path: Path) -> None:
    model = ScriptedModel([reply("hi")])
    async with rig(tmp_path / "chat", model=model) as running:
        await work(running, "hello")
        assert running.of(GoalStated) == []
        assert running.of(RunReport) == []
        assert "track_goal" not in {tool.name for tool in model.requests[0].tools}
    async with rig(
        tmp_path / "auto", model=ScriptedModel([reply("x", ADD)], [reply("y")]), mode="auto"
    ) as it:
        await work(it, "hello")
        assert it.of(ActionsProposed) == []
