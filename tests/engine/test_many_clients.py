"""Several clients of one engine: what belongs to one reaches no other, and what they share reaches all."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from omni_tui.engine.clients import EventBuffer
from omni_tui.memory import list_sessions
from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent, JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.call_stats import ReadStats, StatsRead
from omni_tui.protocol.models import SetBudget, Spending
from omni_tui.protocol.server_requests import AnswerServerRequest, ServerRequestClosed, ServerRequestOpened
from omni_tui.protocol.server_settings import EnableServer
from tests.engine.rig import Rig, rig, turns, use_model
from tests.scripted_model import Item, ScriptedModel, reply

ASKS = str(Path(__file__).parent / "faults" / "asks.py")


def write(name: str) -> ToolCall:
    return ToolCall("w", "demo__write_note", json.dumps({"name": name, "text": "x"}))


async def another(first: Rig, *script: Sequence[Item], **options: Any) -> Rig:
    """Attach a further client, by default with a new session of its own; its model answers by a script."""
    use_model(first.engine, ScriptedModel(*script))
    launch = msgspec.structs.replace(first.engine.context.options, **{"resume": "new", **options})
    running = Rig(first.engine, await first.engine.attach(EventBuffer(), launch))
    await running.ask(c.Hello(client="test"))
    return running


@contextlib.asynccontextmanager
async def two(
    folder: Path, first: Sequence[Sequence[Item]], second: Sequence[Sequence[Item]], **options: Any
) -> AsyncIterator[tuple[Rig, Rig]]:
    """Run an engine with two clients, each in a session of its own."""
    async with rig(folder, model=ScriptedModel(*first), **options) as a:
        await a.connected()
        b = await another(a, *second)
        try:
            yield a, b
        finally:
            await b.close()


async def say(running: Rig, text: str = "go") -> str:
    done = await running.ask(c.SendMessage(text=text))
    assert isinstance(done, e.CommandDone), done
    return done.id


async def decide(running: Rig, waiting: e.ApprovalRequested, verdict: Any = "approve") -> AnyEvent:
    return await running.ask(c.DecideCall(call=waiting.call, digest=waiting.digest, verdict=verdict))


def journalled(running: Rig) -> set[str]:
    """Return the sessions of the journal's events that a client has seen."""
    return {event.session for event in running.seen if event.journalled}


def attended(running: Rig) -> tuple[bool, bool, bool]:
    """Return whether a client's session, its gate and its plans count on a person."""
    session = running.session
    return session.attended, not session.gate.headless, not session.plans.headless


def notes(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "notes").glob("*"))


# --- two sessions -------------------------------------------------------------------------------


async def test_calls_and_approvals_stay_in_their_session(tmp_path: Path) -> None:
    done = [reply("done")]
    async with two(tmp_path, [[reply("", write("a"))], done], [[reply("", write("b"))], done]) as (a, b):
        assert len(a.engine.sessions) == 2
        await say(a)
        await say(b)
        in_a, in_b = await a.until(e.ApprovalRequested), await b.until(e.ApprovalRequested)
        assert isinstance(await decide(b, in_a), e.CommandFailed)
        assert isinstance(await b.ask(c.CancelCall(call=in_a.call)), e.CommandFailed)
        assert isinstance(await b.ask(c.ReadArguments(call=in_a.call)), e.CommandFailed)
        assert notes(tmp_path) == []
        await decide(b, in_b)
        assert (await b.until(e.TurnEnded)).status == "done"
        assert notes(tmp_path) == ["b"]
        assert a.session.gate.pending() == [in_a.call]
        await decide(a, in_a)
        assert (await a.until(e.TurnEnded)).status == "done"
        assert notes(tmp_path) == ["a", "b"]
        assert [each.call for each in a.of(e.CallFinished)] == [in_a.call]
        assert [each.call for each in b.of(e.CallFinished)] == [in_b.call]
        assert journalled(a) == {a.client.session}
        assert journalled(b) == {b.client.session}
        stats = await b.ask(ReadStats())
        assert isinstance(stats, StatsRead)
        assert [row.total for row in stats.tools] == [1]


async def test_a_mode_holds_in_its_session_only(tmp_path: Path) -> None:
    script = [[reply("", write("a"))], [reply("done")]]
    async with two(tmp_path, script, [[reply("", write("b"))], [reply("done")]]) as (a, b):
        await a.ask(c.SetMode(mode="auto"))
        await say(a)
        assert (await a.until(e.TurnEnded)).status == "done"
        await say(b)
        assert (await b.until(e.ApprovalRequested)).mode == "chat"
        assert a.of(e.ApprovalRequested) == []
        assert b.of(e.ModeChanged) == []
        assert b.session.settings.mode == "chat"
        assert notes(tmp_path) == ["a"]


async def test_a_new_session_is_as_strict_as_its_own_client(tmp_path: Path) -> None:
    async with two(tmp_path, [], [], mode="auto") as (a, b):
        await b.ask(c.SetMode(mode="chat"))
        await a.ask(c.NewSession())
        await b.ask(c.NewSession())
        assert (a.session.settings.mode, b.session.settings.mode) == ("auto", "chat")


async def test_a_stop_stops_nothing_of_another_client(tmp_path: Path) -> None:
    done = [reply("done")]
    async with two(tmp_path, [[reply("", write("a"))], done], [[reply("", write("b"))], done]) as (a, b):
        await say(a)
        await say(b)
        in_a = await a.until(e.ApprovalRequested)
        await b.until(e.ApprovalRequested)
        await b.ask(c.StopRun())
        assert (await b.until(e.TurnEnded)).status == "stopped"
        await decide(a, in_a)
        assert (await a.until(e.TurnEnded)).status == "done"
        assert notes(tmp_path) == ["a"]


async def test_what_one_client_allows_loosens_nothing_that_another_sent_before(tmp_path: Path) -> None:
    model = [[reply("", write("a"))], [reply("done")]]
    async with two(tmp_path, model, [], mode="auto") as (a, b):
        turn = "t-before"
        a.session.turns.sent(turn, "auto")
        await b.ask(EnableServer(server="demo", save=False))
        assert "you allowed or changed demo" in a.session.turns.loosened(turn, "demo")


async def test_send_now_ends_the_wait_of_its_own_session_only(tmp_path: Path) -> None:
    config = '[servers.slow]\ncommand = "sleep"\nargs = ["60"]\n'
    async with rig(tmp_path, demo=False, config=config, model=ScriptedModel([reply("hi")])) as a:
        b = await another(a, [reply("hi")])
        for each in (a, b):
            await say(each)
            await each.until(e.AwaitingTools, lambda event: bool(event.servers))
        await b.ask(c.SendNow())
        await b.until(e.TurnEnded)
        assert a.of(e.AwaitingTools)[-1].servers
        assert a.of(e.TurnEnded) == []
        await a.ask(c.SendNow())
        await a.until(e.TurnEnded)
        await b.close()


async def test_live_events_carry_the_session_of_the_client_they_go_to(tmp_path: Path) -> None:
    async with two(tmp_path, [], [[reply("hello")]]) as (a, b):
        seen = len(a.seen)
        await say(b)
        await b.until(e.TurnEnded)
        await a.ask(c.ReconnectServer(server="demo"))
        await b.until(e.ServerChanged, lambda event: event.state == "connecting")
        assert {event.session for event in a.seen[seen:] if event.session} == {a.client.session}
        assert {event.session for event in b.seen if event.session} == {b.client.session}


async def test_budgets_are_a_clients_own(tmp_path: Path) -> None:
    async with two(tmp_path, [], []) as (a, b):
        await a.ask(SetBudget(key="session_tokens", value=5))
        await a.until(Spending, lambda event: event.session_tokens_limit == 5)
        await a.ask(c.NewSession())
        await b.ask(c.NewSession())
        assert a.session.budget.limits.session_tokens == 5
        assert b.session.budget.limits.session_tokens == 0


# --- coming and going ---------------------------------------------------------------------------


async def test_the_death_of_one_client_ends_only_what_belonged_to_it(tmp_path: Path) -> None:
    done = [reply("done")]
    async with two(tmp_path, [[reply("", write("a"))], done], [[reply("", write("b"))], done]) as (a, b):
        await say(a)
        await say(b)
        in_a, in_b = await a.until(e.ApprovalRequested), await b.until(e.ApprovalRequested)
        engine, left = b.engine, b.client.session
        await b.close()
        assert list(engine.sessions) == [a.client.session]
        assert engine.context.registry.get("demo").state == "idle"
        assert len(engine.context.processes.groups) == 1
        # What waited is there for the next who opens that session, here or elsewhere.
        found = list_sessions(tmp_path / "state", engine.context.vault)
        assert left in {each.id for each in found.sessions}
        after = len(a.seen)
        former = a.session
        assert isinstance(await a.ask(c.OpenSession(session=left)), e.CommandDone)
        assert list(engine.sessions) == [left]
        assert former.runner.unfinished
        a.link.send(c.Replay(after=0))
        again = await a.until(e.ApprovalRequested, lambda event: event.call == in_b.call, after=after)
        await decide(a, again)
        await a.until(e.CallFinished, lambda event: event.call == in_b.call)
        assert notes(tmp_path) == ["b"]
        assert in_a.call in former.gate.pending()


async def test_the_engine_ends_with_its_last_client(tmp_path: Path) -> None:
    async with rig(tmp_path) as a:
        await a.connected()
        b = await another(a)
        await a.close()
        added = await b.ask(c.CallTool(server="demo", tool="add", arguments_json=SUM))
        assert isinstance(added, e.CommandDone)
        await b.until(e.CallFinished)
        await b.close()
        assert not a.engine.context.processes.groups


async def test_a_session_that_cannot_be_opened_leaves_both_clients_as_they_were(tmp_path: Path) -> None:
    async with two(tmp_path, [], []) as (a, b):
        before = a.client.session, b.client.session
        assert isinstance(await b.ask(c.OpenSession(session="nonsense")), e.CommandFailed)
        assert (a.client.session, b.client.session) == before


async def test_a_client_that_would_resume_does_not_join_what_is_open_already(tmp_path: Path) -> None:
    async with rig(tmp_path) as a:
        b = await another(a, resume="auto")
        assert b.client.session != a.client.session
        await b.close()


# --- one session --------------------------------------------------------------------------------


async def test_two_clients_of_one_session_see_the_same(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", write("a"))], [reply("done")])
    async with rig(tmp_path, model=model) as a:
        await a.connected()
        b = await another(a, resume=a.client.session)
        use_model(a.engine, model)
        assert a.session is b.session
        await say(a)
        waiting = await b.until(e.ApprovalRequested)
        assert isinstance(await decide(b, waiting), e.CommandDone)
        assert isinstance(await decide(a, waiting), e.CommandFailed)
        for running in (a, b):
            assert (await running.until(e.TurnEnded)).status == "done"
        told = [[event.seq for event in each.seen if event.journalled] for each in (a, b)]
        assert told[0] == told[1] == sorted(set(told[0]))
        await b.ask(c.SetMode(mode="auto"))
        await a.until(e.ModeChanged)


async def test_a_shared_session_lives_until_its_last_follower_goes(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", write("a"))], [reply("done")])
    async with rig(tmp_path, model=model) as a:
        await a.connected()
        b = await another(a, resume=a.client.session)
        shared = a.client.session
        await say(a)
        waiting = await a.until(e.ApprovalRequested)
        await b.ask(c.NewSession())
        assert set(a.engine.sessions) == {shared, b.client.session}
        await decide(a, waiting)
        assert (await a.until(e.TurnEnded)).status == "done"
        own = b.client.session
        await b.ask(c.OpenSession(session=shared))
        assert set(a.engine.sessions) == {shared}
        assert own != shared
        await b.close()
        assert set(a.engine.sessions) == {shared}


# --- people and none ----------------------------------------------------------------------------


async def test_a_run_without_a_person_asks_nobody_beside_one_with(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", write("a"))], [reply("done")])) as a:
        await a.connected()
        b = await another(a, [reply("", write("b"))], [reply("done")], headless=True)
        await say(b)
        await b.until(e.TurnEnded)
        assert [each.state for each in b.of(e.CallChanged)][-1] == "withheld"
        assert a.of(e.ApprovalRequested) == []
        await say(a)
        await decide(a, await a.until(e.ApprovalRequested))
        assert (await a.until(e.TurnEnded)).status == "done"
        assert notes(tmp_path) == ["a"]
        await b.close()


async def test_a_client_without_a_person_decides_nothing_in_a_session_it_shares(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", write("a"))], [reply("done")])) as a:
        await a.connected()
        b = await another(a, resume=a.client.session, headless=True)
        await say(b)
        waiting = await a.until(e.ApprovalRequested)
        assert isinstance(await decide(b, waiting), e.CommandFailed)
        assert notes(tmp_path) == []
        await decide(a, waiting)
        assert (await b.until(e.TurnEnded)).status == "done"
        await b.close()


async def test_a_session_is_attended_while_one_of_its_followers_is_a_person(tmp_path: Path) -> None:
    async with rig(tmp_path, headless=True) as a:
        assert attended(a) == (False, False, False)
        b = await another(a, resume=a.client.session, headless=False)
        assert attended(a) == (True, True, True)
        await b.close()
        assert attended(a) == (False, False, False)


async def test_a_server_request_goes_to_the_session_of_its_call(tmp_path: Path) -> None:
    args = json.dumps(["-I", "-S", ASKS, "modern", ""])
    config = f"\n[servers.s]\ncommand = {json.dumps(sys.executable)}\nargs = {args}\n"
    async with rig(tmp_path, demo=False, config=config) as a:
        await a.connected("s")
        b = await another(a)
        alone = await another(a, headless=True)
        call = c.CallTool(server="s", tool="form", arguments_json=JsonText('{"x":1}'))
        assert isinstance(await b.ask(call), e.CommandDone)
        asked = await b.until(ServerRequestOpened)
        refused = await a.ask(AnswerServerRequest(ask=asked.ask, digest=asked.digest, action="decline"))
        assert isinstance(refused, e.CommandFailed)
        await b.ask(AnswerServerRequest(ask=asked.ask, digest=asked.digest, action="decline"))
        await b.until(e.CallFinished)
        # Where nobody follows the session, nobody of another one is asked.
        assert isinstance(await alone.ask(call), e.CommandDone)
        await alone.until(e.CallFinished)
        assert a.of(ServerRequestOpened) == alone.of(ServerRequestOpened) == []
        assert len(b.of(ServerRequestOpened)) == len(b.of(ServerRequestClosed)) == 1
        for each in (b, alone):
            await each.close()
        await turns(lambda: len(a.engine.sessions) == 1)


SUM = JsonText('{"a": 1, "b": 2}')
