"""Looking at sessions: while another process writes them, on a read-only disk, writing nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from omni_tui.memory import (
    Journal,
    JournalBroken,
    JournalBusy,
    SavedSession,
    Vault,
    VaultRefused,
    last_unclean,
    list_sessions,
    new_session_id,
    private_files,
    session_path,
    snapshot,
)
from omni_tui.memory.writer import event_count_in_lock
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import ModeChanged, SessionOpened, SessionTitled, UserMessage
from omni_tui.security.text import safe
from tests.lengths import LONG

SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


def _write(state: Path, pipe: Connection) -> None:
    """Write a session for as long as nobody says stop; tell how many events are acknowledged."""

    async def work() -> None:
        vault = Vault.open(state, {})
        journal = await Journal.open(session_path(state, SESSION), SESSION, vault, ignore)
        number = 0
        while not pipe.poll():
            number += 1
            await journal.commit(UserMessage(turn="t", text=safe(f"{number} " + "x" * 700)))
            if number % 40 == 0:
                await journal.run(lambda tx: tx.execute("PRAGMA wal_checkpoint(PASSIVE)").close())
            if number % 90 == 0:
                await journal.run(lambda tx: tx.execute("PRAGMA wal_autocheckpoint=30").close())
            pipe.send(number)
        await journal.close(True)

    asyncio.run(work())


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Connection]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_write, args=(tmp_path, there), daemon=True
    )
    process.start()
    assert here.poll(60), "the other process did not write"
    yield here
    here.send("stop")
    while process.is_alive():
        while here.poll(0.01):
            here.recv()
        process.join(0.01)


def acknowledged(pipe: Connection) -> int:
    last = 0
    while not last or pipe.poll():
        last = pipe.recv()
    return last


def test_what_another_process_writes_is_seen_whole_and_never_behind(
    tmp_path: Path, writer: Connection
) -> None:
    vault = Vault.for_reading(tmp_path, {})
    seen = 0
    for _ in range(60 if LONG else 12):
        told = acknowledged(writer)
        saved = SavedSession(session_path(tmp_path, SESSION), SESSION, vault)
        found = [event.seq for event in saved]
        assert found == list(range(1, len(found) + 1))
        assert saved.unread == 0
        assert len(found) >= max(told, seen)
        seen = len(found)
        (info,) = list_sessions(tmp_path, vault).sessions
        assert info.id == SESSION


async def test_the_file_of_a_session_that_is_open_here_is_not_opened_again(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path, {})
    path = session_path(tmp_path, SESSION)
    journal = await Journal.open(path, SESSION, vault, ignore)
    with pytest.raises(JournalBusy, match="open in this process"):
        list(SavedSession(path, SESSION, vault))
    await journal.close(True)
    assert list(SavedSession(path, SESSION, vault)) == []


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
async def test_a_session_is_not_opened_here_while_a_reader_has_its_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    vault, path = Vault.open(tmp_path, {}), session_path(tmp_path, SESSION)
    journal = await Journal.open(path, SESSION, vault, ignore)
    await journal.close(True)
    if killed:
        Path(f"{path}-wal").write_bytes(b"x")  # it is read as a copy then
    opening, order = threading.Event(), list[str]()

    def open_here() -> None:
        snapshot.opened_here(path)
        order.append("opened")

    marker = threading.Thread(target=open_here)

    def slowly(file: Path, flags: int) -> int:
        fd = private_files.open_private(file, flags)
        if file == path and not opening.is_set():
            opening.set()
            marker.start()
            marker.join(0.2)  # it has to wait
            order.append("reading")
        return fd

    monkeypatch.setattr(snapshot, "open_private", slowly)
    with contextlib.suppress(sqlite3.Error):
        snapshot.look(path).close()
    marker.join()
    assert order == ["reading", "opened"]
    with pytest.raises(snapshot.OpenHere):
        snapshot.look(path)
    snapshot.closed_here(path)


async def fill(state: Path) -> dict[str, str]:
    """Leave a closed session, a killed one and a damaged one; return their ids by name."""
    vault = Vault.open(state, {})
    ids = {}
    for name in ("closed", "damaged", "killed"):
        ids[name] = session = new_session_id()
        path = session_path(state, session)
        journal = await Journal.open(path, session, vault, ignore)
        for number in range(30):
            await journal.commit(UserMessage(turn="t", text=safe(f"{number} " + "x" * 300)))
        await journal.commit(SessionTitled(title=safe(name)))
        kept = {end: path.with_suffix(end).read_bytes() for end in (".db", ".db-wal", ".lock")}
        await journal.close(True)
        if name == "killed":
            for end, content in kept.items():
                path.with_suffix(end).write_bytes(content)
                path.with_suffix(end).chmod(0o600)
    damaged = session_path(state, ids["damaged"])
    damaged.write_bytes(bytes(4096) + damaged.read_bytes()[4096:])
    return ids


def refuse_to_write(patch: pytest.MonkeyPatch, error: int) -> None:
    """Have the disk refuse whatever would change it."""
    really_open = os.open

    def opened(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not str(path).startswith("/dev"):
            raise OSError(error, os.strerror(error), path)
        return really_open(path, flags, *rest, **more)

    def refused(path: object, *rest: object, **more: object) -> None:
        raise OSError(error, os.strerror(error), str(path))

    patch.setattr(os, "open", opened)
    for name in ("mkdir", "rename", "replace", "unlink", "chmod", "fchmod", "link"):
        patch.setattr(os, name, refused)


@pytest.mark.parametrize("error", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_where_nothing_can_be_written_everything_can_be_listed_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    ids = await fill(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        refuse_to_write(patch, error)
        vault = Vault.for_reading(tmp_path, {})
        listed = list_sessions(tmp_path, vault)
        read = {
            name: len(list(SavedSession(session_path(tmp_path, session), session, vault)))
            for name, session in ids.items()
        }
        assert last_unclean(tmp_path) is None
    assert listed.unreadable == {}
    assert {info.id: (info.title, info.events) for info in listed.sessions} == {
        session: (name, 31) for name, session in ids.items()
    }
    assert read == {"closed": 31, "damaged": 31, "killed": 31}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


async def test_a_list_names_what_is_lost_and_what_cannot_be_read(tmp_path: Path) -> None:
    ids = await fill(tmp_path)
    vault = Vault.open(tmp_path, {})
    for each in ("session-keys", "session-keys.copy"):
        (tmp_path / each).unlink()
    session_path(tmp_path, ids["closed"]).write_bytes(b"")
    session_path(tmp_path, ids["damaged"]).write_bytes(b"x" * 9000)
    session_path(tmp_path, ids["killed"]).unlink()
    path = session_path(tmp_path, ids["killed"])
    path.with_suffix(".db-wal").unlink()
    listed = list_sessions(tmp_path, vault)
    assert listed.sessions == []
    assert set(listed.unreadable) == set(ids.values())
    assert listed.unreadable[ids["closed"]] == "its file is empty"
    assert "damaged" in listed.unreadable[ids["damaged"]]
    assert listed.unreadable[ids["killed"]] == "its file is gone"


def test_looking_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(VaultRefused, match="no key"):
        Vault.for_reading(tmp_path, {})
    assert list(tmp_path.iterdir()) == []


# --- nothing said, no file --------------------------------------------------------------------------


async def test_a_session_gets_its_file_with_the_first_thing_that_is_said(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path, {})
    path = session_path(tmp_path, SESSION)
    for say in (False, True):
        journal = await Journal.open(path, SESSION, vault, ignore, draft=True)
        await journal.commit(SessionOpened(title=safe("t"), mode="chat", model=safe("m")))
        assert not path.exists()
        assert list_sessions(tmp_path, vault).sessions == []
        # A stricter mode must survive a crash; but that alone is nothing to keep.
        await journal.commit(ModeChanged(mode="auto", covers=safe("all")))
        assert path.exists()
        if say:
            await journal.commit(UserMessage(turn="t", text=safe("hello")))
        assert len(await journal.read(0, 10)) == 2 + say
        count, _ = await journal.close(True)
        assert bool(count) == say
        assert sorted(each.name for each in path.parent.iterdir()) == ([path.name] if say else [])
    assert len(list(SavedSession(path, SESSION, vault))) == 3
    assert event_count_in_lock(path.with_suffix(".lock"), SESSION, vault) == 0


async def test_a_draft_that_cannot_get_its_file_says_why_and_nothing_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault.open(tmp_path, {})
    path = session_path(tmp_path, SESSION)
    journal = await Journal.open(path, SESSION, vault, ignore, draft=True)
    ran: list[bool] = []
    with monkeypatch.context() as patch:
        refuse_to_write(patch, errno.ENOSPC)
        with pytest.raises(JournalBroken, match="the disk is full"):
            await journal.commit(
                UserMessage(turn="t", text=safe("hello")), change=lambda tx: ran.append(True)
            )
    assert (journal.head, ran, path.exists()) == (0, [], False)
    await journal.close(True)
