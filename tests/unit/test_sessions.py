"""The folder of sessions: what is listed, what is taken up again, what is destroyed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sqlite3
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from omni_tui.memory import (
    CallRow,
    InstallationAudit,
    Journal,
    JournalBusy,
    SealBroken,
    Transaction,
    Vault,
    call_table,
    delete_session,
    last_unclean,
    list_sessions,
    new_session_id,
    private_files,
    session_path,
)
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.session_files import anything_left, sweep_left_behind
from omni_tui.memory.session_keys import SessionKeys
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import SessionOpened, SessionTitled, UserMessage
from omni_tui.security.text import safe

ROW = CallRow(
    call="c1",
    turn="t1",
    step=1,
    agent="root",
    origin="agent",
    server="files",
    tool="delete",
    server_fp="fp",
    def_hash="def",
    args=b"{}",
    args_hash="hash",
    state="pending",
)


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def vault(state: Path) -> Vault:
    return Vault.open(state, {})


async def begin(state: Path, vault: Vault, title: str = "title") -> Journal:
    session = new_session_id()
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    await journal.commit(SessionOpened(title=safe(title), mode="chat", model=safe("offline")))
    return journal


def _hold_session(state: Path, passes: Connection) -> None:
    """Open a session in another process, write to it, say which, and stay until killed."""
    import asyncio

    async def work() -> None:
        journal = await begin(state, Vault.open(state, {}), "held")
        await journal.commit(
            UserMessage(turn="t", text=safe("x")), change=lambda tx: call_table.insert(tx, ROW)
        )
        passes.send(journal.session)
        await asyncio.get_running_loop().run_in_executor(None, passes.recv)

    asyncio.run(work())


class Other:
    """Another process that has a session open."""

    def __init__(self, state: Path) -> None:
        here, there = multiprocessing.Pipe()
        self._here = here
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_hold_session, args=(state, there), daemon=True)
        self._process.start()
        assert here.poll(60), "the other process did not open its session"
        self.session: str = here.recv()

    def kill(self) -> None:
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(10)
        self._here.close()


# --- names ------------------------------------------------------------------------------------------


def test_ids_are_uuids_of_version_seven_that_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another test may have set the clock forward, and ids never go back.
    monkeypatch.setattr("omni_tui.memory.session_files._last_moment", 0)
    before = time.time_ns() // 1_000_000
    ids = [new_session_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert all(len(each) == 36 for each in ids)
    parsed = uuid.UUID(ids[0])
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert 0 <= (parsed.int >> 80) - before < 60_000


@pytest.mark.parametrize(
    "session",
    [
        "",
        "..",
        "../../etc/passwd",
        "-" * 36,
        "0192f3a4-5b6c-7d8e-9f00-11223344556/",
        "0192F3A4-5B6C-7D8E-9F00-112233445566",
        "0192f3a4-5b6c-7d8e-9f00-112233445566\n",
        "0192f3a4-5b6c-7d8e-9f00-112233445566.db",
        "٠192f3a4-5b6c-7d8e-9f00-112233445566",
    ],
)
def test_what_is_no_id_never_becomes_a_path(state: Path, session: str) -> None:
    with pytest.raises(ValueError, match="not a session id"):
        session_path(state, session)
    with pytest.raises(ValueError, match="not a session id"):
        delete_session(state, session)


# --- lists ------------------------------------------------------------------------------------------


async def test_sessions_are_listed_last_used_first_with_what_stands_in_them(
    state: Path, vault: Vault
) -> None:
    first = await begin(state, vault, "first")
    second = await begin(state, vault, "second")
    await second.close(True)
    await first.commit(
        SessionTitled(title=safe("renamed\x1b")),
        UserMessage(turn="t", text=safe("x")),
        change=lambda tx: call_table.insert(tx, ROW),
    )
    await first.close(False)
    listed = list_sessions(state, vault).sessions
    assert [(info.id, info.title, info.events, info.open_calls) for info in listed] == [
        (first.session, "renamed<U+001B>", 3, 1),
        (second.session, "second", 1, 0),
    ]
    assert all(0 < info.created <= info.updated <= time.time() for info in listed)


async def test_a_clock_that_is_set_back_changes_neither_the_order_nor_what_is_taken_up_again(
    state: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for number, moment in enumerate((2e9, 1e9, 1.5e9)):
        monkeypatch.setattr(
            "omni_tui.memory.use_order.time.time_ns", lambda moment=moment: int(moment * 1e9)
        )
        monkeypatch.setattr("omni_tui.memory.writer.time.time", lambda moment=moment: moment)
        journal = await begin(state, vault, str(number))
        await journal.close(False)
        order.insert(0, str(number))
        assert [info.title for info in list_sessions(state, vault).sessions] == order
        assert last_unclean(state) == journal.session
    (state / "last-use").write_bytes(b"9" * 40)  # damaged: then the clock decides
    journal = await begin(state, vault, "after")
    assert sorted(info.title for info in list_sessions(state, vault).sessions) == ["0", "1", "2", "after"]
    await journal.close(True)


async def test_an_open_session_is_listed_without_opening_its_database(
    state: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await begin(state, vault, "open now")

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a second connection")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", never)
        (info,) = list_sessions(state, vault).sessions
    assert (info.id, info.title, info.events) == (journal.session, "open now", 1)
    await journal.commit(UserMessage(turn="t", text=safe("still writes")))
    await journal.close(True)


async def test_a_title_that_was_taken_back_is_not_listed(state: Path, vault: Vault) -> None:
    journal = await begin(state, vault, "first")

    def fail(tx: Transaction) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await journal.commit(SessionTitled(title=safe("taken back")), change=fail)
    await journal.commit(UserMessage(turn="t", text=safe("x")))
    assert [info.title for info in list_sessions(state, vault).sessions] == ["first"]
    await journal.close(True)


async def test_what_cannot_be_read_is_left_out(state: Path, vault: Vault) -> None:
    good = await begin(state, vault, "good")
    await good.close(True)
    for content in (b"", b"no database", b"SQLite format 3\0" + os.urandom(5000)):
        session_path(state, new_session_id()).write_bytes(content)
    foreign = await begin(state, Vault(FoundKey("keyring", b"k" * 32)), "of another key")
    await foreign.close(True)
    (state / "sessions" / "notes.db").write_bytes(b"")
    assert [info.title for info in list_sessions(state, vault).sessions] == ["good"]


async def test_listing_changes_no_session(state: Path, vault: Vault) -> None:
    journal = await begin(state, vault)
    await journal.close(True)
    before = {path.name: path.read_bytes() for path in (state / "sessions").iterdir()}
    list_sessions(state, vault)
    assert {path.name: path.read_bytes() for path in (state / "sessions").iterdir()} == before


def test_no_folder_is_no_session(state: Path, vault: Vault) -> None:
    assert list_sessions(state, vault).sessions == []
    assert last_unclean(state) is None
    assert delete_session(state, new_session_id()) is False


# --- taking up again --------------------------------------------------------------------------------


async def test_the_newest_session_that_is_not_finished_is_taken_up_again(state: Path, vault: Vault) -> None:
    parked = [await begin(state, vault, str(n)) for n in range(2)]
    for journal in parked:
        await journal.close(False)
    clean = await begin(state, vault, "clean")
    await clean.close(True)
    assert last_unclean(state) == parked[1].session
    again = await Journal.open(session_path(state, parked[1].session), parked[1].session, vault, ignore)
    assert last_unclean(state) == parked[0].session
    await again.close(True)
    assert last_unclean(state) == parked[0].session


async def test_open_calls_outweigh_a_clean_end(state: Path, vault: Vault) -> None:
    journal = await begin(state, vault)
    await journal.commit(change=lambda tx: call_table.insert(tx, ROW))
    await journal.commit(change=lambda tx: call_table.insert(tx, replace(ROW, call="c2", state="denied")))
    await journal.close(True)
    assert last_unclean(state) == journal.session


def test_a_session_that_another_process_has_open_is_passed_over_until_it_dies(
    state: Path, vault: Vault
) -> None:
    other = Other(state)
    try:
        assert last_unclean(state) is None
        (info,) = list_sessions(state, vault).sessions
        assert (info.id, info.title) == (other.session, "held")
        with pytest.raises(JournalBusy):
            delete_session(state, other.session)
    finally:
        other.kill()
    assert last_unclean(state) == other.session
    (info,) = list_sessions(state, vault).sessions
    assert (info.title, info.events, info.open_calls) == ("held", 2, 1)
    assert last_unclean(state) == other.session


async def test_a_session_that_could_not_be_opened_is_not_offered(state: Path, vault: Vault) -> None:
    foreign = await begin(state, Vault(FoundKey("keyring", b"k" * 32)))
    await foreign.close(False)
    broken = await begin(state, vault)
    await broken.close(False)
    session_path(state, broken.session).write_bytes(b"no database")
    assert last_unclean(state) is None


# --- destroying -------------------------------------------------------------------------------------


async def test_a_deleted_session_is_gone_and_what_was_copied_of_it_opens_no_more(
    state: Path, vault: Vault
) -> None:
    journal = await begin(state, vault, "to go")
    await journal.commit(UserMessage(turn="t", text=safe("body")))
    await journal.close(False)
    path = session_path(state, journal.session)
    link = state / "still-there"
    link.hardlink_to(path)
    with closing(sqlite3.connect(link)) as connection:
        (wrapped,) = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
    assert wrapped in link.read_bytes()
    assert SessionKeys(state).find(journal.session) == [wrapped]
    assert delete_session(state, journal.session)
    assert list((state / "sessions").iterdir()) == []
    assert SessionKeys(state).find(journal.session) == []
    left = link.read_bytes()
    assert wrapped not in left
    with closing(sqlite3.connect(link)) as connection:
        (erased,) = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
    with pytest.raises(SealBroken):
        vault.unwrap(erased, f"key of {journal.session}")
    assert delete_session(state, journal.session) is False


LEFT = [".{}.db.abcdef123456", ".{}.db.new.abcdef123456", ".fetched-{}.db", ".fetched-{}.db-wal"]


def leave_behind(state: Path, session: str) -> list[Path]:
    """Leave copies of a session and of its key, as processes do that are killed while they write."""
    path = session_path(state, session)
    left = [path.with_name(name.format(session)) for name in LEFT]
    for each in left:
        each.write_bytes(path.read_bytes())
        os.utime(each, (1.0, 1.0))
    keys = state / ".session-keys.abcdef123456"
    keys.write_bytes((state / "session-keys").read_bytes())
    return [*left, keys]


async def test_deleting_a_session_erases_what_killed_processes_left_of_it(
    state: Path, vault: Vault
) -> None:
    journal = await begin(state, vault, "to go")
    await journal.close(True)
    (wrapped,) = SessionKeys(state).find(journal.session)
    for number, each in enumerate(leave_behind(state, journal.session)):
        (state / f"still there {number}").hardlink_to(each)
    assert delete_session(state, journal.session)
    assert list((state / "sessions").iterdir()) == []
    for each in filter(Path.is_file, state.iterdir()):
        assert wrapped not in each.read_bytes(), each.name
        assert wrapped.hex().encode() not in each.read_bytes(), each.name
    assert not anything_left(state, journal.session)
    session_path(state, journal.session).with_name(LEFT[0].format(journal.session)).write_bytes(b"x")
    assert delete_session(state, journal.session)


async def test_what_killed_processes_left_is_swept_unless_somebody_has_the_session(
    state: Path, vault: Vault
) -> None:
    journal = await begin(state, vault, "stays")
    await journal.commit(UserMessage(turn="t", text=safe("x")))
    left = leave_behind(state, journal.session)[: len(LEFT)]
    sweep_left_behind(state)
    assert all(each.exists() for each in left)
    await journal.close(True)
    path = session_path(state, journal.session)
    path.with_name(f".{path.name}.0123456789ab").hardlink_to(
        path
    )  # it was killed after it gave it its name
    os.utime(path, (1.0, 1.0))
    os.utime(left[0])
    whole = path.read_bytes()
    sweep_left_behind(state)
    assert [each.exists() for each in left] == [True, False, False, False]
    assert set(path.parent.iterdir()) == {path, left[0]}
    assert path.read_bytes() == whole


async def test_an_open_session_is_not_deleted(state: Path, vault: Vault) -> None:
    journal = await begin(state, vault)
    with pytest.raises(JournalBusy, match="close it first"):
        delete_session(state, journal.session)
    await journal.close(True)
    assert delete_session(state, journal.session)


async def test_a_session_can_be_deleted_from_a_full_disk(
    state: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await begin(state, vault)
    await journal.close(True)
    path = session_path(state, journal.session)
    really = private_files._write_beside

    def write(target: Path, data: bytes) -> Path:
        if path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(target, data)

    monkeypatch.setattr(private_files, "_write_beside", write)
    assert delete_session(state, journal.session, InstallationAudit(state, vault))
    assert not path.exists()
    assert SessionKeys(state).find(journal.session) == []
    assert [entry.action for entry in InstallationAudit(state, vault)] == ["session deleted"]  # type: ignore[union-attr]


async def test_what_is_left_of_a_lost_session_can_be_deleted(state: Path, vault: Vault) -> None:
    journal = await begin(state, vault)
    lock = session_path(state, journal.session).with_suffix(".lock")
    summary = lock.read_bytes()
    await journal.close(True)
    session_path(state, journal.session).unlink()
    lock.write_bytes(summary)
    assert list(list_sessions(state, vault).unreadable.values()) == ["its file is gone"]
    assert delete_session(state, journal.session)
    assert list_sessions(state, vault).unreadable == {}
    assert SessionKeys(state).find(journal.session) == []


async def test_a_damaged_session_can_be_deleted_too(state: Path, vault: Vault) -> None:
    journal = await begin(state, vault)
    await journal.close(True)
    path = session_path(state, journal.session)
    path.write_bytes(b"no database")
    path.with_name(f"{path.name}.damaged").write_bytes(b"nor this")
    assert delete_session(state, journal.session)
    assert list((state / "sessions").iterdir()) == []
