"""Damaged session files: what a page holds is read, what is lost is counted, and nothing is destroyed."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_tui.memory import (
    Journal,
    JournalBroken,
    JournalBusy,
    SavedSession,
    SavedTask,
    Transaction,
    Vault,
    call_table,
    delete_session,
    last_unclean,
    list_sessions,
    session_path,
    task_table,
)
from omni_tui.memory.crypto import FoundKey
from omni_tui.memory.salvage import kept_copies, lost_commits, read_damaged
from omni_tui.memory.session_labels import rename_closed
from omni_tui.memory.writer import event_count_in_lock
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import CallChanged, CallState, SessionTitled, UserMessage
from omni_tui.security.text import safe
from tests.unit.test_sessions import ROW

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
    messages = [UserMessage(turn="t", text=safe(f"{number} " + "x" * 300)) for number in range(events)]
    await asyncio.gather(*map(journal.commit, messages))
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


def forget_keys(path: Path) -> None:
    """Lose the key store."""
    for each in path.parent.parent.glob("session-keys*"):
        each.unlink()


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


def zeroed_header(data: bytearray) -> None:
    data[:PAGE] = bytes(PAGE)


def zeroed_first_pages(data: bytearray) -> None:
    """The list of tables, the key and the roots of all tables: SQL reads nothing."""
    data[:PAGE] = bytes(PAGE)
    for at in range(PAGE, len(data), PAGE):
        if data[at] == 5:
            data[at : at + PAGE] = bytes(PAGE)


DAMAGES: list[Callable[[bytearray], None]] = [
    cut_in_half,
    cut_in_a_page,
    zeroed_leaf,
    zeroed_stretch,
    noise,
    zeroed_header,
    zeroed_first_pages,
]
LOST: dict[Callable[[bytearray], None], int] = {
    cut_in_half: MANY * 7 // 10,  # the later half holds more of them: single ones are packed
    cut_in_a_page: 14,
    zeroed_leaf: 14,
    zeroed_stretch: 112,
    noise: 70,
}
"""The most events that a damage can take with it: those of its pages."""


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
    assert len(read) >= MANY - LOST.get(damage, 0)
    assert read == sorted(set(read))
    assert read == [event.seq - 1 for event in found]
    assert journal.damage or journal.damaged
    if damage is not noise:  # noise inside a page can be met by the seals alone
        assert f"{len(read)} of {MANY} saved events could be read" in journal.damage
        assert "kept as" in journal.damage
        assert path.with_name(f"{path.name}.damaged").read_bytes() == bytes(data)
    assert journal.head == MANY  # a lost number is not given again
    await journal.commit(UserMessage(turn="t", text=safe("0 goes on")))
    await journal.close(True)
    again = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(numbers(await everything(again))) == len(read) + 1
    assert (again.damage, again.head) == ("", MANY + 1)
    assert again.damaged == MANY - len(read)
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
    assert saved.unread <= LOST.get(damage, 0)
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


@pytest.mark.parametrize("what", ["empty", "gone"])
async def test_an_empty_or_missing_file_is_no_new_session(path: Path, what: str) -> None:
    await killed(path, 20)
    Path(f"{path}-wal").unlink()
    path.write_bytes(b"") if what == "empty" else path.unlink()
    for _ in range(2):  # the lock's file tells of it still
        with pytest.raises(JournalBroken, match=f"it is {what}"):
            await Journal.open(path, SESSION, VAULT, ignore)
    with pytest.raises(JournalBroken):
        list(SavedSession(path, SESSION, VAULT))
    assert path.exists() == (what == "empty")


@pytest.mark.parametrize("what", ["empty", "gone"])
async def test_a_killed_session_whose_file_is_lost_is_read_from_its_log(path: Path, what: str) -> None:
    await killed(path, 20)
    path.write_bytes(b"") if what == "empty" else path.unlink()
    saved = SavedSession(path, SESSION, VAULT)
    assert (len(list(saved)), saved.unread) == (20, 0)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 20
    assert f"it is {what}" in journal.damage
    await journal.close(True)


async def test_a_session_that_was_all_in_its_lost_log_is_no_empty_session(path: Path) -> None:
    await killed(path, 40)
    Path(f"{path}-wal").unlink()
    before = path.read_bytes()
    saved = SavedSession(path, SESSION, VAULT)
    assert (len(list(saved)), saved.unread) == (0, 40)
    with pytest.raises(JournalBroken, match="nothing of it can be read"):
        await Journal.open(path, SESSION, VAULT, ignore)
    assert path.read_bytes() == before


async def test_events_that_are_gone_are_counted_once_and_their_numbers_not_given_again(path: Path) -> None:
    await begin(path, 40)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE seq > 30")
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert "30 of 40 saved events could be read" in journal.damage
    assert (journal.head, len(await everything(journal)), journal.damaged) == (40, 30, 10)
    await journal.close(True)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert (journal.damage, journal.head) == ("", 40)
    await journal.commit(UserMessage(turn="t", text=safe("40 goes on")))
    assert numbers(await everything(journal))[-2:] == [29, 40]
    await journal.close(True)
    assert kept_copies(path) == []  # there was nothing to repair


def without_key(path: Path) -> bytearray:
    """Return the content of a session's file whose page with the key is lost."""
    data = bytearray(path.read_bytes())
    at = data.index(VAULT.id.encode()) // PAGE * PAGE
    data[at : at + PAGE] = bytes(PAGE)
    path.write_bytes(data)
    return data


async def test_a_session_whose_file_lost_its_key_is_read_with_that_of_the_key_store(path: Path) -> None:
    await begin(path, 50)
    without_key(path)
    assert len(list(SavedSession(path, SESSION, VAULT))) == 50
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert "50 of 50 saved events could be read" in journal.damage
    await journal.close(True)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert (journal.damage, len(await everything(journal))) == ("", 50)
    await journal.close(True)


async def test_a_key_that_is_nowhere_leaves_the_file_as_it_is(path: Path) -> None:
    await begin(path, MANY)
    forget_keys(path)
    data = without_key(path)
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
    assert lost_commits(path) == 0
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 60
    assert journal.damage == ""
    await journal.close(True)


@pytest.mark.parametrize("where", ["page", "checksum", "salt", "header"])
async def test_no_event_is_lost_to_a_flipped_bit_in_the_log_of_a_killed_session(
    path: Path, where: str
) -> None:
    await killed(path, 60)
    log = bytearray(Path(f"{path}-wal").read_bytes())
    frame = 32 + 24 * (24 + PAGE)
    log[{"page": frame + 24 + 200, "checksum": frame + 17, "salt": frame + 9, "header": 17}[where]] ^= 1
    Path(f"{path}-wal").write_bytes(log)
    assert lost_commits(path)
    saved = SavedSession(path, SESSION, VAULT)
    assert (len(list(saved)), saved.unread) == (60, 0)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 60
    assert "write-ahead log is damaged" in journal.damage
    assert "60 of 60 saved events could be read" in journal.damage
    kept = path.with_name(f"{path.name}.damaged")
    assert Path(f"{kept}-wal").read_bytes() == bytes(log)
    await journal.close(True)


async def test_noise_in_the_log_costs_only_what_it_overwrote(path: Path) -> None:
    await killed(path, 200)
    log = bytearray(Path(f"{path}-wal").read_bytes())
    chance = random.Random(7)
    for at in chance.sample(range(0, len(log) - 512, 512), 20):
        log[at : at + 512] = chance.randbytes(512)
    Path(f"{path}-wal").write_bytes(log)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    found = await everything(journal)
    assert len(found) >= 195
    assert journal.head == 200
    assert len(found) + journal.damaged == 200
    await journal.close(True)


async def test_a_log_that_ends_in_the_middle_of_a_frame_loses_only_what_was_not_written(path: Path) -> None:
    await killed(path, 30)
    log = Path(f"{path}-wal").read_bytes()
    Path(f"{path}-wal").write_bytes(log[:-100])
    assert lost_commits(path) == 0
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 29
    assert "29 of 30 saved events could be read" in journal.damage
    await journal.close(True)


async def test_a_rescue_that_is_cut_off_is_done_by_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed(path, 60)
    log = bytearray(Path(f"{path}-wal").read_bytes())
    log[len(log) // 2] ^= 1
    Path(f"{path}-wal").write_bytes(log)

    def power_cut(self: Path, target: Path) -> None:
        raise OSError(5, "the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", power_cut)
        with pytest.raises(OSError, match="power"):
            await Journal.open(path, SESSION, VAULT, ignore)
    assert not Path(f"{path}-wal").exists()
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert len(await everything(journal)) == 60
    await journal.close(True)


async def test_a_rescue_that_fails_takes_nothing_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await killed(path, 20)
    path.unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("omni_tui.memory.sqlite.replace_damaged", full)
        with pytest.raises(OSError, match="No space"):
            await Journal.open(path, SESSION, VAULT, ignore)
    assert event_count_in_lock(path.with_suffix(".lock"), SESSION, VAULT) == 20
    Path(f"{path}-wal").unlink()
    with pytest.raises(JournalBroken, match="it is gone"):
        await Journal.open(path, SESSION, VAULT, ignore)


def test_where_there_is_no_log_nothing_is_lost(tmp_path: Path) -> None:
    assert lost_commits(tmp_path / "y.db") == 0
    (tmp_path / "x.db-wal").write_bytes(b"")
    assert lost_commits(tmp_path / "x.db") == 0
    (tmp_path / "x.db-wal").write_bytes(os.urandom(50_000))
    assert lost_commits(tmp_path / "x.db") == 1


# --- any damage at all ------------------------------------------------------------------------------


class Files(dict[str, bytes]):
    """The content of files by their ending."""

    def __repr__(self) -> str:
        """Return nothing of the content, which is long."""
        return "Files()"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of a killed session whose events stand half in the file and half in the log."""
    path = session_path(tmp_path_factory.mktemp("whole"), SESSION)

    async def make() -> None:
        await begin(path, 40, clean=False)
        journal = await Journal.open(path, SESSION, VAULT, ignore)
        for number in range(40, 80):
            noise = random.Random(number).randbytes(9 * number).hex()  # which cannot be compressed
            await journal.commit(UserMessage(turn="t", text=safe(f"{number} {noise} x")))
        await journal.commit(SessionTitled(title=safe("t")))
        files.update({end: path.with_suffix(end).read_bytes() for end in (".db", ".db-wal", ".lock")})
        await journal.close(True)

    files = Files()
    asyncio.run(make())
    return files


@given(
    end=st.sampled_from([".db", ".db-wal"]),
    kind=st.sampled_from(["flip", "zero", "noise", "cut", "empty", "gone"]),
    where=st.floats(0, 1, exclude_max=True),
    length=st.integers(1, 9000),
)
def test_whatever_happens_to_a_file_what_is_read_is_right_and_the_rest_is_counted(
    whole: Files, end: str, kind: str, where: float, length: int
) -> None:
    data = bytearray(whole[end])
    at = int(len(data) * where)
    if kind == "flip":
        data[at] ^= 1 << length % 8
    elif kind == "cut":
        del data[at:]
    elif kind == "empty":
        data.clear()
    else:
        stretch = len(data[at : at + length])
        data[at : at + length] = (
            random.Random(length).randbytes(stretch) if kind == "noise" else bytes(stretch)
        )

    refusals: list[str] = []

    async def look(path: Path) -> None:
        try:
            journal = await Journal.open(path, SESSION, VAULT, ignore)
        except JournalBroken as error:
            refusals.append(str(error))
            return
        found = await everything(journal)
        read = numbers(found)
        assert all(event.seq == number + 1 for event, number in zip(found, read, strict=False))
        assert all(event.text.endswith("x") for event in found if isinstance(event, UserMessage))
        assert journal.head == 81
        assert len(found) + journal.damaged == 81
        most = 81 if kind in ("cut", "empty", "gone") else 20 + length // 100
        assert journal.damaged <= most
        assert journal.damage or journal.damaged or len(found) == 81
        await journal.close(True)

    with tempfile.TemporaryDirectory() as folder:
        path = session_path(Path(folder), SESSION)
        path.parent.mkdir(mode=0o700)
        for each, content in whole.items():
            if each != end:
                path.with_suffix(each).write_bytes(content)
            elif kind != "gone":
                path.with_suffix(each).write_bytes(data)
        asyncio.run(look(path))
    # Without its key nothing can be read.
    assert all(end == ".db" and "its key cannot be read" in why for why in refusals)


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


async def test_a_damaged_session_is_left_to_the_person_who_opens_it(tmp_path: Path, path: Path) -> None:
    await begin(path, MANY)
    data = bytearray(path.read_bytes())
    zeroed_leaf(data)
    path.write_bytes(data)
    with pytest.raises(JournalBroken, match="open it to repair it"):
        await rename_closed(tmp_path, SESSION, VAULT, "another title")
    assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert "was damaged" in journal.damage
    await journal.close(True)


async def test_only_a_person_uses_a_session(tmp_path: Path, path: Path) -> None:
    await begin(path, 1)
    used = list_sessions(tmp_path, VAULT).used
    await rename_closed(tmp_path, SESSION, VAULT, "another title")
    journal = await Journal.open(path, SESSION, VAULT, ignore, background=True)
    await journal.close(True)
    assert list_sessions(tmp_path, VAULT).used == used
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    await journal.close(True)
    assert list_sessions(tmp_path, VAULT).used[SESSION] > used[SESSION]


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


# --- calls ------------------------------------------------------------------------------------------


async def left_calls(path: Path, told: dict[str, tuple[CallState, CallState]]) -> None:
    """Leave a session with calls: the state of each row, and what the last event says of it."""
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    for call, (row, event) in told.items():
        place = f"calls/{call}/args/hash"
        await journal.commit(
            CallChanged(call=call, state=event),
            change=lambda tx, call=call, row=row, place=place: tx.execute(  # type: ignore[misc]
                f"INSERT INTO calls VALUES ({', '.join('?' * 17)})",
                (call, "t", 1, "root", "agent", "s", "tool", "fp", "def", tx.seal(b"{}", place), "hash",
                 row, 1, "", "", "p", 1.0),
            ).close(),
        )  # fmt: skip
    await journal.close(False)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_salvaged_call_has_the_state_its_last_event_tells_and_in_doubt_was_being_sent(
    path: Path, lost: bool
) -> None:
    told: dict[str, tuple[CallState, CallState]] = {
        "waits": ("pending", "pending"),
        "sent": ("approved", "dispatching"),
        "done": ("dispatching", "uncertain"),
        "over": ("rejected", "rejected"),
    }
    await left_calls(path, told)
    if lost:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DELETE FROM events WHERE seq = 4")
    found = read_damaged(path, SESSION, VAULT)
    assert found is not None
    states = {call: values[11] for call, (_, values) in found.calls.items()}
    assert states == {
        "waits": "dispatching" if lost else "pending",
        "sent": "dispatching",
        "done": "uncertain",
        "over": "rejected",
    }


async def test_calls_results_and_tasks_are_read_too_however_long(path: Path) -> None:
    result = random.Random(3).randbytes(200_000)
    task = SavedTask(id="task-1", began=5.0)
    row = replace(ROW, args=b"[" + b"1," * 30_000 + b"1]", state="approved", nonce="n")

    def put(tx: Transaction) -> None:
        call_table.insert(tx, row)
        call_table.consume(tx, row.call, 1, "n", row.server_fp, row.def_hash, row.args_hash)
        task_table.put(tx, row.call, 1, task)
        call_table.put_result(tx, row.call, 1, result)

    journal = await Journal.open(path, SESSION, VAULT, ignore)
    await journal.commit(CallChanged(call=row.call, state="dispatching"), change=put)
    await journal.close(False)
    data = bytearray(path.read_bytes())
    zeroed_header(data)
    path.write_bytes(data)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert await journal.run(lambda tx: call_table.get_result(tx, row.call, 1)) == result
    assert await journal.run(lambda tx: task_table.load(tx, row.call, 1)) == task
    assert await journal.run(lambda tx: call_table.load(tx, row.call)) == replace(
        row, state="dispatching", nonce=""
    )
    await journal.close(True)
