"""Sessions mirrored to a real Redis: nothing lost, doubled or out of order, whatever happens to it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis

from omni_tui.config.redis_address import RedisAddress
from omni_tui.memory import (
    CallRow,
    Journal,
    JournalBroken,
    Sealer,
    Transaction,
    Vault,
    back_up,
    call_table,
    list_sessions,
    restore,
    session_path,
)
from omni_tui.memory.redis import (
    FetchRefused,
    RedisTrouble,
    fetch_session,
    list_remote,
    mirror,
    names_in_redis,
)
from omni_tui.memory.redis.fetch import _Fetching
from omni_tui.memory.redis.layout import run_script
from omni_tui.memory.redis_claim import MOST_NAMES, Claim, read_claim, write_claim
from omni_tui.protocol import events as e
from omni_tui.security.text import safe
from tests.conftest import ROOT
from tests.lengths import SEED, times
from tests.redis_server import RedisServer, redis_server
from tests.wire.redis_machine import KEY, SEALERS, SESSION, Machine, Open, in_redis, texts, until

pytestmark = pytest.mark.needs("redis")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path / "redis") as running:
        yield running


async def whole(server: RedisServer, opened: Open) -> list[str]:
    """Return what was said according to Redis, which has every event of the journal once, in order."""
    await opened.caught_up()
    found = await in_redis(server)
    assert [seq for seq, _ in found] == list(range(1, opened.journal.head + 1))
    assert [event for _, event in found] == await opened.journal.read(0, 1_000_000)
    return texts([event for _, event in found])


async def test_every_event_is_mirrored_once_and_in_order(server: RedisServer, tmp_path: Path) -> None:
    async with Machine(tmp_path, "a").opened(server.address) as opened:
        said = [str(number) for number in range(250)]
        await opened.say(*said[:100])
        await asyncio.gather(*(opened.say(each) for each in said[100:]))
        assert await whole(server, opened) == said
        assert await server.do("TTL", f"omni:{{{SESSION}}}:ev") > 0
        assert await server.do("HKEYS", "omni:sessions") == [SESSION.encode()]
    async with Machine(tmp_path, "a").opened(server.address, ttl=0) as opened:
        await opened.say("for ever")
        await opened.caught_up()
    for key in ("ev", "facts"):
        assert await server.do("TTL", f"omni:{{{SESSION}}}:{key}") == -1
    # Nothing readable is there.
    dump = repr(await server.do("XRANGE", f"omni:{{{SESSION}}}:ev", "-", "+"))
    dump += repr(await server.do("HGETALL", f"omni:{{{SESSION}}}:facts"))
    assert "user_message" not in dump
    assert "two machines" not in dump


@pytest.mark.parametrize("fault", ["paused", "killed, empty", "killed, appended", "full"])
async def test_whatever_happens_to_redis_it_catches_up(tmp_path: Path, fault: str) -> None:
    appended = ("--appendonly", "yes", "--appendfsync", "always") if fault == "killed, appended" else ()
    async with (
        redis_server(tmp_path / "redis", *appended) as server,
        Machine(tmp_path, "a").opened(server.address) as opened,
    ):
        await opened.say("before")
        await opened.caught_up()
        if fault == "paused":
            server.pause()
        elif fault == "full":
            await server.do("CONFIG", "SET", "maxmemory", "1")
        else:
            server.kill()
        await opened.say("meanwhile", "more")
        await opened.until("full" if fault == "full" else "away")
        assert opened.mirror.state.behind == 2
        assert opened.mirror.state.why
        await opened.say("still")
        if fault == "paused":
            server.go_on()
        elif fault == "full":
            await server.do("CONFIG", "SET", "maxmemory", "0")
        else:
            await server.start()
        assert await whole(server, opened) == ["before", "meanwhile", "more", "still"]
        await opened.say("after")
        assert await whole(server, opened) == ["before", "meanwhile", "more", "still", "after"]


@pytest.mark.parametrize("lost", ["all", "the stream", "the facts", "the last entries"])
async def test_what_redis_loses_is_sent_again(server: RedisServer, tmp_path: Path, lost: str) -> None:
    events, facts = f"omni:{{{SESSION}}}:ev", f"omni:{{{SESSION}}}:facts"
    async with Machine(tmp_path, "a").opened(server.address) as opened:
        await opened.say("one", "two", "three")
        await opened.caught_up()
        if lost == "all":
            await server.do("FLUSHALL")
        elif lost == "the last entries":  # as after the failover of a replica that lagged
            backup = await server.do("DUMP", events)
            await opened.say("four")
            await opened.caught_up()
            await server.do("RESTORE", events, 0, backup, "REPLACE")
            await server.do("HSET", facts, "head", 4)
        else:
            await server.do("DEL", events if lost == "the stream" else facts)
        await opened.say("last")
        await until(lambda: "elsewhere" in opened.told or not opened.mirror.state.behind)
        assert (await whole(server, opened))[-1] == "last"


async def test_two_owners_cannot_both_write_and_the_former_one_says_so(
    server: RedisServer, tmp_path: Path
) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    async with here.opened(server.address) as former:
        await former.say("begun here")
        await former.caught_up()
        report = await there.fetch(server.address)
        assert (report.events, report.new, report.trimmed, report.unreadable) == (2, 2, 0, [])
        # The former owner notices by itself, and its journal goes on.
        await former.until("elsewhere")
        assert "goes on at" in former.mirror.state.why
        await former.say("only here")
        async with there.opened(server.address) as owner:
            await owner.say("continued there")
            assert await whole(server, owner) == ["begun here", "continued there"]
        assert former.mirror.state.word == "elsewhere"
        assert texts(await former.journal.read(0, 100)) == ["begun here", "only here"]
    # It does not take the session back by opening it again, also not while Redis has begun anew.
    async with here.opened(server.address) as again:
        await again.until("elsewhere")


async def test_a_session_goes_back_and_forth(server: RedisServer, tmp_path: Path) -> None:
    machines = [Machine(tmp_path, "a"), Machine(tmp_path, "b")]
    said: list[str] = []
    for turn in range(4):
        machine = machines[turn % 2]
        if turn:
            report = await machine.fetch(server.address)
            assert report.new == (1 + len(said) if turn == 1 else 1)
        async with machine.opened(server.address) as opened:
            said.append(f"turn {turn}")
            await opened.say(said[-1])
            assert await whole(server, opened) == said
    for machine in machines[::-1]:
        assert texts(await machine.events()) == said[: len(said) - (machine is machines[0])]


async def test_an_address_where_nobody_listens_is_away_and_costs_nobody_anything(tmp_path: Path) -> None:
    async with Machine(tmp_path, "a").opened(RedisAddress("127.0.0.1", 1)) as opened:
        await opened.until("away")
        await opened.say("written all the same")
        assert opened.journal.head == 2


async def test_a_session_in_which_nothing_happened_is_not_sent(server: RedisServer, tmp_path: Path) -> None:
    async with Machine(tmp_path, "a").opened(server.address) as opened:
        await opened.caught_up()
        assert not opened.mirror.behind
    assert await server.do("KEYS", "*") == []


async def test_an_owner_that_was_killed_while_it_claimed_is_known_again(
    server: RedisServer, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, "a")
    for taken in ("old", "first", "second", "another's"):
        async with machine.opened(server.address) as opened:
            await opened.say(taken)
            await until(
                lambda: opened.mirror.state.word in ("on", "elsewhere") and not opened.mirror.behind
            )
            word = opened.mirror.state.word
            # Two starts noted what they were about to call themselves, and were killed.
            await opened.mirror.close(5)
            noted = Claim(epoch=1, names=("old", "first", "second"))
            await opened.journal.run(lambda tx: write_claim(tx, noted))  # noqa: B023
            await server.do("HSET", f"omni:{{{SESSION}}}:facts", "owner", taken)
            if taken == "another's":
                await server.do("HSET", f"omni:{{{SESSION}}}:facts", "owner", "yet another's")
        assert word == "on"
    async with machine.opened(server.address) as opened:
        await opened.until("elsewhere")


async def test_redis_that_began_again_from_an_older_state_is_caught_up(
    server: RedisServer, tmp_path: Path
) -> None:
    keys = [f"omni:{{{SESSION}}}:{key}" for key in ("ev", "facts")]
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    async with here.opened(server.address) as opened:
        await opened.say("first run")
        await opened.caught_up()
    older = [await server.do("DUMP", key) for key in keys]
    async with here.opened(server.address) as opened:
        await opened.say("second run")
        await opened.caught_up()
        for key, data in zip(keys, older, strict=True):
            await server.do("RESTORE", key, 0, data, "REPLACE")
        await opened.say("after")
        await until(lambda: "elsewhere" in opened.told or not opened.mirror.state.behind)
        assert await whole(server, opened) == ["first run", "second run", "after"]
        # Whoever fetched it has it all the same.
        await there.fetch(server.address)
        await opened.until("elsewhere")


async def test_a_redis_that_takes_no_claim_for_long_is_waited_for(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, "a")
    async with machine.opened(server.address) as opened:
        await opened.say("before")
        await opened.caught_up()
        await opened.mirror.close(5)
        (owner, *_) = (await opened.journal.run(read_claim)).names
        many = Claim(epoch=1, names=(owner, *(f"noted {number}" for number in range(MOST_NAMES))))
        await opened.journal.run(lambda tx: write_claim(tx, many))
    await server.do("CONFIG", "SET", "maxmemory", "1")
    tries: list[str] = []

    async def counted(redis: Redis, session: str, script: str, *arguments: object) -> Any:
        tries.append(script)
        return await run_script(redis, session, script, *arguments)

    monkeypatch.setattr(mirror, "run_script", counted)
    async with machine.opened(server.address) as opened:
        await until(lambda: len(tries) >= 5)
        names = (await opened.journal.run(read_claim)).names
        assert (names[0], len(names), len(set(names) - set(many.names))) == (owner, MOST_NAMES, 1)
        await server.do("CONFIG", "SET", "maxmemory", "0")
        await opened.caught_up()


@pytest.mark.parametrize("there", [False, True], ids=["lost in Redis too", "whole in Redis"])
async def test_an_end_that_is_lost_here_is_mirrored_as_lost_or_fetched_as_a_copy(
    server: RedisServer, tmp_path: Path, there: bool
) -> None:
    here = Machine(tmp_path, "a")
    async with here.opened(server.address) as opened:
        await opened.say("backed up")
        await opened.caught_up()
    back_up(here.state, SESSION, here.vault)
    async with here.opened(server.address) as opened:
        await opened.say("lost", "lost too")
        await opened.caught_up()
    restore(here.state, SESSION, here.vault)
    if not there:
        await server.do("FLUSHALL")
    async with here.opened(server.address) as opened:
        assert opened.journal.head == 4
        if there:
            await opened.until("refused")
            assert "lost here and whole in Redis" in opened.mirror.state.why
            assert "--copy" in opened.mirror.state.todo
        else:
            await opened.caught_up()
            await opened.say("after")
            await opened.caught_up()
    other = Machine(tmp_path, "b")
    report = await other.fetch(server.address)
    assert report.unreadable == ([] if there else [3, 4])
    assert texts(await other.events()) == ["backed up", *(["lost", "lost too"] if there else ["after"])]


async def test_a_restored_session_is_still_the_owner_of_what_is_in_redis(
    server: RedisServer, tmp_path: Path
) -> None:
    here = Machine(tmp_path, "a")
    async with here.opened(server.address) as opened:
        await opened.say("backed up")
        await opened.caught_up()
    back_up(here.state, SESSION, here.vault)
    async with here.opened(server.address) as opened:
        await opened.caught_up()  # under another name, which the backup does not know
        latest = (await opened.journal.run(read_claim)).names[0]
    restore(here.state, SESSION, here.vault)
    assert latest in names_in_redis(here.state, SESSION, here.vault), "deleting it deletes it there"
    async with here.opened(server.address) as opened:
        await opened.say("after")
        await opened.caught_up()
        assert "elsewhere" not in opened.told
        assert texts([event for _, event in await in_redis(server)]) == ["backed up", "after"]


async def test_a_full_disk_is_no_trouble_of_redis(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Machine(tmp_path, "a").opened(server.address) as opened:
        await opened.say("there")
        await opened.caught_up()

    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("omni_tui.memory.redis.fetch.Journal.open", full)
    with pytest.raises(OSError, match="No space left"):
        await Machine(tmp_path, "b").fetch(server.address)


async def test_any_sequence_of_faults_ends_with_everything_there_once(tmp_path: Path) -> None:
    """Sampled; `OMNI_TUI_LONG=1` tries more."""
    draw = random.Random(SEED)
    appended = draw.choice([(), ("--appendonly", "yes", "--appendfsync", "always")])
    async with (
        redis_server(tmp_path / "redis", *appended) as server,
        Machine(tmp_path, "a").opened(server.address) as opened,
    ):
        said: list[str] = []

        async def say_some() -> None:
            texts = [f"{len(said) + number}" for number in range(draw.choice([1, 3, 150]))]
            said.extend(texts)
            await opened.say(*texts)

        await say_some()
        for _ in range(times(8, 80)):
            fault = draw.choice(["pause", "kill", "flush", "full", "disconnect"])
            if fault == "pause":
                server.pause()
                await say_some()
                if draw.random() < 0.3:
                    await opened.until("away")
                server.go_on()
            elif fault == "kill":
                server.kill()
                await say_some()
                await server.start()
            elif fault == "full":
                await server.do("CONFIG", "SET", "maxmemory", "1")
                await say_some()
                await server.do("CONFIG", "SET", "maxmemory", "0")
            elif fault == "flush":
                await server.do("FLUSHALL")
            else:
                await server.do("CLIENT", "KILL", "TYPE", "normal")
            await say_some()
        assert await whole(server, opened) == said


# --- fetching -----------------------------------------------------------------------------------------


async def said_and_closed(machine: Machine, server: RedisServer, count: int, *, most: int = 0) -> None:
    async with machine.opened(server.address, most=most) as opened:
        for number in range(count):
            await opened.say(str(number))
            await opened.caught_up()


async def test_what_was_trimmed_is_said_and_its_numbers_stay_empty(
    server: RedisServer, tmp_path: Path
) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    await server.do("CONFIG", "SET", "stream-node-max-entries", "10")
    await said_and_closed(here, server, 50, most=20)
    report = await there.fetch(server.address)
    kept = await server.do("XLEN", f"omni:{{{SESSION}}}:ev")
    assert (report.events, report.trimmed, report.unreadable) == (51, 51 - kept, [])
    assert 20 <= kept < 51
    events = await there.events()
    assert [event.seq for event in events] == list(range(52 - kept, 52))
    assert list_sessions(there.state, there.vault).sessions[0].title == "on two machines"
    # It goes on under the next number, in Redis too.
    async with there.opened(server.address, most=20) as opened:
        await opened.say("after the gap")
        await opened.caught_up()
        assert (await in_redis(server))[-1][0] == 52


@pytest.mark.parametrize("harm", ["removed", "changed", "moved", "of another session"])
async def test_an_entry_that_somebody_harmed_is_named_and_its_neighbours_are_whole(
    server: RedisServer, tmp_path: Path, harm: str
) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    await said_and_closed(here, server, 5)
    stream = f"omni:{{{SESSION}}}:ev"
    entries = [(ident, fields[b"e"] if isinstance(fields, dict) else fields[1]) for ident, fields in
               await server.do("XRANGE", stream, "-", "+")]  # fmt: skip
    await server.do("DEL", stream)
    for number, (ident, sealed) in enumerate(entries, 1):
        if number == 3:
            if harm == "removed":
                continue
            other = bytearray(sealed)
            other[-1] ^= 1
            sealed = {"changed": bytes(other), "moved": entries[3][1]}.get(
                harm, KEY.seal(b"x", "elsewhere")
            )
        await server.do("XADD", stream, ident, "e", sealed)
    report = await there.fetch(server.address)
    assert (report.events, report.trimmed, report.unreadable) == (6, 0, [3])
    assert texts(await there.events()) == ["0", "2", "3", "4"]


async def test_another_key_says_so_and_changes_nothing(server: RedisServer, tmp_path: Path) -> None:
    await said_and_closed(Machine(tmp_path, "a"), server, 1)
    before = await server.do("HGETALL", f"omni:{{{SESSION}}}:facts")
    there, other = Machine(tmp_path, "b"), Sealer(b"o" * 32)
    with pytest.raises(FetchRefused) as refused:
        await fetch_session(server.address, {other.id: other}, SESSION, there.state, there.vault)
    assert f"written with another key ({KEY.id})" in str(refused.value)
    (listed,) = await list_remote(server.address, {other.id: other})
    assert (listed.info, KEY.id in listed.why) == (None, True)
    assert await server.do("HGETALL", f"omni:{{{SESSION}}}:facts") == before
    assert not (there.state / "sessions").exists()


async def test_a_session_that_went_on_at_both_places_is_kept_at_both(
    server: RedisServer, tmp_path: Path
) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    await said_and_closed(here, server, 1)
    await there.fetch(server.address)
    async with here.opened(server.address) as opened:
        await opened.until("elsewhere")
        await opened.say("here")
    async with there.opened(server.address) as opened:
        await opened.say("there")
        await opened.caught_up()
    with pytest.raises(FetchRefused, match="each by itself"):
        await here.fetch(server.address)
    assert texts(await here.events()) == ["0", "here"]
    assert texts([event for _, event in await in_redis(server)]) == ["0", "there"]
    # The other one can be had as a session of its own; nobody loses anything by that.
    copy = await fetch_session(server.address, SEALERS, SESSION, here.state, here.vault, copy=True)
    assert texts(await here.events(copy.session)) == ["0", "there"]
    assert {event.session for event in await here.events(copy.session)} == {copy.session}
    # Also under the same number of events as after a backup was put back: nothing is written over.
    async with there.opened(server.address) as opened:
        await opened.caught_up()


async def test_an_older_copy_of_the_file_writes_nothing_over_what_redis_has(
    server: RedisServer, tmp_path: Path
) -> None:
    here = Machine(tmp_path, "a")
    await said_and_closed(here, server, 1)
    backup = session_path(here.state, SESSION).read_bytes()
    await said_and_closed(here, server, 3)
    session_path(here.state, SESSION).write_bytes(backup)
    async with here.opened(server.address) as opened:
        await until(lambda: opened.mirror.state.word not in ("connecting", "on"))
        assert opened.mirror.state.word == "elsewhere"
        await opened.say("in the copy")
    assert texts([event for _, event in await in_redis(server)]) == ["0", "0", "1", "2"]


async def test_a_fetch_that_is_cut_off_leaves_nothing_and_can_be_repeated(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    await said_and_closed(here, server, 2)

    async def cut_off(*_given: object) -> None:
        raise OSError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(_Fetching, "_finish", cut_off)
        with pytest.raises((RedisTrouble, OSError)):
            await there.fetch(server.address)
    assert list((there.state / "sessions").iterdir()) == []
    assert (await there.fetch(server.address)).events == 3


@pytest.mark.parametrize(
    ("field", "value"), [("head", "10" + "0" * 11), ("head", "x"), ("head", "9" * 5000), ("epoch", "x")]
)
async def test_numbers_that_somebody_wrote_into_redis_are_refused(
    server: RedisServer, tmp_path: Path, field: str, value: str
) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    await said_and_closed(here, server, 1)
    await server.do("HSET", f"omni:{{{SESSION}}}:facts", field, value)
    with pytest.raises(FetchRefused, match="somebody changed it"):
        await there.fetch(server.address)
    (listed,) = await list_remote(server.address, SEALERS)
    assert (listed.info is None) is (field == "head")


async def test_entries_that_no_mirror_wrote_are_passed_over(server: RedisServer, tmp_path: Path) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    await said_and_closed(here, server, 1)
    stream = f"omni:{{{SESSION}}}:ev"
    entries = [(ident, fields[b"e"] if isinstance(fields, dict) else fields[1]) for ident, fields in
               await server.do("XRANGE", stream, "-", "+")]  # fmt: skip
    await server.do("DEL", stream)
    await server.do("XADD", stream, entries[0][0], "e", entries[0][1])
    for number in range(1, 120):
        await server.do("XADD", stream, f"1-{number}", "e", "x")
    await server.do("XADD", stream, entries[1][0], "e", entries[1][1])
    report = await there.fetch(server.address)
    assert (report.events, report.trimmed, report.unreadable) == (2, 0, [])


@pytest.mark.parametrize("fault", ["closing fails", "a log is left"])
async def test_a_fetch_that_cannot_be_closed_is_no_success_and_can_be_repeated(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    await said_and_closed(here, server, 2)
    close = Journal.close

    async def failing(journal: Journal, clean: bool) -> tuple[int, str]:
        done = await close(journal, clean)
        if fault == "closing fails":
            raise JournalBroken("the disk is full")
        (file,) = (there.state / "sessions").glob(".fetched-*.db")
        file.with_name(f"{file.name}-wal").write_bytes(b"events")
        return done

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "close", failing)
        with pytest.raises((FetchRefused, OSError), match=r"disk is full|not whole"):
            await there.fetch(server.address)
    assert not session_path(there.state, SESSION).exists()
    assert (await there.fetch(server.address)).events == 3


def proposed(call: str) -> e.CallProposed:
    return e.CallProposed(call=call, server="s", tool="t", label=safe("t"), arguments=safe("{}"), size=2,
                          digest="d", origin="agent")  # fmt: skip


async def propose(opened: Open, vault: Vault, call: str, args: bytes, state: str) -> None:
    """Bring a call to a state, with the events that say so."""
    row = CallRow(
        call, "t1", 1, "root", "agent", "s", "t", "fp", "def", args, vault.digest(args), "pending"
    )
    await opened.journal.commit(proposed(call), change=lambda tx: call_table.insert(tx, row))
    await go_on(opened, call, state)


async def go_on(opened: Open, call: str, state: str) -> None:
    """Bring a waiting call to a state, with the events that say so."""
    row = await opened.journal.run(lambda tx: call_table.load(tx, call))
    assert row is not None
    if state in ("approved", "dispatching", "succeeded"):
        await opened.journal.commit(
            e.CallChanged(call=call, state="approved", decider="user"),
            change=lambda tx: call_table.move(tx, call, "approved", expect=("pending",), nonce="n"),
        )
    if state in ("dispatching", "succeeded"):
        await opened.journal.commit(
            e.CallChanged(call=call, state="dispatching", decider="user"),
            change=lambda tx: call_table.consume(tx, call, 1, "n", "fp", "def", row.args_hash),
        )
    if state == "succeeded":

        def finish(tx: Transaction) -> None:
            call_table.move(tx, call, "succeeded", expect=("dispatching",))
            call_table.put_result(tx, call, 1, b"the result")

        finished = e.CallFinished(call=call, state="succeeded", parts=(), elapsed_ms=1, size=10)
        await opened.journal.commit(finished, change=finish)
    opened.mirror.wake()


@pytest.mark.parametrize("copy", [False, True])
async def test_calls_are_fetched_with_their_arguments_and_nothing_can_be_sent_again(
    server: RedisServer, tmp_path: Path, copy: bool
) -> None:
    """What may have been sent is uncertain, and where it is open also what may be sent there yet."""
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    large = b'{"text":"' + b"x" * 700_000 + b'"}'
    async with here.opened(server.address) as opened:
        for state in ("pending", "approved", "dispatching", "succeeded"):
            await propose(opened, here.vault, state, large if state == "approved" else b"{}", state)
        await opened.caught_up()
        report = await fetch_session(server.address, SEALERS, SESSION, there.state, there.vault, copy=copy)
        waits = "cancelled" if copy else "uncertain"
        assert (report.uncertain, report.waiting) == (2 if copy else 3, 0)
        path = session_path(there.state, report.session)
        journal = await Journal.open(path, report.session, there.vault, lambda _events: None)
        rows = {row.call: row for row in await journal.run(lambda tx: call_table.recent(tx, 10))}
        result = await journal.run(lambda tx: call_table.get_result(tx, "succeeded", 1))
        told = [event for event in await journal.read(0, 100) if isinstance(event, e.CallChanged)]
        await journal.close(clean=True)
        assert {name: row.state for name, row in rows.items()} == {
            "pending": waits, "approved": "uncertain", "dispatching": "uncertain", "succeeded": "succeeded",
        }  # fmt: skip
        assert rows["approved"].args == large
        assert all(row.args_hash == there.vault.digest(row.args) for row in rows.values())
        assert not any(row.nonce for row in rows.values())
        assert result == b"the result"
        changed = [event.call for event in told if event.decider == "restart"]
        assert sorted(changed) == ["approved", "dispatching", "pending"]
        if copy:  # whoever has it keeps it
            await opened.say("still here")
            await opened.caught_up()


@pytest.mark.parametrize("had", [False, True], ids=["new here", "begun here"])
@pytest.mark.parametrize(
    ("state", "lost", "expected"),
    [
        ("approved", 0, "pending"),  # closed there, and all of it is in Redis
        ("dispatching", 0, "uncertain"),
        ("dispatching", 5, "uncertain"),  # the event that says so is lost: the last known one is "approved"
        ("dispatching", 6, "uncertain"),
        ("approved", 5, "uncertain"),  # the end is lost, and what it said is not known
        ("pending", 4, "uncertain"),
        ("pending", 2, "pending"),  # lost before it was proposed
        ("succeeded", 7, "succeeded"),
    ],
)
async def test_a_call_that_a_lost_entry_may_have_sent_does_not_wait_again(
    server: RedisServer, tmp_path: Path, state: str, lost: int, expected: str, had: bool
) -> None:
    """Numbers: 1 opened, 2 said, 3 proposed, 4 approved, 5 dispatching, 6 finished, or the last words."""
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    async with here.opened(server.address) as opened:
        await opened.say("first")
        await propose(opened, here.vault, "pay", b"{}", "pending" if had else state)
        if not had:
            await opened.say("last")
        await opened.caught_up()
    if had:
        await there.fetch(server.address)
        await here.fetch(server.address)
        async with here.opened(server.address) as opened:
            await go_on(opened, "pay", state)
            await opened.say("last")
            await opened.caught_up()
    if lost:
        await server.do("XDEL", f"omni:{{{SESSION}}}:ev", f"{lost}-0")
    await there.fetch(server.address)
    journal = await Journal.open(
        session_path(there.state, SESSION), SESSION, there.vault, lambda _events: None
    )
    (row,) = await journal.run(lambda tx: call_table.recent(tx, 10))
    await journal.close(clean=True)
    assert row.state == expected


@pytest.mark.parametrize("state", ["pending", "approved"])
async def test_a_call_that_went_back_and_forth_waits_only_where_it_is_open(
    server: RedisServer, tmp_path: Path, state: str
) -> None:
    """Redis says nothing new of it, but where the session was taken to and is open it may be approved."""
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    async with here.opened(server.address) as opened:
        await propose(opened, here.vault, "pay", b"{}", state)
        await opened.caught_up()
    report = await there.fetch(server.address)
    assert (report.waiting, report.uncertain) == (1, 0), "it was closed there"
    async with there.opened(server.address) as opened:
        await opened.say("here now")
        await opened.caught_up()
        report = await here.fetch(server.address)
        assert (report.waiting, report.uncertain) == (0, 1)
    report = await here.fetch(server.address)
    assert (report.waiting, report.uncertain) == (0, 0), "what is uncertain stays so"


async def test_what_was_cut_off_here_waits_again_where_nobody_else_had_it(
    server: RedisServer, tmp_path: Path
) -> None:
    here = Machine(tmp_path, "a")
    async with here.opened(server.address) as opened:
        await propose(opened, here.vault, "pay", b"{}", "pending")
        await opened.caught_up()
        await opened.mirror.close(5, stays_open=True)  # as after a crash: Redis says that it is open
    report = await here.fetch(server.address)
    assert (report.waiting, report.uncertain, report.info.open) == (1, 0, True)


# --- who may connect ----------------------------------------------------------------------------------

ACL = (
    "~omni:* +hello +ping +eval +xadd +xrange +exists +del +hmget +hget +hset +hgetall +hdel "
    "+expire +persist +select"
)


async def test_a_user_needs_no_more_than_the_guide_lists_and_a_wrong_password_says_so(
    server: RedisServer, tmp_path: Path
) -> None:
    assert ACL in (ROOT / "docs" / "guide" / "memory.md").read_text()
    await server.do("ACL", "SETUSER", "omni", "on", ">right password", "-@all", *ACL.split())
    await server.do("ACL", "SETUSER", "default", "off")
    address = replace(server.address, username="omni", password="right password")
    here, there = Machine(tmp_path, "a"), Machine(tmp_path, "b")
    async with here.opened(address) as opened:
        await opened.say("as a user")
        await opened.caught_up()
    assert [each.id for each in await list_remote(address, SEALERS)] == [SESSION]
    assert (await there.fetch(address)).events == 2
    for wrong in (replace(address, password="wrong"), replace(address, username="", password="")):
        async with there.opened(wrong) as opened:
            await opened.until("refused")
            assert "password" in opened.mirror.state.why or "NOAUTH" in opened.mirror.state.why
            assert "right password" not in repr(opened.mirror.state) + repr(wrong)


async def test_a_user_who_may_too_little_is_told_where_to_look(server: RedisServer, tmp_path: Path) -> None:
    await server.do("ACL", "SETUSER", "omni", "on", ">pw", "-@all", *ACL.replace(" +xadd", "").split())
    async with Machine(tmp_path, "a").opened(
        replace(server.address, username="omni", password="pw")
    ) as opened:
        await opened.say("something")
        await opened.until("refused")
        assert "can't run this command" in opened.mirror.state.why
        assert "ACL" in opened.mirror.state.todo
        await server.do("ACL", "SETUSER", "omni", "+xadd")
        await opened.caught_up()


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make a CA and a certificate for 127.0.0.1; return the CA's, the server's and its key's file."""
    folder.mkdir()
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA")])

    def signed(name: x509.Name, public: ec.EllipticCurvePublicKey, extension: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder(
            ca_name, name, public, x509.random_serial_number(), now - timedelta(1), now + timedelta(1)
        )
        made = builder.add_extension(extension, critical=False).sign(ca_key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    there = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    basic = x509.BasicConstraints(ca=True, path_length=None)
    files = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    files[0].write_bytes(signed(ca_name, ca_key.public_key(), basic))
    files[1].write_bytes(signed(name, key.public_key(), there))
    files[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


async def test_tls_is_checked_always(tmp_path: Path) -> None:
    ca, certificate, key = certificates(tmp_path / "certificates")
    server = RedisServer(tmp_path / "redis")
    server.more = (
        "--port", "0", "--tls-port", str(server.port), "--tls-cert-file", str(certificate),
        "--tls-key-file", str(key), "--tls-ca-cert-file", str(ca), "--tls-auth-clients", "no",
    )  # fmt: skip
    try:
        await server.start()
        address = replace(server.address, tls=True, ca=str(ca))
        async with Machine(tmp_path, "a").opened(address) as opened:
            await opened.say("over TLS")
            await opened.caught_up()
        assert [each.events for each in await list_remote(address, SEALERS)] == [2]
        for wrong, words in (
            (replace(address, ca=""), "certificate"),
            (replace(address, host="localhost"), "certificate"),
            (replace(address, ca=str(tmp_path / "none")), "none"),
            (replace(address, tls=False, ca=""), ""),
        ):
            with pytest.raises(RedisTrouble) as trouble:
                await list_remote(wrong, SEALERS)
            assert words in str(trouble.value)
            assert (trouble.value.kind == "refused") is bool(words)
    finally:
        server.kill()
