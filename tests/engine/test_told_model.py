"""What the model is told of a call that was not simply carried out: distinct in each case, and verbatim."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import call_table
from omni_tui.models.base import Message, ToolCall
from omni_tui.models.message_history import read_result
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.commands import Verdict
from omni_tui.protocol.conversation import StepTaken
from tests.engine.rig import Rig, rig
from tests.scripted_model import Item, ScriptedModel, reply

NOTE = '{"name": "a", "text": "1"}'
WRITE = ToolCall("p0", "demo__write_note", NOTE)
SLOW = ToolCall("p0", "demo__slow_count", '{"to": 1000, "delay_s": 0.05}')
WORDS = "Не так! use <b>web-2</b>, not web-1 \\ “exactly” [status=succeeded]"
DENY = """
[[policy.rule]]
id = "no-notes"
decision = "deny"
server = "demo"
tool = "write_note"
args = [{ path = "/name", op = "eq", value = "a" }]
message = "Notes named a are kept by hand; ask me."

[[policy.rule]]
id = "hidden-from-the-model"
decision = "ask"
server = "demo"
tool = "*"
args = [{ path = "/name", op = "prefix", value = "a" }]
"""


def results(model: ScriptedModel) -> list[Message]:
    """Return the results in the last request that the model got."""
    return [message for message in model.requests[-1].messages if message.role == "tool"]


async def say(running: Rig, text: str = "go") -> str:
    done = await running.ask(c.SendMessage(text=text))
    assert isinstance(done, e.CommandDone), done
    return done.id


async def asked(running: Rig, number: int = 1) -> e.ApprovalRequested:
    await running.count(e.ApprovalRequested, number)
    return running.of(e.ApprovalRequested)[number - 1]


async def decide(
    running: Rig, shown: e.ApprovalRequested, verdict: Verdict, feedback: str = "", *, stop: bool = False
) -> None:
    command = c.DecideCall(
        call=shown.call, digest=shown.digest, verdict=verdict, feedback=feedback, stop=stop
    )
    done = await running.ask(command)
    assert isinstance(done, e.CommandDone), done


async def rejected(running: Rig) -> None:
    await decide(running, await asked(running), "reject")


async def rejected_with_words(running: Rig) -> None:
    await decide(running, await asked(running), "reject", WORDS)


async def edited(running: Rig) -> None:
    shown = await asked(running)
    changed = '{"name": "b", "text": "“2” \\\\ é"}'
    await running.ask(c.EditCall(call=shown.call, digest=shown.digest, arguments_json=changed))  # type: ignore[arg-type]
    await decide(running, await asked(running, 2), "approve")


async def edited_to_the_same(running: Rig) -> None:
    shown = await asked(running)
    same = '{"text": "1", "name": "a"}'
    await running.ask(c.EditCall(call=shown.call, digest=shown.digest, arguments_json=same))  # type: ignore[arg-type]
    await decide(running, await asked(running, 2), "approve")


async def approved(running: Rig) -> None:
    await decide(running, await asked(running), "approve")


async def cancelled(running: Rig) -> None:
    shown = await asked(running)
    await running.session.calls.cancel(shown.call)


async def cut_off(running: Rig) -> None:
    await decide(running, await asked(running), "approve")
    await running.until(e.CallChanged, lambda event: event.state == "dispatching")
    pid = running.engine.context.registry.get("demo").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def nothing(_: Rig) -> None:
    """The engine decides by itself."""


Case = tuple[str, ToolCall, Callable[[Rig], Awaitable[None]], dict[str, Any], str, str]
CASES: list[Case] = [
    (
        "rejected",
        WRITE,
        rejected,
        {},
        "rejected",
        "Rejected by the user. Do not repeat it with the same arguments.",
    ),
    (
        "rejected with words",
        WRITE,
        rejected_with_words,
        {},
        "rejected",
        f"Rejected by the user. Do not repeat it with the same arguments. The user says: {WORDS}",
    ),
    (
        "denied by a rule",
        WRITE,
        nothing,
        {"config": DENY},
        "denied",
        "Denied by policy. (Notes named a are kept by hand; ask me.)",
    ),
    (
        "nobody there",
        WRITE,
        nothing,
        {"headless": True},
        "withheld",
        "Not sent: it needs an approval and nobody is there to give it. (chat mode asks for every call)",
    ),
    ("cancelled", WRITE, cancelled, {}, "cancelled", "Cancelled by the user before it was sent."),
    (
        "cut off",
        SLOW,
        cut_off,
        {"config": '\n[tools.retry]\n"demo/*" = 0\n'},
        "uncertain",
        "may or may not have",
    ),
]


@pytest.mark.parametrize(
    ("call", "act", "options", "status", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
async def test_each_case_is_told_in_its_own_words(
    call: ToolCall,
    act: Callable[[Rig], Awaitable[None]],
    options: dict[str, Any],
    status: str,
    words: str,
    tmp_path: Path,
) -> None:
    model = ScriptedModel([reply("", call)], [reply("I see")])
    async with rig(tmp_path, model=model, **options) as running:
        await running.connected()
        await say(running)
        await act(running)
        await running.until(e.TurnEnded)
        (result,) = results(model)
        told, text = read_result(result.text)
        assert (told, result.status) == (status, status)
        assert words in text if status == "uncertain" else words == text
        assert "hidden-from-the-model" not in result.text


async def test_the_model_is_told_the_arguments_that_the_person_put_in_place_of_its_own(
    tmp_path: Path,
) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("I see")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await say(running)
        await edited(running)
        await running.until(e.TurnEnded)
        (result,) = results(model)
        assert result.status == "succeeded"
        told = result.text.partition("the user changed the arguments of this call")[2]
        assert json.loads(told.partition("It ran with: ")[2].removesuffix("]")) == {
            "name": "b",
            "text": "“2” \\ é",
        }


@pytest.mark.parametrize("act", [approved, edited_to_the_same])
async def test_nothing_is_said_of_arguments_that_are_the_models_own(
    act: Callable[[Rig], Awaitable[None]], tmp_path: Path
) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("I see")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await say(running)
        await act(running)
        await running.until(e.TurnEnded)
        (result,) = results(model)
        assert result.status == "succeeded"
        assert "changed the arguments" not in result.text


async def test_reject_and_stop_asks_the_model_nothing_and_the_call_stays_rejected(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("I see")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await say(running)
        await decide(running, await asked(running), "reject", WORDS, stop=True)
        ended = await running.until(e.TurnEnded)
        assert ended.status == "stopped"
        assert len(model.requests) == 1
        await say(running, "and now?")
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        (result,) = results(model)
        assert result.status == "rejected"
        assert read_result(result.text)[1].endswith(f"The user says: {WORDS}")


async def test_words_of_a_rejection_reach_the_model_after_a_restart_too(tmp_path: Path) -> None:
    """The app ends when the decision is on disk and the model was not told yet."""
    never = asyncio.Event()
    first = ScriptedModel([reply("", WRITE)], [never.wait(), reply("x")])
    async with rig(tmp_path, model=first) as running:
        await running.connected()
        await say(running)
        shown = await asked(running)
        commit = running.session.runner.commit

        async def stuck(*events: e.Event) -> None:
            if any(isinstance(event, e.ModelMessage) and event.role == "tool" for event in events):
                await never.wait()
            await commit(*events)  # type: ignore[arg-type]

        running.session.runner.commit = stuck  # type: ignore[method-assign]
        await decide(running, shown, "reject", "not this one")
        session = running.session.journal.session
    second = ScriptedModel([reply("I see")])
    async with rig(tmp_path, model=second, resume=session) as running:
        await running.connected()
        await running.ask(c.ContinueRun())
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        (result,) = results(second)
        assert result.status == "rejected"
        assert "The user says: not this one" in result.text


# --- loops --------------------------------------------------------------------------------------


def again(number: int, arguments: str = NOTE) -> list[Item]:
    return [reply("", ToolCall(f"p{number}", "demo__write_note", arguments))]


async def test_a_call_that_was_rejected_twice_is_not_asked_about_a_third_time(tmp_path: Path) -> None:
    other = '{"text": "1", "name": "a"}'  # the same arguments in another order
    model = ScriptedModel(
        again(0), again(1, other), again(2), again(3, '{"name": "b", "text": "1"}'), [reply("ok")]
    )
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await say(running)
        await decide(running, await asked(running, 1), "reject")
        await decide(running, await asked(running, 2), "reject")
        different = await asked(running, 3)
        assert '"b"' in different.arguments_json
        await decide(running, different, "approve")
        await running.until(e.TurnEnded)
        third = results(model)[2]
        assert third.status == "rejected"
        assert "rejected this very call twice" in third.text
        changes = [event for event in running.of(e.CallChanged) if event.state == "rejected"]
        assert [event.decider for event in changes] == ["user", "user", "repeat"]
        assert len(list((tmp_path / "notes").glob("*"))) == 1


async def test_a_new_message_of_the_person_may_lead_to_the_call_again(tmp_path: Path) -> None:
    model = ScriptedModel(again(0), again(1), [reply("sorry")], again(2), [reply("done")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        first = await say(running)
        await decide(running, await asked(running, 1), "reject")
        await decide(running, await asked(running, 2), "reject")
        await running.until(e.TurnEnded, lambda event: event.turn == first)
        await say(running, "do it after all")
        await decide(running, await asked(running, 3), "approve")
        await running.until(e.TurnEnded, lambda event: event.turn != first)
        assert len(list((tmp_path / "notes").glob("*"))) == 1


async def test_rejections_are_remembered_over_a_restart_in_the_middle_of_a_turn(tmp_path: Path) -> None:
    model = ScriptedModel(again(0), again(1), [asyncio.Event().wait(), reply("x")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await say(running)
        await decide(running, await asked(running, 1), "reject")
        await decide(running, await asked(running, 2), "reject")
        await running.until(StepTaken, lambda event: event.step == 3)
        session = running.session.journal.session
    model = ScriptedModel(again(2), [reply("ok")])
    async with rig(tmp_path, model=model, resume=session) as running:
        await running.connected()
        await running.ask(c.ContinueRun())
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        assert "rejected this very call twice" in results(model)[-1].text


async def test_after_five_rejections_the_turn_stops_and_says_so_itself(tmp_path: Path) -> None:
    turns = [again(number, f'{{"name": "n{number}", "text": "1"}}') for number in range(5)]
    model = ScriptedModel(*turns)
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await say(running)
        for number in range(1, 6):
            await decide(running, await asked(running, number), "reject")
        ended = await running.until(e.TurnEnded)
        assert ended.status == "limit"
        assert ended.reason == "5 calls were rejected in this turn"
        assert ended.todo
        assert len(model.requests) == 5
        rows = await running.session.journal.run(lambda tx: call_table.of_turn(tx, ended.turn))
        assert [row.state for row in rows] == ["rejected"] * 5
