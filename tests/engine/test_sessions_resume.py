"""A session goes on where it was left: nothing lost, nothing sent twice, nothing approved by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omni_tui.models.base import ToolCall
from omni_tui.protocol import Mode
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol import plan as p
from tests.engine.rig import Rig, rig, turns
from tests.scripted_model import ScriptedModel, reply

WRITE = ToolCall("p1", "demo__write_note", '{"name":"a","text":"1"}')


async def left_with_a_pending_call(folder: Path) -> str:
    async with rig(folder, model=ScriptedModel([reply("", WRITE)])) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write a note"))
        asked = await running.until(e.ApprovalRequested)
        return asked.call


def notes(folder: Path) -> list[str]:
    return [path.name for path in (folder / "notes").rglob("*") if path.is_file()]


async def asked_again(running: Rig) -> e.ApprovalRequested:
    return await running.until(e.ApprovalRequested, lambda event: event.restored and bool(event.transport))


async def test_a_pending_call_is_pending_after_leaving(tmp_path: Path) -> None:
    call = await left_with_a_pending_call(tmp_path)
    async with rig(tmp_path, model=ScriptedModel([reply("written")])) as running:
        await running.connected()
        again = await asked_again(running)
        assert again.call == call
        parked = await running.until(e.TurnEnded)
        assert parked.status == "parked"
        assert notes(tmp_path) == []


async def decide_restored(running: Rig, **decision: Any) -> e.AnyEvent:
    """Decide on the restored call as it is shown now; it is shown anew when its server is back."""
    call = (await asked_again(running)).call
    while True:
        shown = [
            (place, event)
            for place, event in enumerate(running.seen)
            if isinstance(event, e.ApprovalRequested) and event.call == call
        ]
        place, card = shown[-1]
        answer = await running.ask(c.DecideCall(call=call, digest=card.digest, **decision))
        if not isinstance(answer, e.CommandFailed):
            return answer
        await running.until(e.ApprovalRequested, lambda event: event.call == call, after=place + 1)


async def test_approving_a_restored_call_sends_it_once_and_goes_on(tmp_path: Path) -> None:
    await left_with_a_pending_call(tmp_path)
    model = ScriptedModel([reply("written")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await decide_restored(running, verdict="approve")
        ended = await running.until(e.TurnEnded, lambda event: event.status != "parked")
        assert ended.status == "done"
        assert len(notes(tmp_path)) == 1
        assert len(running.of(e.CallFinished)) == 1
        told = [message for message in model.requests[0].messages if message.role == "tool"]
        assert len(told) == 1


async def test_stopping_takes_a_restored_call_out_of_the_queue(tmp_path: Path) -> None:
    await left_with_a_pending_call(tmp_path)
    async with rig(tmp_path, model=ScriptedModel([reply("well")])) as running:
        await running.connected()
        again = await asked_again(running)
        answer = await running.ask(c.ContinueRun())
        assert isinstance(answer, e.CommandDone), answer
        await running.count(e.TurnStarted, 2)
        desk, gate = running.session.calls, running.session.gate
        await turns(lambda: not desk._restored)
        await running.ask(c.StopRun())
        await running.until(e.TurnEnded, lambda event: event.status == "stopped")
        assert gate.pending() == []
        (over,) = [event for event in running.of(e.CallChanged) if event.call == again.call]
        assert over.state == "cancelled"
        assert notes(tmp_path) == []


async def test_rejecting_a_restored_call_tells_the_model_the_words(tmp_path: Path) -> None:
    await left_with_a_pending_call(tmp_path)
    model = ScriptedModel([reply("as you wish")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await decide_restored(running, verdict="reject", feedback="no notes")
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        told = [message.text for message in model.requests[0].messages if message.role == "tool"]
        assert "no notes" in told[0]
        assert notes(tmp_path) == []


async def test_a_session_that_ended_well_is_not_reopened(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("hello")])) as running:
        await running.ask(c.SendMessage(text="hi"))
        await running.until(e.TurnEnded)
        first = running.session.journal.session
    async with rig(tmp_path) as running:
        assert running.session.journal.session != first
        listed = await running.ask(c.ListSessions())
        assert isinstance(listed, e.SessionsListed)
        assert first in [info.id for info in listed.sessions]
        await running.ask(c.OpenSession(session=first))
        assert running.session.journal.session == first
        assert [message.text for message in running.session.runner.history()] == ["hi", "hello"]


async def test_messages_sent_while_a_turn_runs_are_answered_after_it(tmp_path: Path) -> None:
    model = ScriptedModel([reply("one")], [reply("two")])
    async with rig(tmp_path, model=model) as running:
        await running.ask(c.SendMessage(text="first"))
        await running.ask(c.SendMessage(text="second"))
        await running.count(e.TurnEnded, 2)
        texts = [message.text for message in running.session.runner.history()]
        assert texts == ["first", "one", "second", "two"]


async def test_a_changed_server_is_held_even_in_auto(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
    more = '\n[servers.demo.env]\nNEW_SETTING = "1"\n'
    model = ScriptedModel([reply("", WRITE)], [reply("done")])
    async with rig(tmp_path, config=more, model=model, mode="auto") as running:
        await running.connected()
        await running.until(e.ServerChanged, lambda event: event.trust == "changed")
        await running.ask(c.SendMessage(text="write"))
        asked = await running.until(e.ApprovalRequested)
        assert asked.held
        assert "changed" in asked.why[0]
        await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))
        ended = await running.until(e.TurnEnded)
        assert ended.status == "done"
        assert len(notes(tmp_path)) == 1
        assert running.engine.context.catalogue.server_trust("demo") == "unchanged"


async def test_bad_commands_are_answered_in_words(tmp_path: Path) -> None:
    async with rig(tmp_path, demo=False) as running:
        for command in (
            c.CallTool(server="nope", tool="x", arguments_json="{}"),  # type: ignore[arg-type]
            c.DescribeTool(server="nope", tool="x"),
            c.ReconnectServer(server="nope"),
            c.OpenSession(session="../../etc/passwd"),
            c.ReadResult(call="c-none"),
            c.SaveResult(call="c-none", path="/nowhere/x"),
            c.DecideCall(call="c-none", digest="", verdict="approve"),
            c.EditCall(call="c-none", digest="", arguments_json="{}"),  # type: ignore[arg-type]
            c.SettleCall(call="c-none", happened=True),
            c.CancelCall(call="c-none"),
            c.ContinueRun(),
            p.DecidePlan(plan="plan-none", digest="", verdict="approve"),
            p.EditPlan(plan="plan-none", digest="", plan_json="{}"),  # type: ignore[arg-type]
            c.SendMessage(text="  "),
            c.AddServer(name="\x1b[2J", command="x"),
            c.AddServer(name="both", command="x", url="http://127.0.0.1"),
            c.AddServer(name="none"),
            c.ImportServers(path="/nowhere.json"),
        ):
            answer = await running.ask(command)
            assert isinstance(answer, e.CommandFailed), command
            assert answer.what
            assert "inside Omni TUI" not in answer.what, command


async def test_a_held_call_approved_after_a_restart_accepts_the_change_too(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
    more = '\n[servers.demo.env]\nNEW_SETTING = "1"\n'
    model = ScriptedModel([reply("", WRITE)])
    async with rig(tmp_path, config=more, model=model, mode="auto") as running:
        await running.connected()
        await running.until(e.ServerChanged, lambda event: event.trust == "changed")
        await running.ask(c.SendMessage(text="write"))
        assert (await running.until(e.ApprovalRequested)).held
    async with rig(tmp_path, config=more, model=ScriptedModel([reply("written")])) as running:
        await running.connected()
        whole = await running.until(
            e.ApprovalRequested, lambda event: event.restored and bool(event.transport)
        )
        answer = await running.ask(c.DecideCall(call=whole.call, digest=whole.digest, verdict="approve"))
        assert isinstance(answer, e.CommandDone), answer
        await running.until(e.CallFinished)
        assert running.engine.context.catalogue.server_trust("demo") == "unchanged"


async def left_with_a_call_and_a_message_behind_it(folder: Path) -> None:
    async with rig(folder, model=ScriptedModel([reply("", WRITE)])) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write a note"))
        await running.until(e.ApprovalRequested)
        await running.ask(c.SendMessage(text="and be quick"))


async def approve_restored(running: Rig) -> e.AnyEvent:
    await running.connected()
    await turns(lambda: running.session.gate.pending() != [])
    return await decide_restored(running, verdict="approve")


async def test_a_message_that_waited_behind_a_call_does_not_take_its_place(tmp_path: Path) -> None:
    await left_with_a_call_and_a_message_behind_it(tmp_path)
    model = ScriptedModel([reply("written")], [reply("quickly")])
    async with rig(tmp_path, model=model) as running:
        await approve_restored(running)
        await turns(
            lambda: len([event for event in running.of(e.TurnEnded) if event.status == "done"]) == 2
        )
        assert len(notes(tmp_path)) == 1
        assert model.requests[0].messages[-1].role == "tool"
        assert model.requests[1].messages[-1].text == "and be quick"
        assert running.session.runner.unfinished == ""


async def test_what_is_said_in_the_place_of_going_on_takes_restored_calls_back(tmp_path: Path) -> None:
    await left_with_a_call_and_a_message_behind_it(tmp_path)
    model = ScriptedModel([reply("hello")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        again = await asked_again(running)
        await running.ask(c.SendMessage(text="never mind"))
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        assert running.session.gate.pending() == []
        (over,) = [event for event in running.of(e.CallChanged) if event.call == again.call]
        assert over.state == "cancelled"
        texts = [message.text for message in model.requests[0].messages]
        assert "and be quick" not in texts
        (dropped,) = [event for event in running.of(e.TurnEnded) if event.status == "stopped"]
        assert "was not told" in dropped.reason
    async with rig(tmp_path, model=ScriptedModel()) as running:
        assert running.session.runner.unfinished == ""
        assert running.session.gate.pending() == []
    assert notes(tmp_path) == []


async def test_stopping_says_of_messages_that_waited_that_they_were_not_told(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("", WRITE)])) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write a note"))
        await running.until(e.ApprovalRequested)
        queued = await running.ask(c.SendMessage(text="and another"))
        assert isinstance(queued, e.CommandDone)
        await running.ask(c.StopRun())
        ended = await running.until(e.TurnEnded, lambda event: event.turn == queued.id)
        assert ended.status == "stopped"
        assert "was not told" in ended.reason
    async with rig(tmp_path, model=ScriptedModel()) as running:
        assert running.session.runner.unfinished == ""


def told(running: Rig) -> tuple[str, str]:
    """Return mode and model as a face knows them: the journal's last word, after the greeting."""
    mode = model = ""
    for event in running.seen:
        match event:
            case e.EngineReady(mode=to, model=name) | e.SessionOpened(mode=to, model=name):
                mode, model = to, name
            case e.ModeChanged(mode=to):
                mode = to
            case e.ModelChanged(name=name):
                model = name
            case _:
                pass
    return mode, model


@pytest.mark.parametrize("flag", ["auto", "orchestrator", "chat"])
async def test_the_mode_that_holds_after_a_resume_is_the_one_that_is_told(
    tmp_path: Path, flag: Mode
) -> None:
    async with rig(tmp_path) as running:
        await running.ask(c.SetMode(mode="auto" if flag == "chat" else "chat"))
        await running.session.set_system("be brief")
        session = running.session.journal.session
    async with rig(tmp_path, resume=session, mode=flag) as running:
        await running.until(e.ReplayDone)
        settings = running.session.settings
        assert settings.mode == flag
        assert told(running) == (settings.mode, settings.model)


async def test_a_session_opened_later_keeps_its_own_mode_and_says_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.ask(c.SetMode(mode="chat"))
        await running.session.set_system("be brief")
        session = running.session.journal.session
    async with rig(tmp_path, resume="new", mode="auto") as running:
        await running.until(e.ReplayDone)
        assert told(running)[0] == "auto"
        await running.ask(c.OpenSession(session=session))
        await running.ask(c.Replay(after=0))
        assert running.session.settings.mode == told(running)[0] == "chat"


async def test_an_engine_started_again_does_not_go_back_to_the_flag(tmp_path: Path) -> None:
    async with rig(tmp_path, resume="new", mode="auto") as running:
        await running.ask(c.SetMode(mode="chat"))
        await running.session.set_system("be brief")
        session = running.session.journal.session
    async with rig(tmp_path, resume=session, mode="auto", again=True) as running:
        await running.until(e.ReplayDone)
        assert running.session.settings.mode == "chat"
        assert told(running)[0] == "chat"
    async with rig(tmp_path, resume="new", mode="auto", again=True) as running:
        assert running.session.settings.mode == "auto"


@pytest.mark.parametrize("damage", ["no row", "no pages"])
async def test_a_pending_call_whose_row_is_damaged_is_uncertain_and_not_asked_again(
    tmp_path: Path, damage: str
) -> None:
    call = await left_with_a_pending_call(tmp_path)
    (path,) = (tmp_path / "state" / "sessions").glob("*.db")
    if damage == "no row":
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DELETE FROM calls")
    else:
        with closing(sqlite3.connect(path)) as connection:
            (page,) = connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'calls'"
            ).fetchone()
        data = bytearray(path.read_bytes())
        data[(page - 1) * 4096 : page * 4096] = bytes(4096)
        path.write_bytes(data)
    async with rig(tmp_path, model=ScriptedModel([reply("well")])) as running:
        await running.connected()
        saved = await running.session.journal.read(0, 1000)
        (over,) = [event for event in saved if isinstance(event, e.CallChanged)]
        assert over.state == "uncertain"
        assert (over.call, over.decider) == (call, "restart")
        assert "damaged" in over.reason
        assert running.session.gate.pending() == []
        assert not any(event.restored for event in running.of(e.ApprovalRequested))
        await running.ask(c.SendMessage(text="and now?"))
        await running.until(e.TurnEnded, lambda event: event.status == "done")
    assert notes(tmp_path) == []
