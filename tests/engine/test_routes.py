"""Which of several servers answers for a tool, and who stands in for whom."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import call_table
from omni_tui.models.base import ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.values import CallOrigin
from omni_tui.servers.base import CallError
from omni_tui.tools.call_retries import RetryBackoff
from tests.engine.rig import Rig, rig, turns
from tests.engine.test_execution import AWAY, CUT, RAN, go, instead, rows, text, told
from tests.scripted_model import ScriptedModel, reply

CALL = ToolCall("p", "fast__write_note", '{"name":"a","text":"x"}')
ROUTE = '\n[tools.routes]\n"write_*" = ["fast", "slow", "last"]\n"echo" = ["slow", "fast"]\n'
ROUTE += '"list_*" = ["fast", "slow"]\n'
TWICE = '[tools.retry]\n"fast/*" = 1\n'


def servers(folder: Path) -> str:
    table = '[servers.{0}]\ncommand = "{1}"\nargs = ["-m", "omni_tui.demo.server", "{2}"]\n'
    for name in ("fast", "slow"):
        (folder / name).mkdir(parents=True)
    return "".join(table.format(name, sys.executable, folder / name) for name in ("fast", "slow")) + ROUTE


@asynccontextmanager
async def routed(
    folder: Path, model: ScriptedModel, mode: str = "auto", more: str = ""
) -> AsyncIterator[Rig]:
    async with rig(folder, model=model, mode=mode, demo=False, config=servers(folder) + more) as running:
        await running.connected("fast")
        await running.connected("slow")
        yield running


async def test_a_tool_with_a_route_is_offered_once_by_the_first_that_is_there(tmp_path: Path) -> None:
    model = ScriptedModel([reply("one")], [reply("two")])
    async with routed(tmp_path, model) as running:
        await go(running)
        names = {tool.name for tool in model.requests[0].tools}
        assert {"fast__write_note", "slow__echo", "fast__add", "slow__add"} <= names
        assert not {"slow__write_note", "fast__echo"} & names
        await running.ask(c.DisconnectServer(server="fast"))
        running.engine.context.catalogue.remove("fast")
        await go(running)
        names = {tool.name for tool in model.requests[1].tools}
        assert "slow__write_note" in names
        assert "fast__write_note" not in names


async def test_the_next_server_stands_in_for_a_call_that_did_not_run(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", CALL)], [reply("done")])
    async with routed(tmp_path, model) as running:
        fast = instead(running, lambda *_: AWAY, "fast")
        slow = instead(running, lambda *_: text("written"), "slow")
        await go(running)
        assert (fast, slow) == (["write_note"], ["write_note"])
        first, second = await rows(running)
        assert (first.state, second.state) == ("failed", "succeeded")
        assert first.args == second.args
        assert first.call != second.call
        proposed = running.of(e.CallProposed)[1]
        assert "fast › write_note" in proposed.fallback
        (answer,) = told(model)
        assert "written" in answer
        assert "fast could not be reached" in answer
        assert "slow" in answer


@pytest.mark.parametrize("error", [CUT, RAN])
async def test_a_call_that_may_have_run_goes_nowhere_else(tmp_path: Path, error: CallError) -> None:
    model = ScriptedModel([reply("", CALL)], [reply("done")])
    async with routed(tmp_path, model) as running:
        instead(running, lambda *_: error, "fast")
        slow = instead(running, lambda *_: text("written"), "slow")
        await go(running)
        assert slow == []
        assert len(await rows(running)) == 1


async def interfere(running: Rig, what: str) -> None:
    """Do something that keeps the call of the moment from being sent again."""
    session = running.session

    async def full(*_: object) -> None:
        raise OSError("no space left")

    if what == "stricter":
        session.settings.mode = "chat"
    elif what == "gone":
        running.engine.context.catalogue.remove("fast")
    elif what == "uses":
        session.policy_in_force.save_uses = full  # type: ignore[assignment, method-assign]
    else:
        running.link.send(c.StopRun())
        (active,) = set(session.calls._active.values())
        await turns(lambda: active.task is not None and active.task.cancelling() > 0)


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("in the pause", "stricter"),
        ("at the next attempt", "stricter"),
        ("behind it", "stricter"),
        ("behind it", "gone"),
        ("behind it", "uses"),
        ("behind it", "stop"),
        ("at its grant", "stop"),
    ],
)
async def test_what_may_have_run_is_uncertain_whatever_keeps_it_from_being_sent_again(
    tmp_path: Path, when: str, what: str
) -> None:
    """It is neither asked about, nor told as unsent, nor sent to the next server."""
    model = ScriptedModel([reply("", CALL)], [reply("done")])
    async with routed(tmp_path, model, more=TWICE) as running:
        session = running.session
        gate, commit, again = session.gate, session.journal.commit, session.gate.again

        async def now(here: str) -> None:
            if here == when:
                await interfere(running, what)

        async def committed(*events: Any, **more: Any) -> Any:
            found = await commit(*events, **more)
            if isinstance(events[0], e.AttemptFailed):
                await now("at the next attempt")
            elif (
                isinstance(events[0], e.CallChanged) and events[0].state == "dispatching" and len(fast) == 1
            ):
                await now("at its grant")
            return found

        async def then(*args: Any) -> bool:
            may = await again(*args)
            await now("behind it")
            return may

        session.calls._dispatcher.backoff = RetryBackoff(sleep=lambda _seconds: now("in the pause"))
        session.journal.commit = committed  # type: ignore[method-assign]
        gate.again = then  # type: ignore[assignment, method-assign]
        fast = instead(running, lambda *_: CUT, "fast")
        slow = instead(running, lambda *_: text("written"), "slow")
        await go(running)
        assert (fast, slow) == (["write_note"], [])
        (row,) = await rows(running)
        assert row.state == "uncertain"
        assert (gate.pending(), len(gate._open)) == ([], 0)
        assert running.of(e.ApprovalRequested) == []
        if what == "stop":
            await go(running, "what happened?")
        assert "may or may not have run" in told(model)[0]


async def test_a_crash_before_it_is_sent_again_forgets_no_attempt_that_may_have_run(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", CALL)], [reply("done")])
    async with routed(tmp_path, model, more=TWICE) as running:
        session, again = running.session, running.session.gate.again

        async def then_dies(*args: Any) -> bool:
            may = await again(*args)
            session.journal._writer._broken = "the power is gone"
            return may

        session.gate.again = then_dies  # type: ignore[assignment, method-assign]
        fast = instead(running, lambda *_: CUT, "fast")
        await running.ask(c.SendMessage(text="go"))
        await turns(lambda: bool(fast) and not session.runner.running)
        assert fast == ["write_note"]
        call = running.of(e.CallProposed)[0].call
    text_of = (tmp_path / "config.toml").read_text()
    async with rig(tmp_path, model=model, mode="auto", demo=False, config=text_of) as running:
        row = await running.session.journal.run(lambda tx: call_table.load(tx, call))
        assert row is not None
        assert (row.state, row.attempt) == ("uncertain", 2)
        assert running.session.gate.pending() == []


async def test_a_server_that_is_gone_is_stood_in_for(tmp_path: Path) -> None:
    model = ScriptedModel([reply("one")], [reply("", CALL)], [reply("done")])
    async with routed(tmp_path, model) as running:
        slow = instead(running, lambda *_: text("written"), "slow")
        await go(running)
        stream = model.stream

        async def then_gone(request: Any) -> Any:
            async for event in stream(request):
                running.engine.context.catalogue.remove("fast")
                yield event

        model.stream = then_gone  # type: ignore[method-assign]
        await go(running)
        assert slow == ["write_note"]
        (row,) = await rows(running)
        assert (row.server, row.state) == ("slow", "succeeded")
        assert "fast could not be reached" in told(model, 2)[-1]


@pytest.mark.parametrize(
    ("tool", "arguments"), [("write_note", '{"text": "x",  "name": "a"}'), ("list_notes", "")]
)
async def test_arguments_in_any_spelling_reach_the_server_that_stands_in(
    tmp_path: Path, tool: str, arguments: str
) -> None:
    """The tap of the real connection lets only the canonical bytes through that the gate hashed."""
    call = ToolCall("p", f"fast__{tool}", arguments)
    model = ScriptedModel([reply("one")], [reply("", call)], [reply("done")])
    async with routed(tmp_path, model) as running:
        await go(running)
        stream = model.stream

        async def then_gone(request: Any) -> Any:
            async for event in stream(request):
                running.engine.context.catalogue.remove("fast")
                yield event

        model.stream = then_gone  # type: ignore[method-assign]
        await go(running)
        (row,) = await rows(running)
        assert (row.server, row.state) == ("slow", "succeeded")
        assert "changed the arguments" not in told(model, 2)[-1]


async def test_the_stand_in_is_asked_about_and_the_card_says_for_what(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", CALL)], [reply("done")])
    async with routed(tmp_path, model, "chat") as running:
        instead(running, lambda *_: AWAY, "fast")
        slow = instead(running, lambda *_: text("written"), "slow")
        await running.ask(c.SendMessage(text="go"))
        first = await running.until(e.ApprovalRequested)
        await running.ask(c.DecideCall(call=first.call, digest=first.digest, verdict="approve"))
        second = await running.until(e.ApprovalRequested, lambda event: event.server == "slow")
        assert slow == []
        assert "replaces fast › write_note" in second.why[0]
        await running.ask(c.DecideCall(call=second.call, digest=second.digest, verdict="reject"))
        await running.until(e.TurnEnded)
        assert slow == []
        assert [row.state for row in await rows(running)] == ["failed", "rejected"]


async def test_stopping_while_the_stand_in_waits_leaves_nothing_in_the_queue(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", CALL)])
    async with routed(tmp_path, model, "chat") as running:
        instead(running, lambda *_: AWAY, "fast")
        await running.ask(c.SendMessage(text="go"))
        first = await running.until(e.ApprovalRequested)
        await running.ask(c.DecideCall(call=first.call, digest=first.digest, verdict="approve"))
        await running.until(e.ApprovalRequested, lambda event: event.server == "slow")
        await running.ask(c.StopRun())
        await running.until(e.TurnEnded)
        assert running.session.gate.pending() == []
        assert [row.state for row in await rows(running)] == ["failed", "cancelled"]


async def test_a_stand_in_that_waits_over_a_restart_still_says_for_what(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", CALL)])
    async with routed(tmp_path, model, "chat") as running:
        instead(running, lambda *_: AWAY, "fast")
        await running.ask(c.SendMessage(text="go"))
        first = await running.until(e.ApprovalRequested)
        await running.ask(c.DecideCall(call=first.call, digest=first.digest, verdict="approve"))
        await running.until(e.ApprovalRequested, lambda event: event.server == "slow")
    text_of = (tmp_path / "config.toml").read_text()
    async with rig(tmp_path, model=model, mode="chat", demo=False, config=text_of) as running:
        again = await running.until(e.ApprovalRequested, lambda event: event.restored)
        assert "replaces fast › write_note" in again.why[0]


async def test_arguments_that_do_not_fit_the_stand_in_go_nowhere(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", CALL)], [reply("done")])
    async with routed(tmp_path, model) as running:
        instead(running, lambda *_: AWAY, "fast")
        slow = instead(running, lambda *_: text("written"), "slow")
        tools = running.engine.context.catalogue._tools["slow"]
        tool = tools["write_note"]
        schema = {"type": "object", "properties": {"name": {"type": "integer"}}}
        other = replace(tool.definition, input_schema=schema)
        tools["write_note"] = replace(tool, definition=other, def_hash="another")
        await go(running)
        assert slow == []
        assert len(await rows(running)) == 1
        assert "slow was not tried instead" in told(model)[0]


async def test_a_server_outside_the_route_is_never_asked(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ToolCall("p", "fast__add", '{"a":1,"b":2}'))], [reply("done")])
    async with routed(tmp_path, model) as running:
        running.session.calls._dispatcher.backoff = replace(
            running.session.calls._dispatcher.backoff, delays=(0.0,)
        )
        instead(running, lambda *_: AWAY, "fast")
        slow = instead(running, lambda *_: text("x"), "slow")
        await go(running)
        assert slow == []


async def test_a_stand_in_for_a_call_of_a_plans_agent_is_asked_about(tmp_path: Path) -> None:
    """The plan that was approved says which tools its agents have; a route adds none unasked."""
    async with routed(tmp_path, ScriptedModel(), "orchestrator") as running:
        instead(running, lambda *_: AWAY, "fast")
        slow = instead(running, lambda *_: text("written"), "slow")
        desk = running.session.calls
        call = asyncio.ensure_future(desk.by_agent(CallOrigin("t-1", "root/t1", 1, CALL.id), CALL))
        asked = await running.until(e.ApprovalRequested)
        assert asked.server == "slow"
        assert any("the plan does not give this tool" in why for why in asked.why)
        assert slow == []
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))
        assert (await call).status == "succeeded"
        assert slow == ["write_note"]
