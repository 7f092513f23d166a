"""Engines with Redis: a session goes on on another machine, and nothing is sent by that."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_tui.links import process, spawn_engine
from omni_tui.memory import Vault
from omni_tui.memory.redis import MemoryKeys, SessionsBehind, SessionsToDelete, fetch_session
from omni_tui.models.base import ToolCall
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.memory import MemoryChanged, SetMemory
from omni_tui.protocol.remote_sessions import (
    FetchSession,
    ListRemoteSessions,
    RemoteSessionsListed,
    SessionFetched,
)
from omni_tui.protocol.session_search import DeleteSession
from tests.engine.rig import Rig, rig, turns
from tests.redis_server import RedisServer, redis_server
from tests.scripted_model import ScriptedModel, reply

pytestmark = pytest.mark.needs("redis")

WRITE = ToolCall("p1", "demo__write_note", '{"name":"a","text":"1"}')


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path / "redis") as running:
        yield running


def with_key(folder: Path, key: str = "") -> str:
    """Give a machine its key, and return it for others."""
    keys = MemoryKeys(folder / "state", Vault.open(folder / "state", {}))
    if key:
        keys.take(key)
    else:
        keys.create()
    return keys.export()


@contextlib.asynccontextmanager
async def machine(
    folder: Path, server: RedisServer, *, store: str = "redis", **more: Any
) -> AsyncIterator[Rig]:
    config = f'[memory]\nstore = "{store}"\n[memory.redis]\nurl = "redis://127.0.0.1:{server.port}"\n'
    async with rig(folder, config=config, **more) as running:
        yield running


async def mirrored(running: Rig) -> None:
    """Wait until everything is in Redis."""

    def done() -> bool:
        event = running.session.memory.event()
        return event is not None and event.word == "on" and not event.behind

    await turns(done)


def notes(folder: Path) -> list[Path]:
    return [path for path in (folder / "notes").rglob("*") if path.is_file()]


async def fetch(folder: Path, server: RedisServer, session: str) -> Any:
    vault = Vault.open(folder / "state", {})
    sealers = MemoryKeys(folder / "state", vault).sealers()
    return await fetch_session(server.address, sealers, session, folder / "state", vault)


async def waiting(running: Rig) -> e.ApprovalRequested:
    """Have the model ask for a note, and wait until the call waits and Redis knows it."""
    await running.connected()
    await running.ask(c.SendMessage(text="write a note"))
    asked = await running.until(e.ApprovalRequested)
    await mirrored(running)
    return asked


async def approve(running: Rig, asked: e.ApprovalRequested) -> Any:
    return await running.ask(c.DecideCall(call=asked.call, digest=asked.digest, verdict="approve"))


def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two machines with the same key."""
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir()
    there.mkdir()
    with_key(there, with_key(here))
    return here, there


async def test_a_session_with_a_waiting_call_goes_on_elsewhere(server: RedisServer, tmp_path: Path) -> None:
    here, there = two(tmp_path)
    async with machine(here, server, model=ScriptedModel([reply("", WRITE)])) as running:
        await running.connected()
        first = await running.by_hand("add", '{"a":1,"b":2}')
        await running.until(e.CallFinished)
        asked = await waiting(running)
        session = running.session.journal.session
    report = await fetch(there, server, session)
    assert (report.waiting, report.uncertain, report.info.open) == (1, 0, False)
    # Where it was, it can be opened still, and goes on by itself; the call waits there no longer.
    async with machine(here, server, resume=session) as running:
        told = await running.until(MemoryChanged, lambda event: event.word == "elsewhere")
        assert "goes on at" in told.why
        await running.until(e.Notice, lambda event: "not mirrored" in event.what)
        assert not running.session.gate.pending()
        [notice] = [note for note in running.session.notices if "withdrawn" in note.what]
        assert "goes on at" in notice.what
        assert isinstance(await approve(running, asked), e.CommandFailed)
    assert notes(here) + notes(there) == []
    model = ScriptedModel([reply("written")])
    async with machine(there, server, model=model, resume=session) as running:
        await running.connected()
        # The server there is started in another way: the call is held until the person has looked again.
        again = await running.until(e.ApprovalRequested, lambda event: event.restored and event.held)
        assert (again.call, again.arguments_json) == (asked.call, asked.arguments_json)
        result = await running.ask(c.ReadResult(call=first))
        assert isinstance(result, e.TextPage)
        assert "3" in result.text
        assert notes(there) == []
        answer = await approve(running, again)
        assert isinstance(answer, e.CommandDone), answer
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        assert len(notes(there)) == 1
        await mirrored(running)
    assert notes(here) == []


async def test_what_waits_where_a_session_is_open_can_be_approved_only_there(
    server: RedisServer, tmp_path: Path
) -> None:
    """Taken over while it is open: Redis may be away there, so nobody could ask it in time."""
    here, there = two(tmp_path)
    model = ScriptedModel([reply("", WRITE)], [reply("written")])
    async with machine(here, server, model=model) as running:
        asked = await waiting(running)
        session = running.session.journal.session
        report = await fetch(there, server, session)
        assert (report.waiting, report.uncertain, report.info.open) == (0, 1, True)
        async with machine(there, server, resume=session) as other:
            assert not other.session.gate.pending()
            assert isinstance(await approve(other, asked), e.CommandFailed)
            assert isinstance(await approve(running, asked), e.CommandDone)
            await running.until(e.TurnEnded, lambda event: event.status == "done")
    assert len(notes(here)) == 1
    assert notes(there) == []


@pytest.mark.parametrize("store", ["redis", "sqlite"])
async def test_a_call_that_waits_again_is_held_against_other_machines(
    server: RedisServer, tmp_path: Path, store: str
) -> None:
    """After a restart, also with mirroring switched off: whoever fetches the session cannot send it."""
    here, there = two(tmp_path)
    async with machine(here, server, model=ScriptedModel([reply("", WRITE)])) as running:
        await waiting(running)
        session = running.session.journal.session
    model = ScriptedModel([reply("written")])
    async with machine(here, server, model=model, resume=session, store=store) as running:
        again = await running.until(e.ApprovalRequested, lambda event: event.restored)
        report = await fetch(there, server, session)
        assert (report.waiting, report.uncertain, report.info.open) == (0, 1, True)
        await running.connected()
        assert list(running.session.gate.pending()) == [again.call]


@pytest.mark.parametrize("how", ["away", "no key"])
async def test_a_call_does_not_wait_again_where_nobody_can_tell_whether_it_waits_elsewhere(
    server: RedisServer, tmp_path: Path, how: str
) -> None:
    here = tmp_path / "a"
    here.mkdir()
    with_key(here)
    async with machine(here, server, model=ScriptedModel([reply("", WRITE)])) as running:
        asked = await waiting(running)
        session = running.session.journal.session
    if how == "away":
        server.kill()
    else:
        (here / "state" / "memory-key").unlink()
    model = ScriptedModel([reply("I ask again.")])
    async with machine(here, server, model=model, resume=session) as running:
        await running.connected()
        assert not running.session.gate.pending()
        assert any("withdrawn" in note.what for note in running.session.notices)
        assert isinstance(await approve(running, asked), e.CommandFailed)
        assert notes(here) == []
        # The model learns that nothing was sent, and may ask for it again.
        assert isinstance(await running.ask(c.ContinueRun()), e.CommandDone)
        await running.until(e.TurnEnded, lambda event: event.status == "done")
        told = [message.text for message in model.requests[-1].messages if message.role == "tool"]
        assert "another machine" in told[-1]
    assert notes(here) == []


async def test_switching_the_mirror_off_leaves_the_session_open_for_others(
    server: RedisServer, tmp_path: Path
) -> None:
    here, there = two(tmp_path)
    async with machine(here, server, model=ScriptedModel([reply("", WRITE)])) as running:
        await waiting(running)
        assert isinstance(await running.ask(SetMemory(on=False)), e.CommandDone)
        report = await fetch(there, server, running.session.journal.session)
        assert (report.waiting, report.uncertain, report.info.open) == (0, 1, True)


async def test_an_app_lists_what_is_in_redis_and_fetches_a_session(
    server: RedisServer, tmp_path: Path
) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir()
    there.mkdir()
    with_key(there, with_key(here))
    async with machine(here, server, model=ScriptedModel([reply("well")]), demo=False) as first:
        await first.ask(c.SendMessage(text="a question"))
        await first.until(e.TurnEnded)
        await mirrored(first)
        session = first.session.journal.session
        async with machine(there, server, store="sqlite", demo=False) as second:
            listed = await second.ask(ListRemoteSessions())
            assert isinstance(listed, RemoteSessionsListed), listed
            (found,) = listed.sessions
            assert (found.id, found.title, found.open, found.here) == (session, "a question", True, False)
            assert (found.events, found.why) == (first.session.journal.head, "")
            copied = await second.ask(FetchSession(session=session, copy=True))
            assert isinstance(copied, SessionFetched), copied
            assert copied.id != session
            fetched = await second.ask(FetchSession(session=session))
            assert isinstance(fetched, SessionFetched), fetched
            assert (fetched.id, fetched.events) == (session, found.events)
            assert any("still open at" in remark for remark in fetched.remarks)
            listed = await second.ask(ListRemoteSessions())
            assert isinstance(listed, RemoteSessionsListed)
            assert [each.here for each in listed.sessions] == [True]
            await second.ask(c.OpenSession(session=session))
            again = await second.ask(FetchSession(session=session))
            assert isinstance(again, e.CommandFailed)
            assert "open here already" in again.what


@pytest.mark.parametrize("session", ["../../etc/passwd", "", "01a2f0ac-0000-7000-8000-000000000001"])
async def test_what_cannot_be_fetched_is_refused_in_a_sentence(
    server: RedisServer, tmp_path: Path, session: str
) -> None:
    with_key(tmp_path)
    async with machine(tmp_path, server, demo=False) as running:
        refused = await running.ask(FetchSession(session=session))
        assert isinstance(refused, e.CommandFailed)
        assert "the session was not fetched" in refused.what


async def test_a_redis_that_is_away_is_said_where_its_sessions_are_asked_for(
    server: RedisServer, tmp_path: Path
) -> None:
    with_key(tmp_path)
    server.kill()
    async with machine(tmp_path, server, store="sqlite", demo=False) as running:
        for command in (ListRemoteSessions(), FetchSession(session="01a2f0ac-0000-7000-8000-000000000001")):
            refused = await running.ask(command)
            assert isinstance(refused, e.CommandFailed)
            assert f"Redis cannot be used (redis://127.0.0.1:{server.port}" in refused.what


async def test_memory_is_switched_on_and_off_at_run_time(server: RedisServer, tmp_path: Path) -> None:
    model = ScriptedModel(*([reply("well")] for _ in range(3)))
    async with machine(tmp_path, server, store="sqlite", model=model, demo=False) as running:
        refused = await running.ask(SetMemory(on=True))
        assert isinstance(refused, e.CommandFailed)
        assert "sessions key create" in refused.what
        assert running.of(MemoryChanged) == []
        with_key(tmp_path)
        done = await running.ask(SetMemory(on=True))
        assert isinstance(done, e.CommandDone), done
        await running.ask(c.SendMessage(text="one"))
        await running.count(e.TurnEnded, 1)
        await mirrored(running)
        stream = f"omni:{{{running.session.journal.session}}}:ev"
        assert await server.do("XLEN", stream) == running.session.journal.head
        await running.ask(SetMemory(on=False))
        assert running.of(MemoryChanged)[-1].word == "off"
        there = await server.do("XLEN", stream)
        await running.ask(c.SendMessage(text="two"))
        await running.count(e.TurnEnded, 2)
        assert await server.do("XLEN", stream) == there
        await running.ask(SetMemory(on=True))
        await mirrored(running)
        assert await server.do("XLEN", stream) == running.session.journal.head
        # Another session of the same start is mirrored too.
        await running.ask(c.NewSession())
        assert await server.do("HLEN", "omni:sessions") == 1
        await running.ask(c.SendMessage(text="three"))
        await running.count(e.TurnEnded, 3)
        await mirrored(running)
        assert await server.do("HLEN", "omni:sessions") == 2


async def test_what_redis_missed_of_a_closed_session_is_sent_at_the_next_start(
    server: RedisServer, tmp_path: Path
) -> None:
    with_key(tmp_path)
    server.kill()
    async with machine(tmp_path, server, model=ScriptedModel([reply("well")]), demo=False) as running:
        first = running.session.journal.session
        await running.until(MemoryChanged, lambda event: event.word == "away")
        await running.ask(c.SendMessage(text="while it is away"))
        await running.until(e.TurnEnded)
        head = running.session.journal.head
    await server.start()
    async with machine(tmp_path, server, demo=False) as running:
        assert running.session.journal.session != first
        memory = running.engine.context.redis
        await turns(lambda: first not in memory.left_behind.ids())
        assert await server.do("XLEN", f"omni:{{{first}}}:ev") == head
        assert running.session.journal.session in memory.left_behind.ids()
        # It can be opened at any moment, also while it is being caught up.
        memory.left_behind.add(first)
        memory.catch_up(running.engine.sessions.__contains__)
        opened = await running.ask(c.OpenSession(session=first))
        assert isinstance(opened, e.CommandDone), opened
    assert SessionsBehind(tmp_path / "state").ids() == []


@pytest.mark.parametrize("away", [False, True])
async def test_a_session_that_is_deleted_here_is_deleted_in_redis_too(
    server: RedisServer, tmp_path: Path, away: bool
) -> None:
    with_key(tmp_path)
    async with machine(tmp_path, server, model=ScriptedModel([reply("well")]), demo=False) as running:
        gone = running.session.journal.session
        await running.ask(c.SendMessage(text="one"))
        await running.until(e.TurnEnded)
        await mirrored(running)
    assert await server.do("EXISTS", f"omni:{{{gone}}}:ev") == 1
    async with machine(tmp_path, server, demo=False) as running:
        memory = running.engine.context.redis
        if away:
            server.pause()
        done = await running.ask(DeleteSession(session=gone))
        assert isinstance(done, e.CommandDone), done
        assert ("in Redis still" in done.text) is away
        if away:
            server.go_on()
            assert await memory.delete_noted() == ""
        assert await server.do("EXISTS", f"omni:{{{gone}}}:ev") == 0
        assert await server.do("HEXISTS", "omni:sessions", gone) == 0
    assert SessionsToDelete(tmp_path / "state").all() == {}


@pytest.mark.parametrize("environ", [{"REDIS_PORT": "none"}, {"REDIS_URL": "redis://h?ssl_cert_reqs=none"}])
async def test_an_address_that_cannot_be_read_changes_nothing_but_redis(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with machine(tmp_path, server, model=ScriptedModel([reply("well")]), demo=False) as running:
        told = await running.until(MemoryChanged)
        assert told.word == "refused"
        assert next(iter(environ)) in told.why
        await running.ask(c.SendMessage(text="goes on"))
        assert (await running.until(e.TurnEnded)).status == "done"
        assert running.of(e.ConfigProblems) == []


async def test_a_redis_that_cannot_be_found_keeps_nobody_from_leaving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, looking up a name may take a thread half a minute; the engine's process ends."""
    hangs = (
        "import socket, threading; socket.getaddrinfo = lambda *_, **__: threading.Event().wait(60); "
        f"{process._HOST}"
    )
    monkeypatch.setattr(process, "_HOST", hangs)
    with_key(tmp_path / "a")
    config = tmp_path / "config.toml"
    config.write_text('[memory]\nstore = "redis"\n[memory.redis]\nurl = "redis://redis.example:6379"\n')
    engine = spawn_engine(LaunchOptions(config=str(config), state_dir=str(tmp_path / "a" / "state")))
    link = await engine.link()
    link.send(c.Hello(client="test", request=1))
    async for event in link.events():
        if isinstance(event, e.ReplayDone):
            link.send(c.SendMessage(request=2, text="what is there"))
        if isinstance(event, MemoryChanged) and event.word == "away":
            break
    await link.close()  # ends it after six seconds
    assert engine.process.returncode == 0
    assert not list((tmp_path / "a" / "state").glob("sessions/*.lock")), "it was closed, and cleanly"
