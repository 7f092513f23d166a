"""The journal: on disk before anybody acts, in order, sealed, and closed for good once the disk refuses."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path

import pytest

from omni_tui.memory import (
    Journal,
    JournalBroken,
    JournalBusy,
    Transaction,
    UnsafePlace,
    Vault,
    new_session_id,
    writer,
)
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.sqlite import Database
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import AnswerDelta, SessionOpened, UserMessage
from omni_tui.security.text import safe

VAULT = Vault(FoundKey("key file", bytes(32)))
OTHER = Vault(FoundKey("passphrase", b"x" * 32))
SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"

Listen = Callable[[Sequence[AnyEvent]], None]


def said(text: str) -> UserMessage:
    return UserMessage(turn="t1", text=safe(text))


def texts(events: Sequence[AnyEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, UserMessage)]


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions" / f"{SESSION}.db"


@asynccontextmanager
async def opened(path: Path, listen: Listen = ignore, *, clean: bool = True) -> AsyncIterator[Journal]:
    journal = await Journal.open(path, SESSION, VAULT, listen)
    try:
        yield journal
    finally:
        await journal.close(clean)


def raw(path: Path, sql: str, *params: object) -> list[tuple[object, ...]]:
    """Do something to a closed session's file behind the journal's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, params).fetchall()


async def fill(journal: Journal) -> None:
    """Leave the database no room to grow."""
    await journal.run(
        lambda tx: tx.execute(
            f"PRAGMA max_page_count={tx.execute('PRAGMA page_count').fetchone()[0]}"
        ).close()
    )


# --- faults -----------------------------------------------------------------------------------------


async def test_a_full_disk_is_said_and_nothing_is_written_any_more(path: Path) -> None:
    seen: list[AnyEvent] = []
    journal = await Journal.open(path, SESSION, VAULT, seen.extend)
    await journal.commit(said("kept"))
    await fill(journal)
    ran: list[str] = []
    long = said(os.urandom(25_000).hex())
    with pytest.raises(JournalBroken, match=r"the disk is full\. Nothing more is sent to servers"):
        await journal.commit(long, change=lambda tx: ran.append("before the flush"))
    with pytest.raises(JournalBroken, match="the disk is full"):
        await journal.commit(change=lambda tx: ran.append("after"))
    with pytest.raises(JournalBroken, match="the disk is full"):
        await journal.commit(said("small"))
    assert "after" not in ran
    assert journal.broken
    assert texts(await journal.read(0, 10)) == ["kept"]
    assert (journal.head, texts(seen)) == (1, ["kept"])
    with pytest.raises(JournalBroken):
        await journal.run(lambda tx: tx.execute("DELETE FROM events"))
    await journal.close(clean=True)
    async with opened(path) as again:
        assert again.recovered
        assert texts(await again.read(0, 10)) == ["kept"]
        await again.commit(said("goes on"))
        assert again.head == 2


async def test_all_who_shared_a_failed_flush_are_told(path: Path) -> None:
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    await fill(journal)
    together = [journal.commit(said("x" * 20_000 + str(n))) for n in range(20)]
    outcomes = await asyncio.gather(*together, return_exceptions=True)
    refused = [isinstance(each, JournalBroken) for each in outcomes]
    assert refused[-1]
    assert refused == sorted(refused)
    assert texts(await journal.read(0, 100)) == ["x" * 20_000 + str(n) for n in range(refused.count(False))]
    await journal.close(clean=False)


async def test_a_file_on_a_read_only_place_is_refused_in_words(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as journal:
        await journal.run(lambda tx: tx.execute("PRAGMA query_only=ON").close())
        with pytest.raises(JournalBroken, match="read-only"):
            await journal.commit(said("x"))
        assert journal.head == 0


async def test_a_damaged_event_is_left_out_and_counted_once(path: Path) -> None:
    async with opened(path) as journal:
        for n in range(1, 7):
            await journal.commit(said(str(n)))
    raw(path, "UPDATE events SET body = zeroblob(80) WHERE seq IN (2, 3)")
    raw(path, "UPDATE events SET body = (SELECT body FROM events WHERE seq = 6) WHERE seq = 5")
    async with opened(path) as journal:
        assert texts(await journal.read(0, 2)) == ["1", "4"]
        assert texts(await journal.read(0, 100)) == ["1", "4", "6"]
        assert journal.damaged == 3
        await journal.commit(said("7"))
        assert journal.head == 7


async def test_an_event_of_a_newer_version_is_left_out(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(said("old"), said("new"))

        def rewrite(tx: Transaction) -> None:
            body = tx.seal(b'{"type":"not_invented_yet","seq":2}', "events/2/body")
            tx.execute("UPDATE events SET body = ? WHERE seq = 2", (body,))

        await journal.run(rewrite)
        assert texts(await journal.read(0, 10)) == ["old"]
        assert journal.damaged == 1


async def test_a_session_of_another_key_stays_untouched(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(said("mine"))
    with pytest.raises(JournalBroken, match=r"saved with is not here \(now in use: passphrase\)"):
        await Journal.open(path, SESSION, OTHER, ignore)
    async with opened(path) as journal:
        assert texts(await journal.read(0, 10)) == ["mine"]


async def test_a_renamed_session_is_refused(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(said("x"))
    other = new_session_id()
    copy = path.with_name(f"{other}.db")
    copy.write_bytes(path.read_bytes())
    with pytest.raises(JournalBroken, match="another session"):
        await Journal.open(copy, other, VAULT, ignore)


async def test_a_newer_format_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    raw(path, "UPDATE meta SET value = 99 WHERE name = 'schema'")
    with pytest.raises(JournalBroken, match="another version"):
        await Journal.open(path, SESSION, VAULT, ignore)


async def test_a_sessions_folder_that_is_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePlace, match="symbolic link"):
        await Journal.open(path, SESSION, VAULT, ignore)


async def test_a_database_file_that_is_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(UnsafePlace, match="symbolic link"):
        await Journal.open(path, SESSION, VAULT, ignore)
    assert not (tmp_path / "elsewhere.db").exists()


async def test_a_session_is_open_once(path: Path) -> None:
    async with opened(path) as journal:
        with pytest.raises(JournalBusy, match="open in another omni-tui"):
            await Journal.open(path, SESSION, VAULT, ignore)
        await journal.commit(said("undisturbed"))
    async with opened(path) as again:
        assert texts(await again.read(0, 10)) == ["undisturbed"]


async def test_an_opening_that_is_given_up_leaves_the_session_free(path: Path) -> None:
    opening = asyncio.create_task(Journal.open(path, SESSION, VAULT, ignore))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with opened(path) as journal:
        await journal.commit(said("x"))


# --- commit -----------------------------------------------------------------------------------------


async def test_a_failing_change_takes_its_events_back_and_only_its_own(path: Path) -> None:
    seen: list[AnyEvent] = []

    def fail(tx: Transaction) -> None:
        tx.execute("UPDATE meta SET value = 'changed' WHERE name = 'title'")
        raise LookupError("no")

    async with opened(path, seen.extend) as journal:
        outcomes = await asyncio.gather(
            journal.commit(said("first"), change=lambda tx: "answer"),
            journal.commit(said("undone"), said("undone too"), change=fail),
            journal.commit(said("last")),
            return_exceptions=True,
        )
        assert outcomes[0] == "answer"
        assert isinstance(outcomes[1], LookupError)
        assert outcomes[2] is None
        events = await journal.read(0, 10)
        assert texts(events) == ["first", "last"] == texts(seen)
        assert [event.seq for event in events] == [1, 2]
        assert journal.head == 2
        assert await journal.run(
            lambda tx: tx.execute("SELECT value FROM meta WHERE name='title'").fetchall()
        ) == [(b"",)]


async def test_listeners_hear_of_it_before_the_caller_and_only_once_it_is_on_disk(path: Path) -> None:
    order: list[str] = []

    def listen(events: Sequence[AnyEvent]) -> None:
        order.extend(texts(events))

    async with opened(path, listen) as journal:
        await journal.commit(said("one"))
        order.append("returned")
        assert order == ["one", "returned"]


async def test_a_listener_that_fails_does_not_cost_the_caller_its_answer(path: Path) -> None:
    def listen(events: Sequence[AnyEvent]) -> None:
        raise RuntimeError("listener")

    async with opened(path, listen) as journal:
        assert await journal.commit(said("x"), change=lambda tx: 7) == 7


async def test_events_are_stamped_in_order_without_gaps(path: Path) -> None:
    seen: list[AnyEvent] = []
    async with opened(path, seen.extend) as journal:
        for n in range(6):
            await asyncio.gather(*(journal.commit(said(f"p{n} {k}")) for k in range(50)))
            await journal.commit(said(f"c{n}"))
        events = await journal.read(0, 1000)
    assert [event.seq for event in seen] == list(range(1, 307)) == [event.seq for event in events]
    assert {event.session for event in seen} == {SESSION}
    assert all(a.ts <= b.ts for a, b in pairwise(seen))
    assert events == seen


async def test_commits_share_flushes(path: Path) -> None:
    groups: list[int] = []
    async with opened(path, lambda events: groups.append(len(events))) as journal:
        await asyncio.gather(*(journal.commit(said(str(n))) for n in range(100)))
        assert sum(groups) == 100
        assert len(groups) <= 10


async def test_a_cancelled_caller_does_not_take_its_events_back(path: Path) -> None:
    async with opened(path) as journal:
        task = asyncio.create_task(journal.commit(said("stays")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await journal.commit(said("next"))
        assert texts(await journal.read(0, 10)) == ["stays", "next"]


async def test_an_event_that_cannot_be_written_down_stops_nothing_else(path: Path) -> None:
    async with opened(path) as journal:
        with pytest.raises(UnicodeEncodeError):
            await journal.commit(UserMessage(turn="\ud800", text=safe("x")))
        await journal.commit(said("fine"))
        assert (journal.head, journal.broken) == (1, "")


async def test_only_events_for_the_journal_are_taken(path: Path) -> None:
    async with opened(path) as journal:
        delta = AnswerDelta(turn="t", message="m", text=safe("x"))
        with pytest.raises(TypeError, match="AnswerDelta"):
            await journal.commit(delta)


async def test_reading_sees_what_was_sent_before_only_after_it_is_on_disk(path: Path) -> None:
    seen: list[AnyEvent] = []
    async with opened(path, seen.extend) as journal:
        writing = asyncio.create_task(journal.commit(said("a"), said("b")))
        await asyncio.sleep(0)
        assert texts(await journal.read(0, 10)) == ["a", "b"] == texts(seen)
        assert texts(await journal.read(1, 10)) == ["b"]
        assert texts(await journal.read(0, 1)) == ["a"]
        assert await journal.read(2, 10) == []
        await writing


async def test_run_keeps_what_it_changes_and_undoes_what_fails(path: Path) -> None:
    def half(tx: Transaction) -> None:
        tx.execute("UPDATE meta SET value = 5 WHERE name = 'created'")
        raise LookupError

    async with opened(path) as journal:
        await journal.run(lambda tx: tx.execute("UPDATE meta SET value = 4 WHERE name = 'created'").close())
        with pytest.raises(LookupError):
            await journal.run(half)
        await journal.commit(said("still works"))
    assert raw(path, "SELECT value FROM meta WHERE name = 'created'") == [(4,)]


# --- the file ---------------------------------------------------------------------------------------


async def test_nothing_said_stands_in_the_clear_in_any_file(path: Path) -> None:
    async with opened(path, clean=False) as journal:
        await journal.commit(SessionOpened(title=safe("canary title"), mode="chat", model=safe("m")))
        await journal.commit(said("canary words"), change=lambda tx: None)
        files = [each for each in path.parent.iterdir() if each.is_file()]
        assert len(files) >= 3
        assert all(b"canary" not in each.read_bytes() for each in files)
        assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_how_it_was_closed_is_known(path: Path) -> None:
    async with opened(path) as journal:
        assert not journal.recovered
        await journal.commit(said("x"))
    assert raw(path, "SELECT value FROM meta WHERE name = 'closed'") == [("clean",)]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
    async with opened(path, clean=False) as journal:
        assert not journal.recovered
        assert journal.head == 1
    assert raw(path, "SELECT value FROM meta WHERE name = 'closed'") == [("parked",)]
    raw(path, "UPDATE meta SET value = 'open' WHERE name = 'closed'")
    async with opened(path) as journal:
        assert journal.recovered


async def test_closing_writes_what_was_sent_and_ends_it(path: Path) -> None:
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    writing = [asyncio.create_task(journal.commit(said(str(n)))) for n in range(100)]
    await asyncio.sleep(0)
    await asyncio.gather(*writing, journal.close(True), journal.close(True))
    await journal.close(False)
    for refused in (lambda: journal.commit(said("x")), lambda: journal.read(0, 1)):
        with pytest.raises(JournalBroken, match="is closed"):
            await refused()
    async with opened(path) as again:
        assert len(await again.read(0, 1000)) == 100


async def test_every_commit_is_flushed_before_it_returns(path: Path) -> None:
    async with opened(path) as journal:
        settings = {
            name: await journal.run(lambda tx, name=name: tx.execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[misc]
            for name in ("synchronous", "journal_mode", "locking_mode", "secure_delete", "mmap_size")
        }
    assert settings == {
        "synchronous": 2,
        "journal_mode": "wal",
        "locking_mode": "exclusive",
        "secure_delete": 1,
        "mmap_size": 0,
    }


async def test_the_first_commit_after_a_rest_does_not_begin_a_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beginning one takes a flush more, and what comes after a rest is often a decision."""
    rested = threading.Event()
    begin = Database.begin_log

    def begun(database: Database) -> None:
        begin(database)
        rested.set()

    monkeypatch.setattr(writer, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(Database, "begin_log", begun)

    def log() -> bytes:
        """The number of the log; see SQLite's "WAL file format"."""
        with path.with_name(f"{path.name}-wal").open("rb") as file:
            return file.read(24)[12:24]

    async with opened(path) as journal:
        first = log()
        await journal.commit(said("one"))
        assert await asyncio.to_thread(rested.wait, 60)
        resting = log()
        assert resting != first
        monkeypatch.setattr(writer, "_IDLE_SECONDS", 600.0)
        await journal.commit(said("two"))
        assert log() == resting


async def test_a_file_from_before_bodies_were_compressed_opens_as_it_is(path: Path) -> None:
    async with opened(path) as journal:
        await journal.commit(said("as it was"))
    raw(path, "UPDATE meta SET value = 3 WHERE name = 'schema'")
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM events").fetchall()
    long = "some more words " * 500
    async with opened(path) as journal:
        await journal.commit(said(long))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() == (4,)
        assert connection.execute("SELECT * FROM events").fetchall()[:1] == before
        (size,) = connection.execute("SELECT length(body) FROM events WHERE seq = 2").fetchone()
        assert size < len(long) / 4
    async with opened(path) as journal:
        assert texts(await journal.read(0, 10)) == ["as it was", long]
    assert not list(path.parent.parent.glob("backups/*")), "nothing had to be migrated"
