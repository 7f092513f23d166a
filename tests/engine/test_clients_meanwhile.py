"""What several clients of one engine do at the same moment, and what one without a person may not do."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omni_tui.engine import core
from omni_tui.engine.clients import EventBuffer
from omni_tui.engine.live_session import open_live_session
from omni_tui.memory import Journal, JournalBroken
from omni_tui.models.base import ModelError
from omni_tui.models.budget import BudgetExceeded, Forecast
from omni_tui.protocol import AnyEvent, JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.models import SetBudget
from omni_tui.protocol.plan import DecidePlan, EditPlan, PlanDecided, PlanProposed
from omni_tui.protocol.server_requests import (
    EditServerRequest,
    OpenServerRequestPage,
    ServerRequestClosed,
    ServerRequestOpened,
)
from omni_tui.protocol.server_settings import EnableServer
from omni_tui.protocol.session_search import RenameSession
from omni_tui.protocol.signin import FinishSignIn, OpenSignInPage
from omni_tui.servers import Dispatch
from omni_tui.servers.server_request_types import ServerRequest
from omni_tui.tools.catalogue import Tool
from tests.engine.orchestra import Box, Players, plan, stage, task
from tests.engine.rig import Rig, rig, turns, use_model
from tests.engine.test_many_clients import ASKS, another, attended, decide, notes, say, two, write
from tests.engine.test_routes import CALL, routed
from tests.scripted_model import ScriptedModel, reply


class Opening:
    """Holds back the next session that is opened, until `go` is set; keeps every journal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.journals: list[Journal] = []
        opened = open_live_session

        async def slowly(context: Any, journal: Journal, *more: Any, **named: Any) -> Any:
            self.journals.append(journal)
            self.began.set()
            await self.go.wait()
            return await opened(context, journal, *more, **named)

        monkeypatch.setattr(core, "open_live_session", slowly)


def is_closed(journal: Journal) -> bool:
    return journal._closing is not None and journal._closing.done()


# --- coming and going ---------------------------------------------------------------------------


async def test_a_session_that_is_opened_while_the_engine_ends_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, demo=False) as a:
        opening = Opening(monkeypatch)
        a.link.send(c.NewSession())
        await opening.began.wait()
        leaving = asyncio.create_task(a.close())
        await turns(lambda: a.engine._stopping)
        opening.go.set()
        await leaving
        assert is_closed(opening.journals[0])
        with pytest.raises(core.StartFailed):
            await a.engine.attach(EventBuffer())


async def test_a_client_that_left_opens_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, demo=False, model=ScriptedModel([reply("hi")])) as a:
        b = await another(a, resume=a.client.session)
        await b.close()
        with pytest.raises(core.StartFailed, match="left"):
            await a.engine.switch(b.client)
        assert list(a.engine.sessions) == [a.client.session]


async def test_a_client_that_leaves_during_its_switch_leaves_no_session_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, demo=False) as a:
        b = await another(a, resume=a.client.session)
        opening = Opening(monkeypatch)
        b.link.send(c.NewSession())
        await opening.began.wait()
        leaving = asyncio.create_task(b.close())
        await turns(lambda: len(a.engine.context.clients) == 1)
        opening.go.set()
        await leaving
        assert list(a.engine.sessions) == [a.client.session]
        assert is_closed(opening.journals[0])


async def test_a_session_that_cannot_be_described_is_not_switched_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, demo=False) as a:
        before = a.client.session

        def broken(_session: object) -> e.EngineReady:
            raise ModelError("permanent", "there is no such model")

        with monkeypatch.context() as patch:
            patch.setattr("omni_tui.engine.live_session.LiveSession.ready", broken)
            assert isinstance(await a.ask(c.NewSession()), e.CommandFailed)
        assert a.client.session == before
        assert list(a.engine.sessions) == [before]
        assert isinstance(await a.ask(c.SetMode(mode="auto")), e.CommandDone)


async def test_a_client_that_cannot_attach_leaves_no_session_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, demo=False) as a:

        async def broken(*_: object) -> None:
            raise ModelError("permanent", "there is no such model")

        monkeypatch.setattr(a.engine, "_apply_flags", broken)
        with pytest.raises(ModelError):
            await another(a)
        assert list(a.engine.sessions) == [a.client.session]
        assert len(a.engine.context.clients) == 1


async def test_two_clients_that_resume_one_session_at_once_share_it(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False) as a:
        former = a.client.session
        await a.session.set_system("be brief")  # an empty session would not be kept
        await a.ask(c.NewSession())
        b, d = await asyncio.gather(another(a, resume=former), another(a, resume=former))
        assert b.session is d.session
        await asyncio.gather(b.close(), d.close())
        assert list(a.engine.sessions) == [a.client.session]


async def test_a_session_is_parked_once_though_it_is_closed_twice(tmp_path: Path) -> None:
    wait = asyncio.Event()
    async with rig(tmp_path, demo=False) as a:
        b = await another(a, [wait.wait(), reply("late")])
        await say(b)
        await b.until(e.TurnStarted)
        session = b.session
        seen: list[AnyEvent] = []
        commit = session.journal.commit

        async def noted(*events: Any, change: Any = None) -> Any:
            seen.extend(events)
            return await commit(*events, change=change)

        session.journal.commit = noted  # type: ignore[method-assign]
        await asyncio.gather(session.close(), session.close())
        assert [each.status for each in seen if isinstance(each, e.TurnEnded)] == ["parked"]
        assert is_closed(session.journal)
        await b.close()


async def test_a_session_whose_end_cannot_be_written_ends_all_the_same(tmp_path: Path) -> None:
    wait = asyncio.Event()
    async with rig(tmp_path, demo=False) as a:
        b = await another(a, [wait.wait(), reply("late")])
        await say(b)
        await b.until(e.TurnStarted)
        session = b.session

        async def broken() -> None:
            raise JournalBroken("no space left")

        session.server_requests.close = broken  # type: ignore[method-assign]
        await b.close()
        assert not session.runner.running
        assert is_closed(session.journal)
        assert list(a.engine.sessions) == [a.client.session]


# --- a switch while something else goes on --------------------------------------------------------


async def test_a_replay_does_not_end_for_a_session_that_is_followed_no_more(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False) as a:
        b = await another(a, resume=a.client.session)
        read, began, go = b.session.journal.read, asyncio.Event(), asyncio.Event()

        async def slowly(after: int, limit: int) -> Any:
            page = await read(after, limit)
            if not page:
                began.set()
                await go.wait()
            return page

        b.session.journal.read = slowly  # type: ignore[method-assign]
        seen = len(b.seen)
        b.link.send(c.Replay(after=0))
        await began.wait()
        assert isinstance(await b.ask(c.NewSession()), e.CommandDone)
        go.set()
        await turns(lambda: not b.client.outbox.replay.locked())
        assert not b.client.outbox.caught_up.is_set()
        assert not [each for each in b.seen[seen:] if isinstance(each, e.ReplayDone)]
        await b.close()


async def test_what_happens_at_the_very_end_of_a_replay_is_not_lost(tmp_path: Path) -> None:
    """The last page was read before it, and the client is not yet told of what happens."""
    async with rig(tmp_path, demo=False) as a:
        b = await another(a, resume=a.client.session)
        read, titles = b.session.journal.read, iter(["one", "two"])

        async def meanwhile(after: int, limit: int) -> Any:
            page = await read(after, limit)
            if not page and (title := next(titles, "")):
                await a.ask(RenameSession(session=a.session_id, title=title))
            return page

        b.session.journal.read = meanwhile  # type: ignore[method-assign]
        seen = len(b.seen)
        b.link.send(c.Replay(after=0))
        done = await b.until(e.ReplayDone, after=seen)
        journalled = [event for event in b.seen[seen:] if event.journalled]
        assert [event.title for event in journalled if isinstance(event, e.SessionTitled)] == ["one", "two"]
        assert done.head == journalled[-1].seq
        await b.close()


async def test_a_message_goes_to_no_session_that_is_opened_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, demo=False, model=ScriptedModel([reply("hi")])) as a:
        await a.until(e.ReplayDone)
        a.client.outbox.begin_replay()
        sending = asyncio.create_task(a.ask(c.SendMessage(text="for the former session")))
        await turns(lambda: len(a.link._tasks) == 1)
        await a.engine.switch(a.client)
        a.link.send(c.Replay(after=0))
        assert isinstance(await sending, e.CommandFailed)
        assert not a.session.runner.running
        assert a.of(e.UserMessage) == []


# --- people and none ----------------------------------------------------------------------------


async def test_a_client_without_a_person_changes_nothing_that_needs_one(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", write("a"))], [reply("done")])) as a:
        await a.connected()
        b = await another(a, resume=a.client.session, headless=True)
        await say(a)
        waiting = await a.until(e.ApprovalRequested)
        other = JsonText('{"name":"other","text":"x"}')
        for command in (
            c.EditCall(call=waiting.call, digest=waiting.digest, arguments_json=other),
            c.SettleCall(call=waiting.call, happened=True),
            EditPlan(plan="p", digest="", plan_json=JsonText("{}")),
            EditServerRequest(ask="a", digest="", content_json=JsonText("{}")),
            OpenServerRequestPage(ask="a", digest=""),
            c.AllowServer(server="demo", digest=""),
            EnableServer(server="demo", save=False),
            c.AddServer(name="own", command="true"),
            FinishSignIn(server="demo", url="http://127.0.0.1/"),
            OpenSignInPage(server="demo", url="http://127.0.0.1/"),
            SetBudget(key="turn_tokens", value=0),
        ):
            refused = await b.ask(command)
            assert isinstance(refused, e.CommandFailed), command
            assert "no person" in refused.what, command
        assert isinstance(await b.ask(c.SetMode(mode="auto")), e.CommandFailed)
        assert a.session.settings.mode == "chat"
        assert "own" not in a.engine.context.registry.names()
        await decide(a, waiting)
        await a.until(e.TurnEnded)
        assert notes(tmp_path) == ["a"]
        await b.close()


async def test_a_client_without_a_person_does_not_loosen_a_session_by_its_flags(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False, mode="auto") as a:
        await a.ask(c.SetMode(mode="chat"))
        with pytest.raises(core.StartFailed, match="only they"):
            await another(a, resume=a.client.session, headless=True, mode="auto")
        assert a.session.settings.mode == "chat"
        assert len(a.engine.context.clients) == 1


async def test_what_waits_for_a_person_who_leaves_is_withheld(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", write("a"))], [reply("done")])
    async with rig(tmp_path, model=model, headless=True) as a:
        await a.connected()
        b = await another(a, resume=a.client.session, headless=False)
        use_model(a.engine, model)
        await say(a)
        waiting = await b.until(e.ApprovalRequested)
        await b.close()
        assert (await a.until(e.TurnEnded)).status == "done"
        assert attended(a) == (False, False, False)
        states = [each.state for each in a.of(e.CallChanged) if each.call == waiting.call]
        assert states == ["withheld"]
        assert notes(tmp_path) == []


async def test_without_a_person_a_call_from_before_a_restart_is_withheld(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", write("a"))])) as a:
        await a.connected()
        await say(a)
        await a.until(e.ApprovalRequested)
        session = a.client.session
    model = ScriptedModel([reply("done")])
    async with rig(tmp_path, model=model, headless=True, resume=session) as b:
        await b.connected()
        assert isinstance(await b.ask(c.ContinueRun()), e.CommandDone)
        assert (await b.until(e.TurnEnded, lambda event: event.status != "parked")).status == "done"
        assert notes(tmp_path) == []
        (result,) = [each for each in b.session.runner.history() if each.role == "tool"]
        assert "nobody is there" in result.text


async def test_an_engine_that_ends_takes_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path, demo=False) as a:
        began, go = asyncio.Event(), asyncio.Event()

        async def slowly(*_: object) -> None:
            began.set()
            await go.wait()

        monkeypatch.setattr(a.engine, "_apply_flags", slowly)
        launch = msgspec.structs.replace(a.engine.context.options, resume=a.client.session)
        coming = asyncio.create_task(a.engine.attach(EventBuffer(), launch))
        await began.wait()
        leaving = asyncio.create_task(a.close())
        await turns(lambda: a.engine._stopping)
        go.set()
        with pytest.raises(core.StartFailed, match="ending"):
            await coming
        await leaving


async def test_a_server_request_ends_when_the_person_leaves(tmp_path: Path) -> None:
    args = json.dumps(["-I", "-S", ASKS, "modern", ""])
    config = f"\n[servers.s]\ncommand = {json.dumps(sys.executable)}\nargs = {args}\n"
    async with rig(tmp_path, demo=False, config=config) as b:
        await b.connected("s")
        a = await another(b, resume=b.client.session, headless=True)
        call = c.CallTool(server="s", tool="form", arguments_json=JsonText('{"x":1}'))
        await a.ask(call)
        await b.until(ServerRequestOpened)
        await b.close()
        assert (await a.until(ServerRequestClosed)).outcome == "cancelled"
        await a.until(e.CallFinished)
        await a.close()


async def test_a_server_request_without_a_call_goes_to_a_session_that_calls_its_server(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, demo=False) as a:
        b = await another(a)
        alone = await another(a, headless=True)
        b.session.used = a.session.used + 60
        a.session.gate.dispatches._open.add(Dispatch("c-1", 1, "s", "tool", b"{}"))
        form = {"type": "object", "properties": {"name": {"type": "string"}}}
        request = ServerRequest("s", "form", "who?", form, "")
        asking = asyncio.create_task(a.engine.sessions.server_request(request))
        await a.until(ServerRequestOpened)
        alone.session.gate.dispatches._open.add(Dispatch("c-2", 1, "s", "tool", b"{}"))
        answer = await a.engine.sessions.server_request(request)
        assert (answer.action, answer.reason) == ("cancel", "nobody is there to answer")
        assert len(a.of(ServerRequestOpened)) == 1
        assert b.of(ServerRequestOpened) == alone.of(ServerRequestOpened) == []
        asking.cancel()
        for each in (b, alone):
            await each.close()


async def test_a_plan_that_waits_for_a_person_who_leaves_is_withdrawn(tmp_path: Path) -> None:
    model = Players(plan([task("a", "one")]))
    async with stage(tmp_path, model, Box(), headless=True) as a:
        b = await another(a, resume=a.client.session, headless=False)
        use_model(a.engine, model)
        await a.ask(c.SendMessage(text="go"))
        await b.until(PlanProposed)
        await b.close()
        ended = await a.ended()
        assert "nobody is there" in ended.reason
        (decided,) = a.of(PlanDecided)
        assert (decided.verdict, decided.decider) == ("withdrawn", "headless")


async def test_a_plan_of_a_turn_that_is_over_takes_no_verdict(tmp_path: Path) -> None:
    async with stage(tmp_path, Players(plan([task("a", "one")])), Box()) as a:
        await a.ask(c.SendMessage(text="go"))
        shown = await a.until(PlanProposed)
        plans = a.session.plans
        plans.begin("another turn")
        verdict = DecidePlan(plan=shown.plan, digest=shown.digest, verdict="approve")
        assert isinstance(await a.ask(verdict), e.CommandFailed)
        assert a.of(PlanDecided) == []


async def test_sessions_share_what_the_day_has_left(tmp_path: Path) -> None:
    async with two(tmp_path, [], []) as (a, b):
        await b.ask(SetBudget(key="day_tokens", value=1_000))
        held = a.session.budget.hold("t", "m", Forecast(500, 200))
        with pytest.raises(BudgetExceeded):
            b.session.budget.hold("t", "m", Forecast(300, 100))
        a.session.budget.free(held)
        b.session.budget.free(b.session.budget.hold("t", "m", Forecast(300, 100)))


async def test_a_clients_limits_take_nothing_from_a_session_it_shares(tmp_path: Path) -> None:
    async with two(tmp_path, [], []) as (a, b):
        await a.ask(SetBudget(key="session_tokens", value=5))
        assert isinstance(await b.ask(c.OpenSession(session=a.client.session)), e.CommandDone)
        await b.ask(SetBudget(key="turn_tokens", value=7))
        assert (a.session.budget.limits.session_tokens, a.session.budget.limits.turn_tokens) == (5, 7)
        await b.ask(c.NewSession())
        assert (b.session.budget.limits.session_tokens, b.session.budget.limits.turn_tokens) == (0, 7)


async def test_of_two_that_approve_at_once_one_counts(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", write("a"))], [reply("done")])
    async with rig(tmp_path, model=model) as a:
        await a.connected()
        b = await another(a, resume=a.client.session)
        use_model(a.engine, model)
        await say(a)
        waiting = await b.until(e.ApprovalRequested)
        answers = await asyncio.gather(decide(a, waiting), decide(b, waiting, "reject"))
        assert sorted(type(each).__name__ for each in answers) == ["CommandDone", "CommandFailed"]
        await a.until(e.TurnEnded)
        assert len([each for each in a.of(e.CallChanged) if each.decider == "user"]) <= 2
        await b.close()


# --- calls that are stopped -----------------------------------------------------------------------


def waiters(running: Rig) -> int:
    return len(running.session.gate._open.lock._waiters or ())


async def test_nothing_stands_in_for_a_call_whose_turn_is_stopped(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", CALL)])
    async with routed(tmp_path, model) as running:
        proposals, lock = running.session.calls.proposals, running.session.gate._open.lock
        check, began, go = proposals.check, asyncio.Event(), asyncio.Event()

        async def slowly(tool: Tool, value: dict[str, object], size: int) -> str:
            began.set()
            await go.wait()
            return await check(tool, value, size)

        proposals.check = slowly  # type: ignore[method-assign]
        await running.ask(c.SendMessage(text="go"))
        await began.wait()
        async with lock:
            stopping = asyncio.create_task(running.session.runner.stop())
            await turns(lambda: waiters(running) == 1)  # it withdraws the call
            go.set()
            await turns(lambda: waiters(running) == 2)  # which asks for its grant
        await stopping
        await running.until(e.TurnEnded)
        await turns(lambda: not running.session.calls._active)
        assert [each.server for each in running.of(e.CallProposed)] == ["fast"]
        assert list(tmp_path.glob("slow/*")) == []


async def test_a_call_is_cancelled_while_its_grant_is_written(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", write("a"))], [reply("done")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        gate, journal = running.session.gate, running.session.journal
        commit, on_disk, go = journal.commit, asyncio.Event(), asyncio.Event()

        async def slowly(*events: Any, change: Any = None) -> Any:
            answer = await commit(*events, change=change)
            if any(isinstance(each, e.CallChanged) and each.state == "dispatching" for each in events):
                on_disk.set()
                await go.wait()
            return answer

        journal.commit = slowly  # type: ignore[method-assign]
        await say(running)
        await on_disk.wait()
        (item,) = gate._open
        cancelling = asyncio.create_task(running.ask(c.CancelCall(call=item.id)))
        await turns(gate._open.lock.locked)
        await turns(lambda: not gate._open.lock.locked())  # it was too late to withdraw it
        go.set()
        assert isinstance(await cancelling, e.CommandDone)
        assert (await running.until(e.TurnEnded)).status == "done"
        assert notes(tmp_path) == []
        results = [each for each in running.session.runner.history() if each.role == "tool"]
        assert len(results) == 1
