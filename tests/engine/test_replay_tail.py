"""Of a long session a face gets the end, and of its beginning what still counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from omni_tui.face.overview import Overview
from omni_tui.face.transcript.fold import Fold
from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.security.text import safe, safe_line
from tests.engine.rig import Rig, rig, turns
from tests.scripted_model import ScriptedModel, reply

TAIL = 40


async def long_session(running: Rig, turns: int = 60) -> None:
    journal = running.session.journal
    await journal.commit(e.SessionTitled(title=safe("a long session")))
    for number in range(turns):
        turn = f"t-{number}"
        await journal.commit(
            e.UserMessage(turn=turn, text=safe(f"message {number}")),
            e.TurnStarted(turn=turn, mode="chat", model=safe_line("some/model")),
            e.UsageChanged(turn=turn, usage=e.Usage(input=10, output=2, cost=0.25)),
            e.Answer(turn=turn, message=f"m-{number}", text=safe(f"answer {number}")),
            e.TurnEnded(turn=turn, status="done"),
        )


async def replayed(running: Rig, tail: int) -> list[AnyEvent]:
    """Return what a replay sends."""
    # What came before has been seen then: a reply may overtake it.
    await turns(lambda: max(event.seq for event in running.seen) == running.session.journal.head)
    begin = len(running.seen)
    done = await running.ask(c.Replay(after=0, tail=tail))
    assert isinstance(done, e.ReplayDone)
    return running.seen[begin:]


def overview_of(events: Sequence[AnyEvent]) -> Overview:
    overview, fold = Overview(), Fold()
    for event in events:
        overview.apply(event)
        fold.apply(event)
    return overview


async def test_what_waits_and_how_the_session_is_set_comes_with_its_end(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel()) as running:
        await running.connected()
        await running.ask(c.SetMode(mode="auto"))
        await long_session(running)
        whole, end = await replayed(running, 0), await replayed(running, TAIL)

    journalled = [event for event in end if event.seq]
    assert all(one.seq < other.seq for one, other in pairwise(journalled))
    left_out = [event for event in end if isinstance(event, e.EarlierLeftOut)]
    assert len(left_out) == 2
    begins = left_out[0].begins
    assert left_out[1].begins == begins
    last = [event for event in journalled if event.seq >= begins]
    assert last == [event for event in whole if event.seq >= begins]
    assert TAIL <= len(last) < 2 * TAIL
    assert isinstance(last[0], e.UserMessage)
    assert len(journalled) - len(last) < 12
    told, of_whole = overview_of(end), overview_of(whole)
    assert (told.title, told.mode, told.model, told.pending) == (
        of_whole.title,
        of_whole.mode,
        of_whole.model,
        of_whole.pending,
    )
    assert (told.tokens, told.cost) == (of_whole.tokens, of_whole.cost) == (720, 15.0)


async def test_of_a_call_that_waits_since_long_the_card_comes(tmp_path: Path) -> None:
    call = ToolCall("p1", "demo__write_note", '{"name":"a","text":"1"}')
    async with rig(tmp_path, model=ScriptedModel([reply("", call)])) as running:
        await running.connected()
        await running.ask(c.SendMessage(text="write a note"))
        asked = await running.until(e.ApprovalRequested)
        await long_session(running)
        end = await replayed(running, TAIL)
        begins = next(event.begins for event in end if isinstance(event, e.EarlierLeftOut))
        assert asked.seq < begins
        assert asked in end
        assert list(overview_of(end).pending) == [asked.call]


async def test_a_session_that_is_not_much_longer_comes_whole(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel()) as running:
        await long_session(running, turns=4)
        whole, end = await replayed(running, 0), await replayed(running, 200)
        assert [event for event in end if event.seq] == [event for event in whole if event.seq]
        assert not any(isinstance(event, e.EarlierLeftOut) for event in end)
