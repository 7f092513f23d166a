"""Sending an earlier message again: a session of its own, the former untouched, nothing run again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from omni_tui.models.base import TextPart, ToolCall
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

ADD = ToolCall("x1", "demo__add", '{"a": 1, "b": 2}')


async def say(running: Rig, text: str) -> str:
    seen = len(running.seen)
    done = await running.ask(c.SendMessage(text=text))
    assert isinstance(done, e.CommandDone), done
    await running.until(e.TurnEnded, lambda event: event.turn == done.id, after=seen)
    return done.id


async def branched(running: Rig, turn: str, text: str = "") -> list[e.AnyEvent]:
    """Branch, wait for the answer, and return what the new session replayed and said."""
    seen = len(running.seen)
    done = await running.ask(c.BranchSession(turn=turn, text=text))
    assert isinstance(done, e.CommandDone), done
    await running.ask(c.Replay(after=0))
    await running.until(e.TurnEnded, lambda event: event.session == done.id, after=seen)
    journal = running.session.journal
    assert journal.session == done.id
    return await journal.read(0, 1_000)


def texts(events: list[e.AnyEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, e.UserMessage | e.Answer)]


async def test_another_wording_goes_another_way_and_the_former_session_stays(tmp_path: Path) -> None:
    model = ScriptedModel([reply("", ADD)], [reply("three")], [reply("second")], [reply("another way")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        await say(running, "add")
        second = await say(running, "and now")
        former = running.session.journal.session
        whole = await running.session.journal.read(0, 1_000)
        events = await branched(running, second, "or rather")
        assert texts(events) == ["add", "three", "or rather", "another way"]
        asked = [message.text for message in model.requests[-1].messages if message.role == "user"]
        assert asked == ["add", "or rather"]
        [began] = [event for event in events if isinstance(event, e.SessionBranched)]
        assert (began.origin, began.turn) == (former, second)
        by_text = {str(event.text): event.ts for event in whole if isinstance(event, e.UserMessage)}
        assert next(event.ts for event in events if isinstance(event, e.UserMessage)) == by_text["add"]
        # The result of the copied call can be read here; the call was made once.
        call = next(event.call for event in events if isinstance(event, e.CallFinished))
        page = await running.ask(c.ReadResult(call=call, part=0))
        assert isinstance(page, e.TextPage)
        assert "3" in page.text
        await running.ask(c.OpenSession(session=former))
        again = await running.session.journal.read(0, 1_000)
        assert texts(again) == texts(whole)


async def test_the_same_words_again(tmp_path: Path) -> None:
    model = ScriptedModel([reply("one")], [reply("two")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        first = await say(running, "hello")
        events = await branched(running, first)
        assert texts(events) == ["hello", "two"]
        assert len(model.requests[-1].messages) == len(model.requests[0].messages)


async def test_a_message_that_waited_behind_another_keeps_what_came_before_it(tmp_path: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel(
        [TextPart("fir"), gate.wait(), reply("first")], [reply("second")], [reply("third")], [reply("anew")]
    )
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        sent = [await running.ask(c.SendMessage(text=text)) for text in ("one", "two", "three")]
        turns = [done.id for done in sent if isinstance(done, e.CommandDone)]
        gate.set()
        await running.until(e.TurnEnded, lambda event: event.turn == turns[2])
        events = await branched(running, turns[1], "two, in other words")
        assert texts(events) == ["one", "first", "two, in other words", "anew"]


async def test_a_message_that_was_dropped_keeps_what_came_before_it(tmp_path: Path) -> None:
    never = asyncio.Event()
    model = ScriptedModel([TextPart("fir"), never.wait()], [reply("anew")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="one"))
        await running.until(e.AnswerDelta)
        dropped = await running.ask(c.SendMessage(text="two"))
        assert isinstance(dropped, e.CommandDone)
        await running.ask(c.StopRun())
        await branched(running, dropped.id)
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        events = await running.session.journal.read(0, 1_000)
        assert texts(events) == ["one", "fir", "two", "anew"]
        ended = [event.status for event in events if isinstance(event, e.TurnEnded)]
        assert ended == ["stopped", "done"]


async def test_what_was_open_there_is_closed_here(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("hi")], [reply("ho")])) as running:
        await running.connected()
        call = await running.by_hand("write_note", '{"name": "a", "text": "x"}')
        turn = await say(running, "hello")
        events = await branched(running, turn)
        await running.until(e.CallFinished)
        ends = [event for event in events if isinstance(event, e.CallChanged | e.CallFinished)]
        assert [end.call for end in ends][-1] == call
        assert ends[-1].state in ("succeeded", "uncertain")
        assert running.session.gate.pending() == []


async def test_what_cannot_be_branched_is_said(tmp_path: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([reply("one")], [gate.wait(), reply("two")])
    async with rig(tmp_path, model=model) as running:
        await running.connected()
        unknown = await running.ask(c.BranchSession(turn="t-nothing"))
        assert isinstance(unknown, e.CommandFailed)
        first = await say(running, "hello")
        await running.ask(c.SendMessage(text="more"))
        busy = await running.ask(c.BranchSession(turn=first))
        assert isinstance(busy, e.CommandFailed)
        assert "running" in busy.what
        gate.set()


# --- steering -----------------------------------------------------------------------------------


async def test_what_is_said_while_a_turn_works_is_before_the_model_at_its_next_step(tmp_path: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait(), reply("", ADD)], [reply("as you say")], [reply("on its own")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        first = await running.ask(c.SendMessage(text="add"))
        second = await running.ask(c.SendMessage(text="in French"))
        assert isinstance(first, e.CommandDone)
        assert isinstance(second, e.CommandDone)
        gate.set()
        await running.until(e.TurnEnded)
        asked = model.requests[1].messages
        assert [message.role for message in asked][-3:] == ["assistant", "tool", "user"]
        assert asked[-1].text == "in French"
        [steered] = running.of(e.Steered)
        assert (steered.turn, steered.by) == (first.id, second.id)
        assert [event.turn for event in running.of(e.TurnStarted)] == [first.id]
        await say(running, "later")  # nothing was left in the queue
        assert running.of(e.TurnEnded)[0].turn == first.id
        assert len(model.requests) == 3


async def test_a_steered_turn_that_was_cut_off_goes_on_with_all_that_was_said(tmp_path: Path) -> None:
    gate, never = asyncio.Event(), asyncio.Event()
    model = ScriptedModel([gate.wait(), reply("", ADD)], [never.wait(), reply("x")])
    async with rig(tmp_path, model=model, mode="auto") as running:
        await running.connected()
        first = await running.ask(c.SendMessage(text="add"))
        await running.ask(c.SendMessage(text="in French"))
        gate.set()
        await running.until(e.Steered)
        session = running.session.journal.session
    again = ScriptedModel([reply("", ADD)], [reply("fini")])
    async with rig(tmp_path, model=again, mode="auto", resume=session) as running:
        await running.connected()
        await running.ask(c.ContinueRun())
        ended = await running.until(e.TurnEnded, lambda event: event.status == "done")
        assert isinstance(first, e.CommandDone)
        assert ended.turn == first.id
        said = [message.text for message in again.requests[0].messages if message.role == "user"]
        assert said[-1].endswith("in French")
        # A call of a later step with the same id is a call of its own.
        calls = [event.call for event in running.of(e.CallProposed)]
        assert len(set(calls)) == 2
