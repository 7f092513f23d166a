"""The memory of a session: cleared, rewound and forked, over the journal, of which nothing is deleted."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from omni_tui.engine.conversation import conversation_from
from omni_tui.memory import SavedSession, Vault, session_path
from omni_tui.models.base import Message, ModelEvent, ModelRequest, ToolCall
from omni_tui.protocol import AnyEvent
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.commands import ForkSession, RewindSession
from tests.engine.rig import Rig, rig
from tests.engine.test_redis_sessions import fetch, mirrored, with_key
from tests.lengths import SEED, times
from tests.proof.arrivals import lines
from tests.proof.killed_engine import history_fault
from tests.proof.random_model import RandomArguments, RandomModel
from tests.proof.recording_server import __file__ as RECORDING
from tests.proof.said import Said
from tests.redis_server import redis_server
from tests.scripted_model import ScriptedModel, close_history, reply

PUT = ToolCall("x1", "box__put", '{"n": "once"}')


def box(folder: Path) -> str:
    """The configuration of a server that records every call."""
    arguments = json.dumps(["-I", "-S", RECORDING, str(folder), "box"])
    return f"[servers.box]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n"


@asynccontextmanager
async def opened(folder: Path, model: object, more: str = "", **options: str) -> AsyncIterator[Rig]:
    async with rig(folder, config=box(folder) + more, model=model, demo=False, **options) as running:  # type: ignore[arg-type]
        await running.connected("box")
        yield running


async def say(running: Rig, text: str) -> str:
    seen = len(running.seen)
    done = await running.ask(c.SendMessage(text=text))
    assert isinstance(done, e.CommandDone), done
    await running.until(e.TurnEnded, lambda event: event.turn == done.id, after=seen)
    return done.id


async def journal_of(running: Rig) -> list[AnyEvent]:
    return await running.session.journal.read(0, 1_000_000)


def asked(model: ScriptedModel) -> list[str]:
    """What the model knew of the person at its last request."""
    return [message.text for message in model.requests[-1].messages if message.role == "user"]


async def rewound(running: Rig, turn: str) -> str:
    done = await running.ask(RewindSession(turn=turn))
    assert isinstance(done, e.CommandDone), done
    return done.text


async def test_a_rewound_session_forgets_and_deletes_nothing(tmp_path: Path) -> None:
    model = ScriptedModel(
        [reply("one")], [reply("", PUT)], [reply("two")], [reply("three")], [reply("four")]
    )
    async with opened(tmp_path, model, mode="auto") as running:
        await say(running, "first")
        second = await say(running, "second")
        before = await journal_of(running)
        words = await rewound(running, second)
        assert "nothing that was done is undone" in words
        assert (await journal_of(running))[: len(before)] == before
        await say(running, "third")
        assert asked(model) == ["first", "third"]
        again = await running.ask(RewindSession(turn=second))
        assert isinstance(again, e.CommandFailed)
        assert "has forgotten it" in again.what
        session = running.session_id
    async with opened(tmp_path, model, resume=session) as running:
        await say(running, "fourth")
        assert asked(model) == ["first", "third", "fourth"]
        assert [event.words for event in await journal_of(running) if isinstance(event, e.UserMessage)] == [
            "first", "second", "third", "fourth",
        ]  # fmt: skip
    assert len(list(lines(tmp_path / "arrived.jsonl"))) == 1


async def test_a_cleared_conversation_is_a_new_session_and_the_former_stays(tmp_path: Path) -> None:
    model = ScriptedModel([reply("one")], [reply("two")], [reply("three")])
    async with opened(tmp_path, model) as running:
        await say(running, "first")
        former = running.session_id
        await running.ask(c.NewSession())
        await say(running, "second")
        assert asked(model) == ["second"]
        await running.ask(c.OpenSession(session=former))
        await say(running, "third")
        assert asked(model) == ["first", "third"]


async def test_what_waited_in_a_forgotten_turn_is_never_sent(tmp_path: Path) -> None:
    async with opened(tmp_path, ScriptedModel([reply("one")], [reply("", PUT)])) as running:
        await say(running, "first")
        done = await running.ask(c.SendMessage(text="put it"))
        assert isinstance(done, e.CommandDone)
        waiting = await running.until(e.ApprovalRequested)
        busy = await running.ask(RewindSession(turn=done.id))
        assert isinstance(busy, e.CommandFailed)
        assert "running" in busy.what
        session = running.session_id
    model = ScriptedModel([reply("three")])
    async with opened(tmp_path, model, resume=session) as running:
        shown = await running.until(e.ApprovalRequested, lambda event: event.restored)
        assert shown.call == waiting.call
        await rewound(running, done.id)
        assert running.session.gate.pending() == []
        late = await running.ask(c.DecideCall(call=shown.call, digest=shown.digest, verdict="approve"))
        assert isinstance(late, e.CommandFailed)
        assert isinstance(await running.ask(c.ContinueRun()), e.CommandFailed)
    async with opened(tmp_path, model, resume=session) as running:
        assert running.session.runner.unfinished == ""
        assert isinstance(await running.ask(c.ContinueRun()), e.CommandFailed)
        await say(running, "third")
        assert asked(model) == ["first", "third"]
    assert list(lines(tmp_path / "arrived.jsonl")) == []


async def test_a_fork_has_no_call_of_the_other_session_that_waits(tmp_path: Path) -> None:
    async with opened(tmp_path, ScriptedModel([reply("", PUT)])) as running:
        await running.ask(c.SendMessage(text="put it"))
        waiting = await running.until(e.ApprovalRequested)
        former = running.session_id
    model = ScriptedModel([reply("in the copy")])
    async with opened(tmp_path, model, resume=former) as running:
        await running.until(e.ApprovalRequested, lambda event: event.restored)
        done = await running.ask(ForkSession())
        assert isinstance(done, e.CommandDone), done
        assert running.session_id == done.id != former
        assert running.session.gate.pending() == []
        assert running.session.runner.unfinished == ""
        await say(running, "and now")
        assert asked(model) == ["put it", "and now"]
        await running.ask(c.OpenSession(session=former))
        assert running.session.gate.pending() == [waiting.call]
        assert running.session.runner.unfinished
    assert list(lines(tmp_path / "arrived.jsonl")) == []


# --- any sequence -------------------------------------------------------------------------------


class _Arguments(RandomArguments):
    def make(self) -> str:
        self._made += 1
        then = self._chance.choice(("", "", "fail", "refuse", "wait"))
        return json.dumps({"n": f"{self.name}-{self._made}", **({"then": then} if then else {})})


class _Strict(RandomModel):
    """Takes no history but a valid one."""

    def __init__(self, chance: random.Random, arguments: RandomArguments) -> None:
        super().__init__(chance, arguments)
        self.faults: list[str] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if wrong := history_fault(request.messages):
            self.faults.append(wrong)
        async for event in super().stream(request):
            yield event


class _Life:
    """A person who sends, decides, stops, rewinds, forks, clears and leaves at random."""

    def __init__(self, folder: Path, chance: random.Random, more: str) -> None:
        self._folder = folder
        self._chance = chance
        self._more = more
        folder.mkdir()
        self.model = _Strict(chance, _Arguments(chance, "n", Said(folder)))
        self.sessions: list[str] = []
        self._known: dict[str, tuple[Message, ...]] = {}
        self.done: Counter[str] = Counter()

    async def live(self, steps: int) -> None:
        """Take the steps, in as many starts as it happens to leave."""
        while steps > 0:
            resume = self._chance.choice(self.sessions) if self.sessions else "new"
            mode = self._chance.choice(("chat", "auto"))
            async with opened(self._folder, self.model, self._more, resume=resume, mode=mode) as running:
                await self._check(running)
                while steps > 0:
                    steps -= 1
                    what = self._chance.choice(
                        (
                            "turn",
                            "turn",
                            "turn",
                            "rewind",
                            "rewind",
                            "fork",
                            "clear",
                            "open",
                            "continue",
                            "leave",
                        )
                    )
                    if what == "leave":
                        break
                    await self._do(running, what)
                    await self._check(running)
                    self.done[what] += 1
                # Left in the middle now and then: then something of a turn may still come to it.
                if self._chance.random() < 0.5:
                    await running.ask(c.SendMessage(text="go on"))
                    self._known.pop(running.session_id, None)
        assert self.model.faults == []
        sent = Counter(each["arguments"]["n"] for each in lines(self._folder / "arrived.jsonl"))
        assert [name for name, count in sent.items() if count > 1] == []

    async def _check(self, running: Rig) -> None:
        """What the engine knows is what its journal tells, is valid, and is as it was before."""
        session, events = running.session_id, await journal_of(running)
        # One in which nothing was said leaves no file.
        if session not in self.sessions and any(isinstance(event, e.UserMessage) for event in events):
            self.sessions.append(session)
        known = running.session.runner.history()
        assert tuple(conversation_from(events).messages) == known
        assert history_fault(close_history(known)) == ""
        assert self._known.get(session, known) == known
        self._known[session] = known

    async def _do(self, running: Rig, what: str) -> None:
        session = running.session_id
        if what == "turn":
            await self._turn(running, c.SendMessage(text="go on"))
        elif what == "continue":
            await self._turn(running, c.ContinueRun())
        elif what == "clear":
            await running.ask(c.NewSession())
        elif what == "open":
            former = self._chance.choice(self.sessions or [session])
            await running.ask(c.OpenSession(session=former))
        elif what == "fork":
            before = running.session.runner.history()
            assert isinstance(await running.ask(ForkSession()), e.CommandDone)
            assert running.session_id != session
            assert running.session.gate.pending() == []
            assert running.session.runner.history() == before
        else:
            events = await journal_of(running)
            turns = [event.turn for event in events if isinstance(event, e.UserMessage)]
            if turns:
                before = running.session.runner.history()
                reply = await running.ask(RewindSession(turn=self._chance.choice(turns)))
                after = running.session.runner.history()
                assert before[: len(after)] == after
                assert (len(after) < len(before)) == isinstance(reply, e.CommandDone)
                self._known.pop(session, None)

    async def _turn(self, running: Rig, command: c.SendMessage | c.ContinueRun) -> None:
        """Have a turn, decide on what it asks, or stop it."""
        seen = len(running.seen)
        self._known.pop(running.session_id, None)
        if not isinstance(await running.ask(command), e.CommandDone):
            return
        rounds = 0
        while not await running.session.runner.is_idle():
            rounds += 1
            if rounds == 2_000:  # something waits that is not to be decided on, like a call that is held
                await running.ask(c.StopRun())
            for waiting in running.session.gate.pending():
                shown = next(
                    (
                        event
                        for event in reversed(running.seen)
                        if isinstance(event, e.ApprovalRequested) and event.call == waiting
                    ),
                    None,
                )
                if shown is None:  # on its way
                    continue
                verdict = self._chance.choice(("approve", "approve", "reject"))
                if self._chance.random() < 0.1:
                    await running.ask(c.StopRun())
                await running.ask(c.DecideCall(call=shown.call, digest=shown.digest, verdict=verdict))  # type: ignore[arg-type]
            await asyncio.sleep(0)
        assert any(isinstance(event, e.TurnEnded) for event in running.seen[seen:])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(times(1, 40)))
async def test_any_sequence_of_turns_rewinds_forks_and_clears_leaves_a_valid_history(
    tmp_path: Path, number: int
) -> None:
    await _Life(tmp_path / "life", random.Random(f"{SEED} {number}"), "").live(times(25, 60))


@pytest.mark.slow
@pytest.mark.needs("redis")
async def test_what_was_rewound_and_forked_is_so_on_another_machine(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "redis") as server:
        here, there = tmp_path / "here", tmp_path / "there"
        redis = f'[memory]\nstore = "redis"\n[memory.redis]\nurl = "redis://127.0.0.1:{server.port}"\n'
        life = _Life(here, random.Random(f"{SEED} redis"), redis)
        key = with_key(here)
        with_key(there, key)
        await life.live(times(12, 60))
        for session in life.sessions:
            async with opened(here, life.model, redis, resume=session) as running:
                await mirrored(running)
                known = running.session.runner.history()
            await fetch(there, server, session)
            found = SavedSession(
                session_path(there / "state", session), session, Vault.open(there / "state", {})
            )
            assert tuple(conversation_from(list(found)).messages) == known
