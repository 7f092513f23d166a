"""Backups: whole, checked, rotated, without the key, and of no use once the session is deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from omni_tui.memory import (
    BackupFailed,
    Journal,
    JournalBroken,
    JournalBusy,
    SavedSession,
    Vault,
    all_backups,
    back_up,
    call_table,
    delete_session,
    restore,
    session_path,
)
from omni_tui.memory.backups import KEPT, Backup, save_backup
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.session_keys import SessionKeys
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CallState, UserMessage
from omni_tui.security.text import safe
from tests.unit.test_sessions import ROW

VAULT = Vault(FoundKey("key file", bytes(32)))
SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


async def say(state: Path, *words: str, clean: bool = True) -> None:
    journal = await Journal.open(session_path(state, SESSION), SESSION, VAULT, ignore)
    for each in words:
        await journal.commit(UserMessage(turn="t", text=safe(each)))
    await journal.close(clean)


def said(state: Path) -> list[str]:
    saved = SavedSession(session_path(state, SESSION), SESSION, VAULT)
    return [str(event.text) for event in saved if isinstance(event, UserMessage)]


def numbers(state: Path) -> list[int]:
    return [backup.number for backup in all_backups(state)]


async def test_a_restored_session_is_that_of_the_backup_and_the_former_file_is_kept(tmp_path: Path) -> None:
    await say(tmp_path, "one", "two")
    backup = back_up(tmp_path, SESSION, VAULT)
    await say(tmp_path, "three")
    former = session_path(tmp_path, SESSION).read_bytes()
    done = restore(tmp_path, SESSION, VAULT)
    assert (done.backup, done.events, done.lacks) == (backup, 2, 1)
    assert said(tmp_path) == ["one", "two"]
    assert done.kept is not None
    assert done.kept.read_bytes() == former
    journal = await Journal.open(session_path(tmp_path, SESSION), SESSION, VAULT, ignore)
    assert (journal.head, journal.damage) == (3, "")  # the number of what was said since is not given again
    await journal.commit(UserMessage(turn="t", text=safe("four")))
    await journal.close(True)
    assert said(tmp_path) == ["one", "two", "four"]


@pytest.mark.parametrize("loss", ["gone", "empty", "noise"])
async def test_a_lost_file_is_restored(tmp_path: Path, loss: str) -> None:
    await say(tmp_path, "one")
    back_up(tmp_path, SESSION, VAULT)
    path = session_path(tmp_path, SESSION)
    path.unlink() if loss == "gone" else path.write_bytes(b"" if loss == "empty" else b"x" * 9000)
    assert restore(tmp_path, SESSION, VAULT).events == 1
    assert said(tmp_path) == ["one"]


async def test_an_open_session_is_not_replaced(tmp_path: Path) -> None:
    await say(tmp_path, "one")
    back_up(tmp_path, SESSION, VAULT)
    journal = await Journal.open(session_path(tmp_path, SESSION), SESSION, VAULT, ignore)
    with pytest.raises(JournalBusy):
        restore(tmp_path, SESSION, VAULT)
    with pytest.raises(JournalBusy):
        back_up(tmp_path, SESSION, VAULT)  # by its own process: its locks would be lost
    await journal.commit(UserMessage(turn="t", text=safe("two")))
    await journal.close(True)
    assert said(tmp_path) == ["one", "two"]


async def test_a_call_that_waited_in_a_backup_is_uncertain_once_restored(tmp_path: Path) -> None:
    journal = await Journal.open(session_path(tmp_path, SESSION), SESSION, VAULT, ignore)
    states: tuple[CallState, ...] = ("pending", "approved", "rejected")
    for state in states:
        insert = partial(call_table.insert, row=replace(ROW, call=state, state=state))
        await journal.commit(UserMessage(turn="t", text=safe(state)), change=insert)
    await journal.close(False)
    back_up(tmp_path, SESSION, VAULT)
    restore(tmp_path, SESSION, VAULT)
    journal = await Journal.open(session_path(tmp_path, SESSION), SESSION, VAULT, ignore)
    await journal.commit(change=call_table.mark_after_crash)
    now = await journal.run(lambda tx: [(row.call, row.state) for row in call_table.recent(tx, 9)])
    assert dict(now) == {"pending": "uncertain", "approved": "uncertain", "rejected": "rejected"}
    await journal.close(True)


async def test_the_oldest_backup_goes_and_numbers_rise(tmp_path: Path) -> None:
    await say(tmp_path, "one")
    for _ in range(KEPT + 2):
        back_up(tmp_path, SESSION, VAULT)
    assert numbers(tmp_path) == [5, 4, 3]
    restore(tmp_path, SESSION, VAULT, 4)
    with pytest.raises(BackupFailed, match="no backup 1 of"):
        restore(tmp_path, SESSION, VAULT, 1)


async def test_a_backup_holds_no_key_and_is_noise_once_the_session_is_deleted(tmp_path: Path) -> None:
    await say(tmp_path, "one")
    backup = back_up(tmp_path, SESSION, VAULT)
    (wrapped,) = SessionKeys(tmp_path).find(SESSION)
    copied = backup.path.read_bytes()
    assert wrapped not in copied
    assert delete_session(tmp_path, SESSION)
    assert numbers(tmp_path) == []
    backup.path.write_bytes(copied)  # somebody had copied it elsewhere
    with pytest.raises(BackupFailed, match="it was deleted"):
        restore(tmp_path, SESSION, VAULT)
    path = session_path(tmp_path, SESSION)
    path.write_bytes(copied)
    with pytest.raises(JournalBroken):
        await Journal.open(path, SESSION, VAULT, ignore)


async def test_backups_outlive_the_loss_of_the_file_and_a_new_one_in_its_place(tmp_path: Path) -> None:
    await say(tmp_path, "one")
    back_up(tmp_path, SESSION, VAULT)
    path = session_path(tmp_path, SESSION)
    path.unlink()
    fetched = path.with_name(f".fetched-{SESSION}.db")  # as a session is fetched from Redis
    journal = await Journal.open(fetched, SESSION, VAULT, ignore)
    await journal.commit(UserMessage(turn="t", text=safe("fetched")))
    await journal.close(True)
    fetched.rename(path)
    assert said(tmp_path) == ["fetched"]
    restore(tmp_path, SESSION, VAULT)
    assert said(tmp_path) == ["one"]


@pytest.mark.parametrize("moment", ["before it is saved", "before its files go"])
async def test_a_session_deleted_while_it_is_backed_up_stays_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    await say(tmp_path, "one")
    real = save_backup
    kept: list[bytes] = []

    def late(state: Path, session: str, connection: sqlite3.Connection, *, one_more: bool) -> Backup:
        def saved(*_: object) -> None:
            kept.append(real(state, session, connection).path.read_bytes())

        with monkeypatch.context() as patch:
            if moment == "before its files go":
                patch.setattr("omni_tui.memory.session_files._erase_key", saved)
            assert delete_session(state, session)
        if moment == "before it is saved":
            saved()
        return Backup(session, 1, state, 0.0, 0)

    monkeypatch.setitem(back_up.__globals__, "save_backup", late)
    with pytest.raises(BackupFailed, match="deleted meanwhile"):
        back_up(tmp_path, SESSION, VAULT)
    assert kept
    assert SessionKeys(tmp_path).find(SESSION) == []
    assert numbers(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
async def test_a_damaged_backup_is_not_put_in_place(tmp_path: Path, damage: str) -> None:
    await say(tmp_path, *(f"{number} " + "x" * 400 for number in range(40)))
    backup = back_up(tmp_path, SESSION, VAULT)
    data = bytearray(backup.path.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flip":
        for at in range(9000, len(data), 3000):
            data[at] ^= 1
    elif damage == "empty":
        data.clear()
    backup.path.write_bytes(data)
    if damage == "other":
        with closing(sqlite3.connect(backup.path, isolation_level=None)) as connection:
            connection.execute("UPDATE meta SET value = 'another' WHERE name = 'session'")
    before = session_path(tmp_path, SESSION).read_bytes()
    with pytest.raises(BackupFailed):
        restore(tmp_path, SESSION, VAULT)
    assert session_path(tmp_path, SESSION).read_bytes() == before


async def test_a_damaged_session_pushes_no_good_backup_out(tmp_path: Path) -> None:
    await say(tmp_path, "one", "two")
    back_up(tmp_path, SESSION, VAULT)
    with closing(sqlite3.connect(session_path(tmp_path, SESSION), isolation_level=None)) as connection:
        connection.execute("UPDATE events SET body = zeroblob(100) WHERE seq = 1")
    with pytest.raises(BackupFailed, match="is damaged"):
        back_up(tmp_path, SESSION, VAULT)
    assert numbers(tmp_path) == [1]
    restore(tmp_path, SESSION, VAULT)
    assert said(tmp_path) == ["one", "two"]


async def test_a_session_that_was_fetched_with_gaps_is_backed_up(tmp_path: Path) -> None:
    await say(tmp_path, "one", "two")
    with closing(sqlite3.connect(session_path(tmp_path, SESSION), isolation_level=None)) as connection:
        connection.execute("UPDATE events SET body = zeroblob(0) WHERE seq = 1")  # as fetching does
    back_up(tmp_path, SESSION, VAULT)
    restore(tmp_path, SESSION, VAULT)
    assert said(tmp_path) == ["two"]
    with closing(sqlite3.connect(session_path(tmp_path, SESSION), isolation_level=None)) as connection:
        connection.execute("UPDATE events SET body = zeroblob(9) WHERE seq = 2")
    with pytest.raises(BackupFailed, match="is damaged"):
        back_up(tmp_path, SESSION, VAULT)


async def as_of_version_2(state: Path) -> Path:
    await say(state, "one")
    path = session_path(state, SESSION)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("DROP TABLE audit; UPDATE meta SET value = 2 WHERE name = 'schema'")
    return path


async def test_a_session_is_backed_up_before_it_is_migrated(tmp_path: Path) -> None:
    await as_of_version_2(tmp_path)
    await say(tmp_path, "two")
    (backup,) = all_backups(tmp_path)
    with closing(sqlite3.connect(backup.path)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() == (2,)
    restore(tmp_path, SESSION, VAULT)
    await say(tmp_path, "two again")
    assert said(tmp_path) == ["one", "two again"]


async def test_a_session_of_an_older_version_that_lost_events_is_migrated_too(tmp_path: Path) -> None:
    await say(tmp_path, "zero")
    path = await as_of_version_2(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE seq = 1")
    await say(tmp_path, "two")
    assert said(tmp_path) == ["one", "two"]


async def test_a_migration_that_is_cut_off_leaves_the_session_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await as_of_version_2(tmp_path)
    before = path.read_bytes()

    def power_cut(self: Path, target: Path) -> None:
        raise OSError(5, "the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", power_cut)
        with pytest.raises(OSError, match="power"):
            await Journal.open(path, SESSION, VAULT, ignore)
    assert path.read_bytes() == before
    await say(tmp_path, "two")
    assert said(tmp_path) == ["one", "two"]
