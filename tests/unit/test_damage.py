"""Damaged session files: what SQL can read is there, what cannot is counted, and nothing is destroyed."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from omni_tui.memory import (
    Journal,
    JournalBroken,
    JournalBusy,
    SavedSession,
    Vault,
    delete_session,
    last_unclean,
    list_sessions,
    session_path,
)
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.salvage import wal_state
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import SessionTitled, UserMessage
from omni_tui.security.text import safe

VAULT = Vault(FoundKey("key file", bytes(32)))
SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"
PAGE = 4096
MANY = 600


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return session_path(tmp_path, SESSION)


async def begin(path: Path, events: int, *, clean: bool = True) -> None:
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    for number in range(events):
        journal.post(UserMessage(turn="t", text=safe(f"{number} " + "x" * 300)))
    await journal.close(clean)


async def killed(path: Path, events: int) -> None:
    """Leave a session as `kill -9` does: with all its events in the write-ahead log."""
    living = path.with_name("living") / path.name
    journal = await Journal.open(living, SESSION, VAULT, ignore)
    for number in range(events - 1):
        await journal.commit(UserMessage(turn="t", text=safe(f"{number} " + "x" * 300)))
    await journal.commit(SessionTitled(title=safe("a title is told at once, and the count with it")))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for end in (".db", ".db-wal", ".lock"):
        source = living.with_name(f"{SESSION}{end}")
        if source.exists():
            shutil.copyfile(source, path.with_name(source.name))
    await journal.close(True)


def numbers(events: Sequence[AnyEvent]) -> list[int]:
    return [int(event.text.split()[0]) for event in events if isinstance(event, UserMessage)]


async def everything(journal: Journal) -> list[AnyEvent]:
    found: list[AnyEvent] = []
    while page := await journal.read(found[-1].seq if found else 0, 100):
        found += page
    return found


def leaves(data: bytearray) -> list[int]:
    """Return where the leaves of tables begin."""
    return [at for at in range(PAGE, len(data), PAGE) if data[at] == 13]


def cut_in_half(data: bytearray) -> None:
    del data[len(data) // 2 // PAGE * PAGE :]


def cut_in_a_page(data: bytearray) -> None:
    del data[-1000:]


def zeroed_leaf(data: bytearray) -> None:
    at = leaves(data)[len(leaves(data)) // 2]
    data[at : at + PAGE] = bytes(PAGE)


def zeroed_stretch(data: bytearray) -> None:
    at = leaves(data)[len(leaves(data)) // 2]
    data[at : at + 8 * PAGE] = bytes(8 * PAGE)


def noise(data: bytearray) -> None:
    chance = random.Random(5)
    for at in chance.sample(leaves(data)[4:], 5):
        data[at + 8 : at + 520] = chance.randbytes(512)


DAMAGES = [cut_in_half, cut_in_a_page, zeroed_leaf, zeroed_stretch, noise]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_session_opens_with_what_can_be_read_and_the_damaged_file_is_kept(
    path: Path, damage: Callable[[bytearray], None]
) -> None:
    await begin(path, MANY, clean=False)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    found = await everything(journal)
    read = numbers(found)
    assert len(read) > MANY // 4
    assert read == sorted(set(read))
    assert read == [event.seq - 1 for event in found]
    assert journal.damage or journal.damaged
    if damage is not noise:  # noise inside a page can be met by the seals alone
        assert "kept as" in journal.damage
        assert path.with_name(f"{path.name}.damaged").read_bytes() == bytes(data)
    assert len(read) + journal.damaged == journal.head
    if journal.head < MANY:
        assert f"the last {MANY - journal.head} of {MANY} saved events" in journal.damage
    await journal.commit(UserMessage(turn="t", text=safe("0 goes on")))
    await journal.close(True)
    again = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(numbers(await everything(again))) == len(read) + 1
    assert again.damage == ""
    await again.close(True)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_looking_at_a_damaged_session_changes_nothing_and_counts_what_is_missing(
    path: Path, damage: Callable[[bytearray], None]
) -> None:
    await begin(path, MANY, clean=False)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    saved = SavedSession(path, SESSION, VAULT)
    read = numbers(list(saved))
    assert read == sorted(set(read))
    assert len(read) + saved.unread == MANY
    assert saved.unread
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


async def test_rows_that_are_gone_or_hold_no_body_are_counted(path: Path) -> None:
    await begin(path, 50)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE seq IN (1, 20, 21)")
        connection.execute("UPDATE events SET body = 7 WHERE seq = 30")
        connection.execute("UPDATE events SET body = zeroblob(100) WHERE seq = 31")
    saved = SavedSession(path, SESSION, VAULT)
    assert len(list(saved)) == 45
    assert saved.unread == 5
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 45
    assert journal.damaged == 5
    await journal.close(True)


async def test_an_empty_file_is_no_new_session_and_stays(path: Path) -> None:
    await begin(path, 5)
    path.write_bytes(b"")
    with pytest.raises(JournalBroken, match="is empty"):
        await Journal.open(path, SESSION, VAULT, ignore)
    with pytest.raises(JournalBroken, match="is empty"):
        list(SavedSession(path, SESSION, VAULT))
    assert path.read_bytes() == b""


async def test_the_log_of_an_empty_file_is_not_thrown_away(path: Path) -> None:
    await killed(path, 20)
    log = Path(f"{path}-wal").read_bytes()
    path.write_bytes(b"")
    with pytest.raises(JournalBroken, match="is empty"):
        await Journal.open(path, SESSION, VAULT, ignore)
    assert Path(f"{path}-wal").read_bytes() == log


async def test_a_session_whose_log_was_lost_says_how_much_is_gone(path: Path) -> None:
    await killed(path, 40)
    Path(f"{path}-wal").unlink()
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert journal.head < 40
    assert "saved events are not in the file any more" in journal.damage
    await journal.close(True)


async def test_a_key_that_cannot_be_read_leaves_the_file_as_it_is(path: Path) -> None:
    await begin(path, MANY)
    data = bytearray(path.read_bytes())
    data[PAGE:] = os.urandom(len(data) - PAGE)
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(JournalBroken, match=r"is damaged .* It is left as it is"):
            await Journal.open(path, SESSION, VAULT, ignore)
    assert path.read_bytes() == bytes(data)
    assert [each.name for each in path.parent.glob("*.damaged*")] == []


async def test_what_is_no_database_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"something else entirely" * 500)
    with pytest.raises(JournalBroken, match="is damaged"):
        await Journal.open(path, SESSION, VAULT, ignore)
    assert path.read_bytes() == b"something else entirely" * 500


# --- the write-ahead log ----------------------------------------------------------------------------


async def test_a_whole_log_of_a_killed_session_is_taken_whole(path: Path) -> None:
    await killed(path, 60)
    assert wal_state(path).lost == 0
    assert wal_state(path).read >= 60
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 60
    assert journal.damage == ""
    await journal.close(True)


async def test_a_flipped_bit_in_the_log_is_noticed_and_the_log_is_kept(path: Path) -> None:
    await killed(path, 60)
    log = bytearray(Path(f"{path}-wal").read_bytes())
    log[len(log) // 2] ^= 1
    Path(f"{path}-wal").write_bytes(log)
    state = wal_state(path)
    assert state.lost > 10
    assert state.read > 10
    saved = SavedSession(path, SESSION, VAULT)
    seen = len(list(saved))
    assert seen + saved.unread == 60
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == seen < 60
    assert "write-ahead log is damaged" in journal.damage
    kept = path.with_name(f"{path.name}.damaged")
    assert Path(f"{kept}-wal").read_bytes() == bytes(log)
    await journal.close(True)


async def test_a_log_that_ends_in_the_middle_of_a_frame_loses_only_what_was_not_written(path: Path) -> None:
    await killed(path, 30)
    log = Path(f"{path}-wal").read_bytes()
    Path(f"{path}-wal").write_bytes(log[:-100])
    assert wal_state(path).lost == 0
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 29
    assert "the last 1 of 30 saved events" in journal.damage
    await journal.close(True)


def test_where_there_is_no_log_nothing_is_lost(tmp_path: Path) -> None:
    assert wal_state(tmp_path / "x.db") == wal_state(tmp_path / "y.db")
    (tmp_path / "x.db-wal").write_bytes(b"")
    assert wal_state(tmp_path / "x.db").lost == 0
    (tmp_path / "x.db-wal").write_bytes(os.urandom(50_000))
    assert wal_state(tmp_path / "x.db").lost == 1


# --- pipes, folders, clocks, deletion ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pipe", "folder"])
async def test_a_pipe_or_a_folder_in_the_place_of_a_session_holds_nobody_up(
    tmp_path: Path, path: Path, kind: str
) -> None:
    await begin(path, 1)
    other = path.with_name("0192f3a4-5b6c-7d8e-9f00-112233445567.db")
    os.mkfifo(other) if kind == "pipe" else other.mkdir()
    os.mkfifo(other.with_suffix(".lock"))
    found = list_sessions(tmp_path, VAULT)
    assert [info.id for info in found.sessions] == [SESSION]
    assert list(found.unreadable) == [other.stem]
    assert last_unclean(tmp_path) is None
    with pytest.raises((JournalBroken, JournalBusy, OSError)):
        await Journal.open(other, other.stem, VAULT, ignore)
    with pytest.raises((JournalBroken, JournalBusy, OSError)):
        list(SavedSession(other, other.stem, VAULT))


async def test_times_never_go_back_when_the_clock_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await begin(path, 1)
    monkeypatch.setattr("omni_tui.memory.writer.time.time", lambda: 1000.0)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    await journal.commit(UserMessage(turn="t", text=safe("1 later")))
    first, second = await everything(journal)
    await journal.close(True)
    assert second.ts >= first.ts > 1000.0


async def test_deleting_a_session_erases_every_copy_that_was_kept_of_it(tmp_path: Path, path: Path) -> None:
    for _ in range(2):
        await begin(path, MANY, clean=False)
        data = bytearray(path.read_bytes())
        zeroed_leaf(data)
        path.write_bytes(data)
    await begin(path, 1)
    assert len(list(path.parent.glob("*.damaged*"))) >= 2
    assert delete_session(tmp_path, SESSION)
    assert list(path.parent.glob(f"{SESSION}*")) == []
