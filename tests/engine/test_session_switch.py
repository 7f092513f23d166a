"""Going to another session: what is refused changes nothing, and no face is ever deaf to what runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from omni_tui.engine.core import StartFailed
from omni_tui.engine.live_session import LiveSession
from omni_tui.face.event_pump import EventPump
from omni_tui.face.port import CommandError, LinkPort
from omni_tui.memory import Journal, JournalBroken, new_session_id, session_path
from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.rig import Rig, rig
from tests.scripted_model import ScriptedModel, reply

E = TypeVar("E")
WRITE = ToolCall("w", "demo__write_note", '{"name": "a", "text": "x"}')


class Face:
    """What a face takes in through its pump: the events that would be on the screen."""

    def __init__(self, running: Rig) -> None:
        self.shown: list[AnyEvent] = []
        self.failures: list[e.CommandFailed] = []
        self._news = asyncio.Condition()
        self.port = LinkPort(running.link, self)
        self.pump = EventPump(self)

    def deliver(self, event: AnyEvent) -> None:
        self.shown.append(event)

    def flushed(self) -> None:
        pass

    def failed(self, failure: e.CommandFailed) -> None:
        self.failures.append(failure)

    def clear_session(self) -> None:
        self.shown = [event for event in self.shown if not event.journalled]

    def stopped(self, why: str) -> None:
        pass

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.shown if isinstance(event, kind)]

    async def until(self, kind: type[E], matches: Callable[[E], bool] = lambda _event: True) -> E:
        async with asyncio.timeout(60):
            while not (found := [event for event in self.of(kind) if matches(event)]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found[0]

    async def say(self, text: str) -> str:
        done = await self.port.ask(c.SendMessage(text=text))
        assert isinstance(done, e.CommandDone)
        return done.id


@contextlib.asynccontextmanager
async def facing(folder: Path, **options: Any) -> AsyncIterator[tuple[Rig, Face]]:
    """Run an engine with a face's pump as its only reader."""
    async with rig(folder, **options) as running:
        await running.connected()
        await running.kill()
        face = Face(running)
        task = asyncio.create_task(face.pump.run(running.link, face.port))
        try:
            await face.until(e.SessionOpened)
            yield running, face
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def elsewhere(_running: Rig) -> str:
    return "nonsense"


def unknown(_running: Rig) -> str:
    return new_session_id()


def same(running: Rig) -> str:
    return running.session.journal.session


@pytest.mark.parametrize(
    ("session", "words"),
    [(elsewhere, "not a session id"), (unknown, "no such session"), (same, "open already")],
)
async def test_a_refused_session_leaves_everything_as_it_was(
    tmp_path: Path, session: Callable[[Rig], str], words: str
) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("written")])
    async with facing(tmp_path, model=model, mode="auto") as (running, face):
        before = running.session
        await before.set_system("be brief")  # an empty session has no file
        with pytest.raises(CommandError) as refused:
            await face.port.ask(c.OpenSession(session=session(running)))
        assert words in str(refused.value)
        assert running.session is before
        assert len(list((tmp_path / "state" / "sessions").glob("*.db"))) == 1
        turn = await face.say("go")
        await face.until(e.TurnEnded, lambda event: event.turn == turn)
        assert [event.tool for event in face.of(e.CallProposed)] == ["write_note"]
        assert face.of(e.Answer)


async def test_a_refusal_does_not_touch_the_turn_that_runs(tmp_path: Path) -> None:
    async with facing(tmp_path, model=ScriptedModel([reply("", WRITE)], [reply("ok")])) as (running, face):
        await face.say("go")
        waiting = await face.until(e.ApprovalRequested)
        with pytest.raises(CommandError):
            await face.port.ask(c.OpenSession(session=new_session_id()))
        assert running.session.gate.pending() == [waiting.call]
        await face.port.ask(c.DecideCall(call=waiting.call, digest=waiting.digest, verdict="approve"))
        assert (await face.until(e.TurnEnded)).status == "done"


async def test_a_session_that_another_holds_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    model = ScriptedModel([reply("hello")])
    async with facing(tmp_path, model=model) as (running, face):
        engine, held = running.engine, new_session_id()
        path = session_path(tmp_path / "state", held)
        other = await Journal.open(path, held, engine.context.vault, lambda _events: None)
        try:
            with pytest.raises(CommandError, match="cannot be opened"):
                await face.port.ask(c.OpenSession(session=held))
        finally:
            await other.close(clean=True)
        turn = await face.say("hi")
        await face.until(e.TurnEnded, lambda event: event.turn == turn)


async def test_a_session_that_breaks_while_it_is_read_brings_the_former_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedModel([reply("", WRITE)], [reply("written")])
    async with facing(tmp_path, model=model, mode="auto") as (running, face):
        former = running.session.journal.session
        resume, broke = LiveSession.resume, list[LiveSession]()

        async def once(live: LiveSession, events: list[AnyEvent]) -> None:
            if not broke:
                broke.append(live)
                raise JournalBroken("a page cannot be read")
            await resume(live, events)

        monkeypatch.setattr(LiveSession, "resume", once)
        with pytest.raises(CommandError, match="a page cannot be read"):
            await face.port.ask(c.NewSession())
        assert running.session.journal.session == former
        turn = await face.say("go")
        await face.until(e.TurnEnded, lambda event: event.turn == turn)
        assert face.of(e.CallProposed)


async def test_another_session_is_shown_before_anything_runs_in_it(tmp_path: Path) -> None:
    async with facing(tmp_path, model=ScriptedModel([reply("first")], [reply("second")])) as (
        running,
        face,
    ):
        turn = await face.say("one")
        await face.until(e.TurnEnded, lambda event: event.turn == turn)
        await face.port.ask(c.NewSession())
        turn = await face.say("two")
        await face.until(e.TurnEnded, lambda event: event.turn == turn)
        assert {event.session for event in face.shown if event.journalled} == {
            running.session.journal.session
        }


async def test_a_face_that_never_asks_is_told_before_a_turn_begins(tmp_path: Path) -> None:
    async with rig(tmp_path, model=ScriptedModel([reply("hello")])) as running:
        await running.connected()
        await running.ask(c.NewSession())
        seen = len(running.seen)
        done = await running.ask(c.SendMessage(text="hi"))
        assert isinstance(done, e.CommandDone)
        await running.until(e.TurnEnded, lambda event: event.turn == done.id)
        kinds = [type(event) for event in running.seen[seen:] if event.journalled]
        assert kinds.index(e.SessionOpened) < kinds.index(e.UserMessage) < kinds.index(e.TurnEnded)


async def test_a_face_that_missed_events_asks_for_them(tmp_path: Path) -> None:
    """Whatever made them go missing: the number of the last one tells."""
    async with facing(tmp_path, model=ScriptedModel([reply("hello")])) as (running, face):
        outbox = running.client.outbox
        take, missed = outbox.offer, list[AnyEvent]()

        def deaf(event: AnyEvent) -> None:
            (missed.append if event.journalled else take)(event)

        outbox.offer = deaf  # type: ignore[method-assign]
        turn = await face.say("hi")
        await face.until(e.TurnEnded, lambda event: event.turn == turn)
        assert missed
        assert [event.seq for event in face.shown if event.journalled] == sorted(
            {event.seq for event in face.shown if event.journalled}
        )


async def test_an_id_named_at_the_start_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="no such session"):
        async with rig(tmp_path, resume=new_session_id()):
            pass
    assert not list((tmp_path / "state").glob("sessions/*.db"))
