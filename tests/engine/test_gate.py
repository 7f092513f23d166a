"""Invariant 1: no call leaves without a grant, and a grant is honoured once, for what was decided."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from pathlib import Path

import pytest

from omni_tui.approvals.grants import Grant, GrantRefused
from omni_tui.approvals.subject import CallProposal
from omni_tui.memory import call_table
from omni_tui.policy import ArgumentCondition, Rule
from omni_tui.protocol import UserError
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.tools.call_arguments import canonical
from omni_tui.tools.call_retries import CallRetries
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

NOTE = {"name": "a", "text": "x"}


async def granted(running: Rig, call: str = "c-test", note: dict[str, str] = NOTE) -> Grant:
    """Bring a call by hand up to its grant."""
    session = running.session
    subject = running.engine.context.subject("demo", "write_note")
    assert subject is not None
    proposal = CallProposal(
        call=call, server="demo", tool="write_note", arguments=canonical(dict(note)), origin="hand"
    )
    item = await session.gate.propose(proposal, subject, "chat")
    assert (await item.verdict()).state == "approved"
    return session.gate.grant(call)


def executor(running: Rig) -> object:
    return running.session.calls._dispatcher._executor


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "notes").rglob("*") if path.is_file())


async def execute(running: Rig, grant: object) -> str:
    outcome = await executor(running).execute(grant, timeout=20, retries=CallRetries())  # type: ignore[attr-defined]
    return str(outcome.state)


async def test_a_granted_call_is_sent_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        grant = await granted(running)
        assert await execute(running, grant) == "succeeded"
        assert len(written(tmp_path)) == 1
        with pytest.raises(GrantRefused, match="used already"):
            await execute(running, grant)


@pytest.mark.parametrize("kind", ["forged", "copied", "altered", "expired", "none"])
async def test_invariant_1_the_executor_refuses_what_is_no_live_grant(tmp_path: Path, kind: str) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        grant: object = await granted(running)
        assert isinstance(grant, Grant)
        if kind in ("forged", "copied"):
            twin = object.__new__(Grant)
            for name in Grant.__slots__:
                object.__setattr__(twin, name, getattr(grant, name))
            if kind == "forged":
                object.__setattr__(twin, "nonce", "0" * 32)
            grant = twin
        elif kind == "altered":
            object.__setattr__(grant, "args_hash", "other")
        elif kind == "expired":
            running.session.gate._mint._clock = lambda: 1e12
        else:
            grant = None
        with pytest.raises(GrantRefused):
            await execute(running, grant)
        assert written(tmp_path) == []
        assert running.of(e.CallFinished) == []


async def test_a_grant_cannot_be_copied_at_all(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        grant = await granted(running)
        with pytest.raises(TypeError):
            copy.copy(grant)


async def test_a_grant_made_before_its_turn_was_stopped_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        grant = await granted(running)
        running.session.gate.halt("c-test")
        with pytest.raises(GrantRefused, match="stopped"):
            await execute(running, grant)
        assert written(tmp_path) == []


@pytest.mark.parametrize("arguments", [b'{"name": "a","text":"x"}', b'{"text":"x","name":"a"}', b""])
async def test_the_gate_takes_only_the_form_of_arguments_that_is_sent(
    tmp_path: Path, arguments: bytes
) -> None:
    """Whoever proposes or edits: what the tap would refuse is never put before anybody."""
    async with rig(tmp_path) as running:
        await running.connected()
        gate, subject = running.session.gate, running.engine.context.subject("demo", "write_note")
        assert subject is not None
        good = CallProposal("c-1", "demo", "write_note", canonical(dict(NOTE)), "agent")
        item = await gate.propose(good, subject, "chat")
        with pytest.raises(ValueError, match=r"canonical|Expecting"):
            await gate.propose(replace(good, call="c-2", arguments=arguments), subject, "chat")
        with pytest.raises(ValueError, match=r"canonical|Expecting"):
            await gate.edit("c-1", item.digest, arguments)
        assert gate.pending() == ["c-1"]
        assert item.row.args == canonical(dict(NOTE))


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        ("cancelled", {}),
        ("approved", {"args": b'{"name":"b","text":"y"}', "args_hash": "of others"}),
        ("approved", {"def_hash": "of another definition"}),
        ("approved", {"server_fp": "of another server"}),
        ("approved", {"attempt": 2}),
    ],
)
async def test_the_journal_row_is_the_authority(
    tmp_path: Path, state: e.CallState, fields: call_table.CallFields
) -> None:
    """A grant whose row says something else is refused, whatever memory believes."""
    async with rig(tmp_path) as running:
        await running.connected()
        session = running.session
        subject = running.engine.context.subject("demo", "write_note")
        assert subject is not None
        proposal = CallProposal(
            call="c-test", server="demo", tool="write_note", arguments=canonical(dict(NOTE)), origin="agent"
        )
        item = await session.gate.propose(proposal, subject, "chat")
        await session.gate.decide("c-test", item.digest, approve=True)
        grant = session.gate.grant("c-test")
        await session.journal.run(
            lambda tx: call_table.move(tx, "c-test", state, expect=("approved",), **fields)
        )
        assert item.row.state == "approved", "memory believes what it did"
        with pytest.raises(GrantRefused):
            await execute(running, grant)
        assert written(tmp_path) == []
        row = await session.journal.run(lambda tx: call_table.load(tx, "c-test"))
        assert row is not None
        assert row.state == state


async def test_invariant_2_dispatching_is_on_disk_before_the_first_byte(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        session = running.session
        connection = running.engine.context.registry.get("demo")
        send, states = connection.call_tool, []

        async def look_first(dispatch, **more):  # type: ignore[no-untyped-def]
            row = await session.journal.run(lambda tx: call_table.load(tx, dispatch.call))
            states.append(row.state if row else None)
            return await send(dispatch, **more)

        connection.call_tool = look_first  # type: ignore[method-assign]
        call = await running.by_hand("write_note", '{"name":"a","text":"x"}')
        await running.until(e.CallFinished, lambda event: event.call == call)
        assert states == ["dispatching"]


async def test_invariant_1_a_dispatch_the_gate_did_not_open_is_stopped_at_the_wire(tmp_path: Path) -> None:
    from omni_tui.servers import Dispatch, DispatchRefused

    async with rig(tmp_path) as running:
        await running.connected()
        forged = Dispatch("c-x", 1, "demo", "write_note", canonical(dict(NOTE)))
        with pytest.raises(DispatchRefused):
            await running.engine.context.registry.get("demo").call_tool(forged, timeout=5, on_progress=None)
        assert written(tmp_path) == []


async def test_a_call_by_hand_needs_two_commits(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        journal = running.session.journal
        commit, count = journal.commit, []

        async def counted(*events, **more):  # type: ignore[no-untyped-def]
            count.append(events)
            return await commit(*events, **more)

        journal.commit = counted  # type: ignore[method-assign]
        call = await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallFinished, lambda event: event.call == call)
        assert len(count) == 2


async def test_a_destructive_call_by_hand_asks_once_more(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.connected()
        command = c.CallTool(server="demo", tool="delete_note", arguments_json='{"name":"a"}')  # type: ignore[arg-type]
        asked = await running.ask(command)
        assert isinstance(asked, e.ConfirmNeeded)
        assert asked.risk == "destructive"
        assert running.of(e.CallProposed) == []


# --- the person's verdicts ----------------------------------------------------------------------


def asking(*calls_made: tuple[str, str]) -> ScriptedModel:
    """A model that makes these calls at once, then answers."""
    from omni_tui.models.base import ToolCall

    wanted = [ToolCall(f"p{number}", name, text) for number, (name, text) in enumerate(calls_made)]
    return ScriptedModel([reply("", *wanted)], [reply("done")])


async def pending(running: Rig, count: int) -> list[e.ApprovalRequested]:
    for number in range(1, count + 1):
        await running.count(e.ApprovalRequested, number)
    return running.of(e.ApprovalRequested)


def tool_words(running: Rig) -> list[str]:
    history = running.session.runner.history()
    return [message.text for message in history if message.role == "tool"]


async def test_the_verdicts_on_three_calls_at_once_are_independent(tmp_path: Path) -> None:
    model = asking(
        ("demo__write_note", '{"name":"a","text":"1"}'),
        ("demo__write_note", '{"name":"b","text":"2"}'),
        ("demo__write_note", '{"name":"c","text":"3"}'),
    )
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write three notes"))
        first, second, third = await pending(running, 3)
        await running.ask(
            c.DecideCall(call=second.call, digest=second.digest, verdict="reject", feedback="not b")
        )
        await running.ask(c.DecideCall(call=third.call, digest=third.digest, verdict="approve"))
        await running.ask(c.DecideCall(call=first.call, digest=first.digest, verdict="approve"))
        ended = await running.until(e.TurnEnded)
        assert ended.status == "done"
        sent = [message for message in model.requests[-1].messages if message.role == "tool"]
        assert [message.call_id for message in sent] == ["p0", "p1", "p2"]
        assert ["not b" in message.text for message in sent] == [False, True, False]
        assert len(written(tmp_path)) == 2


async def test_a_verdict_on_what_was_shown_before_an_edit_is_refused(tmp_path: Path) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write"))
        shown = (await pending(running, 1))[0]
        edit = c.EditCall(call=shown.call, digest=shown.digest, arguments_json='{"name":"b","text":"2"}')  # type: ignore[arg-type]
        assert isinstance(await running.ask(edit), e.CommandDone)
        again = await running.until(e.ApprovalRequested, lambda event: event.edited)
        assert again.digest != shown.digest
        stale = await running.ask(c.DecideCall(call=shown.call, digest=shown.digest, verdict="approve"))
        assert isinstance(stale, e.CommandFailed)
        await running.ask(c.DecideCall(call=again.call, digest=again.digest, verdict="approve"))
        await running.until(e.TurnEnded)
        assert [name.split(".")[0] for name in written(tmp_path)] == ["b"]


async def test_an_edited_card_says_why_it_waits_now(tmp_path: Path) -> None:
    """It is judged anew: by the rules and the mode of now, and by what the schema could tell."""
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        asks = Rule("no-a", "ask", args=(ArgumentCondition("/name", "eq", "a"),))
        running.session.policy_in_force.add(asks)
        await running.ask(c.SendMessage(text="write"))
        shown = (await pending(running, 1))[0]
        assert "no-a" in shown.why[0]
        await running.ask(c.SetMode(mode="chat"))
        item = running.session.gate.item(shown.call)
        assert item is not None
        item.card = replace(item.card, held=True)  # an edit leaves it to be seen that the tool has changed
        await running.session.gate.edit(shown.call, shown.digest, canonical({"name": "b", "text": "2"}))
        again = await running.until(e.ApprovalRequested, lambda event: event.edited)
        assert (again.mode, again.held) == ("chat", True)
        assert again.why == ("chat mode asks for every call",)
        await running.ask(c.SetMode(mode="auto"))
        await running.session.gate.edit(shown.call, again.digest, canonical({"name": "c", "text": "2"}))
        await running.count(e.ApprovalRequested, 3)
        again = running.of(e.ApprovalRequested)[-1]
        assert (again.mode, again.why) == ("auto", ("you edited it, so it waits for you",))

        async def cannot_tell(*_: object) -> str:
            return "the schema is too deep"

        running.session.calls.proposals.check = cannot_tell  # type: ignore[assignment, method-assign]
        edit = c.EditCall(call=shown.call, digest=again.digest, arguments_json='{"name":"d","text":"2"}')  # type: ignore[arg-type]
        assert isinstance(await running.ask(edit), e.CommandDone)
        await running.count(e.ApprovalRequested, 4)
        again = running.of(e.ApprovalRequested)[-1]
        assert again.why == ("the arguments could not be checked: the schema is too deep",)


async def test_edited_arguments_that_break_the_schema_are_not_taken(tmp_path: Path) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write"))
        shown = (await pending(running, 1))[0]
        for text in ('{"name":7}', "[]", '{"name":"a","name":"b","text":"c"}'):
            edit = c.EditCall(call=shown.call, digest=shown.digest, arguments_json=text)  # type: ignore[arg-type]
            assert isinstance(await running.ask(edit), e.CommandFailed)
        row = running.session.gate.row(shown.call)
        assert row is not None
        assert row.args == canonical({"name": "a", "text": "1"})


async def test_of_many_verdicts_at_once_one_counts(tmp_path: Path) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write"))
        shown = (await pending(running, 1))[0]
        gate = running.session.gate
        verdicts = [gate.decide(shown.call, shown.digest, approve=n % 2 == 0) for n in range(200)]
        results = await asyncio.gather(*verdicts, return_exceptions=True)
        assert sum(not isinstance(result, UserError) for result in results) == 1
        await running.until(e.TurnEnded)
        states = [event.state for event in running.of(e.CallChanged)]
        assert states.count("dispatching") <= 1


async def test_stopping_withdraws_what_waits(tmp_path: Path) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write"))
        shown = (await pending(running, 1))[0]
        await running.ask(c.StopRun())
        ended = await running.until(e.TurnEnded)
        assert ended.status == "stopped"
        late = await running.ask(c.DecideCall(call=shown.call, digest=shown.digest, verdict="approve"))
        assert isinstance(late, e.CommandFailed)
        assert written(tmp_path) == []
        assert len(tool_words(running)) == 1


async def test_headless_withholds_what_would_ask(tmp_path: Path) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'))
    async with rig(tmp_path, model=model, headless=True) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write"))
        await running.until(e.TurnEnded)
        assert [event.state for event in running.of(e.CallChanged)] == ["withheld"]
        assert written(tmp_path) == []


async def test_auto_runs_unasked_what_does_not_destroy(tmp_path: Path) -> None:
    model = asking(("demo__write_note", '{"name":"a","text":"1"}'), ("demo__delete_note", '{"name":"a"}'))
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write and delete"))
        shown = (await pending(running, 1))[0]
        assert (shown.tool, shown.risk) == ("delete_note", "destructive")
        await running.ask(c.DecideCall(call=shown.call, digest=shown.digest, verdict="reject"))
        await running.until(e.TurnEnded)
        assert len(running.of(e.ApprovalRequested)) == 1
