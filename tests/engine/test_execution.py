"""How the calls of an agent are carried out: in order, again where that is safe, from the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omni_tui.memory import CallRow, call_table
from omni_tui.models.base import ToolCall
from omni_tui.policy import ArgumentCondition, Rule
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.servers.base import CallError, Dispatch, RawResult
from omni_tui.tools.call_retries import RetryBackoff
from tests.engine.rig import Rig, rig, turns
from tests.scripted_model import ScriptedModel, reply

Answer = Callable[[Dispatch, int], Any]
READ = ToolCall("r", "demo__add", '{"a":1,"b":2}')
WRITE = ToolCall("w", "demo__write_note", '{"name":"a","text":"x"}')
ECHO = ToolCall("r", "demo__echo", '{"text":"x"}')
CUT = CallError("the connection was cut", sent=True)
AWAY = CallError("not connected", sent=False)
REFUSED = CallError("the server answered 429", sent=True, answered=True, refused=True)
RAN = CallError("no such row (error -32000)", sent=True, answered=True)


def text(words: str) -> RawResult:
    return RawResult([{"type": "text", "text": words}])


def instead(running: Rig, answer: Answer, server: str = "demo") -> list[str]:
    """Have a server's calls answered by `answer`; return the tools that were really sent."""
    sent: list[str] = []

    async def call_tool(dispatch: Dispatch, **_more: Any) -> RawResult:
        assert dispatch in running.session.gate.dispatches
        sent.append(dispatch.tool)
        found = answer(dispatch, len(sent))
        found = await found if asyncio.iscoroutine(found) else found
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, RawResult)
        return found

    running.engine.context.registry.get(server).call_tool = call_tool  # type: ignore[method-assign]
    return sent


def at_once(running: Rig) -> list[float]:
    """Let no time pass before a further attempt; return the waits."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    running.session.calls._dispatcher.backoff = RetryBackoff(sleep=sleep, random=lambda: 0.5)
    return waits


async def go(running: Rig, message: str = "go") -> None:
    before = len(running.of(e.TurnEnded))
    await running.ask(c.SendMessage(text=message))
    await running.count(e.TurnEnded, before + 1)


async def rows(running: Rig) -> list[CallRow]:
    numbers = [event.call for event in running.of(e.CallProposed)]
    journal = running.session.journal
    found = [await journal.run(partial(call_table.load, call=call)) for call in numbers]
    return [row for row in found if row is not None]


def told(model: ScriptedModel, request: int = 1) -> list[str]:
    return [message.text for message in model.requests[request].messages if message.role == "tool"]


# --- order ------------------------------------------------------------------------------------------


async def test_reads_run_together_and_a_write_in_its_place(tmp_path: Path) -> None:
    names = ["demo__add", "demo__list_notes", "demo__write_note", "demo__add"]
    arguments = ['{"a":1,"b":2}', "{}", '{"name":"a","text":"x"}', '{"a":3,"b":4}']
    wanted = [ToolCall(f"p{n}", name, arguments[n]) for n, name in enumerate(names)]
    model = ScriptedModel([reply("", *wanted)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto", config="\n[tools]\ncache_ttl = 0\n") as running:
        await running.connected()
        log: list[str] = []
        first_two = asyncio.Event()

        async def answered(dispatch: Dispatch, number: int) -> RawResult:
            log.append(f"+{dispatch.tool}")
            if number == 2:
                first_two.set()
            if number <= 2:
                await first_two.wait()  # neither of the first two ends before both are under way
            log.append(f"-{dispatch.tool}")
            return text(f"{number}")

        instead(running, answered)
        await go(running)
        assert sorted(log[:2]) == ["+add", "+list_notes"]
        assert sorted(log[2:4]) == ["-add", "-list_notes"]
        assert log[4:] == ["+write_note", "-write_note", "+add", "-add"]
        told_ids = [message.call_id for message in model.requests[1].messages if message.role == "tool"]
        assert told_ids == ["p0", "p1", "p2", "p3"]


async def test_a_rejected_write_lets_the_calls_behind_it_go(tmp_path: Path) -> None:
    delete = ToolCall("d", "demo__delete_note", '{"name":"a"}')
    model = ScriptedModel([reply("", delete, READ)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await running.ask(c.SendMessage(text="go"))
        asked = await running.until(e.ApprovalRequested)
        assert [event for event in running.of(e.CallFinished)] == []
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="reject"))
        await running.until(e.TurnEnded)
        assert [row.state for row in await rows(running)] == ["rejected", "succeeded"]


async def test_stopping_tells_a_call_that_waited_for_its_turn_as_never_sent(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", WRITE, READ)], [reply("I see")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        under_way, never = asyncio.Event(), asyncio.Event()

        async def hangs(_dispatch: Dispatch, _number: int) -> RawResult:
            under_way.set()
            await never.wait()
            return text("")

        sent = instead(running, hangs)
        await running.ask(c.SendMessage(text="go"))
        await under_way.wait()
        await running.ask(c.StopRun())
        await running.until(e.TurnEnded)
        await go(running, "what happened?")
        assert sent == ["write_note"]
        written, read = told(model)
        assert "uncertain" in written
        assert "cancelled" in read


async def test_stopping_tells_a_call_that_is_not_proposed_yet_as_never_sent(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", READ)], [reply("I see")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        under_way, never = asyncio.Event(), asyncio.Event()

        async def hangs(*_: Any) -> Any:
            under_way.set()
            await never.wait()

        running.session.calls.proposals.of_agent = hangs  # type: ignore[assignment, method-assign]
        await running.ask(c.SendMessage(text="go"))
        await under_way.wait()
        await running.ask(c.StopRun())
        await running.until(e.TurnEnded)
        await go(running, "what happened?")
        (read,) = told(model)
        assert "cancelled" in read


@pytest.mark.parametrize("behind", [1, 5])
async def test_stopping_sends_nothing_of_what_waits_behind_a_card(tmp_path: Path, behind: int) -> None:
    delete = ToolCall("d", "demo__delete_note", '{"name":"a"}')
    writes = [ToolCall(f"w{n}", "demo__write_note", f'{{"name":"n{n}","text":"x"}}') for n in range(behind)]
    model = ScriptedModel([reply("", delete, *writes)], [reply("I see")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        sent = instead(running, lambda _dispatch, _number: text("written"))
        await running.ask(c.SendMessage(text="go"))
        await running.until(e.ApprovalRequested)
        gate = running.session.gate
        # What the policy lets run is not told before it is sent.
        await turns(lambda: len(gate._open) > behind)
        await running.ask(c.StopRun())
        await running.until(e.TurnEnded)
        await go(running, "what happened?")
        assert sent == []
        assert [row.state for row in await rows(running)] == ["cancelled"] * (behind + 1)
        assert all("ancelled" in words for words in told(model)), told(model)


async def test_a_tool_has_its_own_time(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", READ, WRITE)], [reply("done")])
    limits = '\n[tools.limits]\n"demo/add" = { timeout = 7.5 }\n'
    async with rig(tmp_path, model=model, mode="auto", config=limits) as running:
        await running.connected()
        times = {}

        async def call_tool(dispatch: Dispatch, *, timeout: float, **_more: Any) -> RawResult:
            times[dispatch.tool] = timeout
            return text("x")

        running.engine.context.registry.get("demo").call_tool = call_tool  # type: ignore[method-assign]
        await go(running)
        assert times == {"add": 7.5, "write_note": 120.0}


# --- again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "config", "errors", "ends", "attempts"),
    [
        (WRITE, "", [AWAY], "succeeded", 2),
        (WRITE, "", [AWAY, AWAY], "succeeded", 3),
        (WRITE, "", [AWAY, AWAY, AWAY], "failed", 3),
        (WRITE, "", [REFUSED], "succeeded", 2),
        (WRITE, "", [CUT], "uncertain", 1),
        (READ, "", [CUT], "succeeded", 2),
        (READ, "", [CUT, CUT], "uncertain", 2),
        (WRITE, '"demo/*" = 2', [CUT, AWAY, AWAY], "uncertain", 3),
        (WRITE, '"demo/*" = 2', [CUT, AWAY, REFUSED], "uncertain", 3),
        (READ, "", [RAN], "failed", 1),
        (WRITE, '"demo/*" = 2', [CUT, CUT], "succeeded", 3),
        (WRITE, '"demo/*" = 0', [AWAY], "failed", 1),
        (WRITE, '"demo/*" = 5', [RAN], "failed", 1),
    ],
)
async def test_a_call_is_repeated_only_where_that_is_safe(
    tmp_path: Path, call: ToolCall, config: str, errors: list[CallError], ends: str, attempts: int
) -> None:
    model = ScriptedModel([reply("", call)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto", config=f"\n[tools.retry]\n{config}\n") as running:
        await running.connected()
        at_once(running)
        sent = instead(running, lambda _, n: errors[n - 1] if n <= len(errors) else text("at last"))
        await go(running)
        (row,) = await rows(running)
        assert (row.state, row.attempt, len(sent)) == (ends, attempts, attempts)
        failed = running.of(e.AttemptFailed)
        assert [event.attempt for event in failed] == list(range(1, attempts))
        dispatched = [event.attempt for event in running.of(e.CallChanged) if event.state == "dispatching"]
        assert dispatched == list(range(1, attempts + 1))
        ahead = running.of(e.AttemptScheduled)
        assert [event.attempt for event in ahead] == list(range(2, attempts + 1))
        assert all(event.of == ahead[0].of for event in ahead)


async def test_a_call_by_hand_is_repeated_by_hand(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        sent = instead(running, lambda *_: AWAY)
        number = await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallFinished, lambda event: event.call == number)
        assert sent == ["add"]


@pytest.mark.parametrize(("call", "error", "ends"), [(WRITE, AWAY, "cancelled"), (READ, CUT, "uncertain")])
async def test_stopped_before_the_next_attempt_the_last_one_is_told_as_it_was(
    tmp_path: Path, call: ToolCall, error: CallError, ends: str
) -> None:
    model = ScriptedModel([reply("", call)])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        waits, never = asyncio.Event(), asyncio.Event()

        async def sleep(_seconds: float) -> None:
            waits.set()
            await never.wait()

        running.session.calls._dispatcher.backoff = RetryBackoff(sleep=sleep)
        sent = instead(running, lambda *_: error)
        await running.ask(c.SendMessage(text="go"))
        await waits.wait()
        await running.ask(c.StopRun())
        await running.until(e.TurnEnded)
        (row,) = await rows(running)
        assert (row.state, len(sent)) == (ends, 1)


async def test_a_changed_definition_ends_the_attempts(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", READ)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        at_once(running)
        tools = running.engine.context.catalogue._tools["demo"]

        def changes(_dispatch: Dispatch, _number: int) -> CallError:
            from dataclasses import replace

            tools["add"] = replace(tools["add"], def_hash="another")
            return CUT

        sent = instead(running, changes)
        await go(running)
        (row,) = await rows(running)
        assert (row.state, len(sent)) == ("uncertain", 1)


# --- the cache --------------------------------------------------------------------------------------


async def test_a_hit_sends_nothing_and_says_so(tmp_path: Path) -> None:
    again = ToolCall("r2", "demo__echo", '{ "text":"x"}')
    model = ScriptedModel([reply("", ECHO)], [reply("", again)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        sent = instead(running, lambda *_: text("three"))
        await go(running)
        assert sent == ["echo"]
        fetched, cached = await rows(running)
        assert (fetched.state, cached.state) == ("succeeded", "cached")
        finished = running.of(e.CallFinished)
        assert finished[0].cached_s is None
        assert finished[1].cached_s is not None
        states = [event.state for event in running.of(e.CallChanged) if event.call == cached.call]
        assert states == ["approved"]
        assert "three" in told(model, 2)[1]
        page = await running.ask(c.ReadResult(call=cached.call))
        assert isinstance(page, e.TextPage)
        assert page.text == "three"


async def test_a_call_that_would_be_asked_about_is_asked_about_though_it_is_cached(tmp_path: Path) -> None:
    again = ToolCall("r2", "demo__echo", '{"text":"x"}')
    model = ScriptedModel([reply("", ECHO)], [reply("", again)], [reply("done")])
    async with rig(tmp_path, model=model, mode="chat") as running:
        await running.connected()
        sent = instead(running, lambda *_: text("three"))
        await running.ask(c.SendMessage(text="go"))
        first = await running.until(e.ApprovalRequested)
        await running.ask(c.DecideCall(call=first.call, digest=first.digest, verdict="approve"))
        second = await running.until(e.ApprovalRequested, lambda event: event.call != first.call)
        assert len(running.of(e.CallFinished)) == 1
        await running.ask(c.DecideCall(call=second.call, digest=second.digest, verdict="approve"))
        await running.until(e.TurnEnded)
        assert sent == ["echo"]
        assert [row.state for row in await rows(running)] == ["succeeded", "cached"]


async def test_a_call_that_is_denied_gets_nothing_from_the_cache(tmp_path: Path) -> None:
    again = ToolCall("r2", "demo__echo", '{"text":"x"}')
    model = ScriptedModel([reply("", ECHO)], [reply("", again)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()

        def then_denied(*_: object) -> RawResult:
            running.session.policy_in_force.add(
                Rule("no", "deny", args=(ArgumentCondition("/text", "eq", "x"),))
            )
            return text("three")

        instead(running, then_denied)
        await go(running)
        assert [row.state for row in await rows(running)] == ["succeeded", "denied"]
        assert "three" not in told(model, 2)[1]


async def test_a_write_in_between_fetches_anew(tmp_path: Path) -> None:
    again = ToolCall("r2", "demo__echo", '{"text":"x"}')
    model = ScriptedModel([reply("", ECHO)], [reply("", WRITE, again)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        sent = instead(running, lambda _, n: text(str(n)))
        await go(running)
        assert sent == ["echo", "write_note", "echo"]


async def test_a_new_connection_fetches_anew(tmp_path: Path) -> None:
    """It may be another account's by then, or a process that remembers nothing."""
    model = ScriptedModel([reply("", ECHO)], [reply("done")], [reply("", ECHO)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await go(running)
        before = len(running.seen)
        await running.ask(c.ReconnectServer(server="demo"))
        await running.until(e.ToolsListed, lambda page: bool(page.tools), after=before)
        await go(running, "again")
        assert [row.state for row in await rows(running)] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("call", [READ, WRITE])
async def test_a_further_attempt_waits_until_the_server_is_connected_again(
    tmp_path: Path, call: ToolCall
) -> None:
    """The server lost the session: of the call surely nothing ran, and it goes out on the next session."""
    model = ScriptedModel([reply("", call)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        waits, registry = at_once(running), running.engine.context.registry
        lost = asyncio.Event()

        async def answer(_dispatch: Dispatch, number: int) -> Any:
            if number > 1:
                return text("here")
            await registry.get("demo").reconnect()
            assert running.engine.context.catalogue.get("demo", "add") is None
            lost.set()
            return AWAY

        sent = instead(running, answer)
        await go(running)
        assert lost.is_set()
        assert (len(sent), len(waits)) == (2, 1)
        [row] = await rows(running)
        assert (row.state, row.attempt) == ("succeeded", 2)
        nonces = [event.attempt for event in running.of(e.CallChanged) if event.state == "dispatching"]
        assert nonces == [1, 2]
        assert len(told(model)) == 1


async def test_a_further_attempt_is_not_waited_for_where_the_server_stays_away(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", READ)], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        at_once(running)

        async def answer(_dispatch: Dispatch, _number: int) -> Any:
            await running.engine.context.registry.get("demo").disconnect()
            await turns(lambda: running.engine.context.catalogue.get("demo", "add") is None)
            return AWAY

        sent = instead(running, answer)
        await go(running)
        assert len(sent) == 1
        assert (await rows(running))[0].state == "failed"
        assert len(told(model)) == 1
