"""A checkpoint counts for exactly the events it was made of; else the whole journal is read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from omni_tui.memory import (
    Checkpoint,
    Journal,
    JournalBroken,
    Vault,
    back_up,
    delete_session,
    restore,
    session_path,
    sqlite,
)
from omni_tui.memory import checkpoint as module
from omni_tui.memory.crypto import FoundKey
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import UserMessage
from omni_tui.security.text import safe

VAULT = Vault(FoundKey("key file", bytes(32)))
SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"
OTHER = "0192f3a4-5b6c-7d8e-9f00-665544332211"
MADE = Checkpoint(5, b"what five events come to" * 50)


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


async def saved(state: Path, session: str = SESSION, events: int = 8, *, clean: bool = True) -> Path:
    """Leave a session with a checkpoint after its fifth event."""
    path = session_path(state, session)
    journal = await Journal.open(path, session, VAULT, ignore)
    messages = [UserMessage(turn="t", text=safe(f"{number} " + "x" * 300)) for number in range(events)]
    await asyncio.gather(*map(journal.commit, messages))
    assert await journal.save_checkpoint(MADE)
    await journal.close(clean)
    return path


async def found(path: Path, session: str = SESSION) -> tuple[Checkpoint | None, int]:
    """Return the checkpoint of a session, and how many of its events can be read."""
    journal = await Journal.open(path, session, VAULT, ignore)
    try:
        return await journal.checkpoint(), len(await journal.read(0, 10_000))
    finally:
        await journal.close(clean=True)


def change(path: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(sql, values).rowcount


async def test_it_is_there_when_the_session_is_opened_again(tmp_path: Path) -> None:
    assert await found(await saved(tmp_path)) == (MADE, 8)


async def test_the_newer_one_takes_the_place_of_the_older(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert await journal.save_checkpoint(Checkpoint(8, b"all"))
    await journal.close(clean=True)
    assert await found(path) == (Checkpoint(8, b"all"), 8)


async def test_it_is_sealed(tmp_path: Path) -> None:
    assert b"what five events" not in (await saved(tmp_path)).read_bytes()


def _flipped(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (sealed,) = connection.execute("SELECT value FROM meta WHERE name = 'checkpoint'").fetchone()
        wrong = bytearray(sealed)
        wrong[len(wrong) // 2] ^= 1
        connection.execute("UPDATE meta SET value = ? WHERE name = 'checkpoint'", (bytes(wrong),))


def _cut(path: Path) -> None:
    change(path, "UPDATE meta SET value = substr(value, 1, 20) WHERE name = 'checkpoint'")


def _no_bytes(path: Path) -> None:
    change(path, "UPDATE meta SET value = 7 WHERE name = 'checkpoint'")


def _of_another_event(path: Path) -> None:
    change(path, "UPDATE events SET body = (SELECT body FROM events WHERE seq = 6) WHERE seq = 5")


def _without_body(path: Path) -> None:
    change(path, "UPDATE events SET body = x'' WHERE seq = 5")


@pytest.mark.parametrize("damage", [_flipped, _cut, _no_bytes, _of_another_event, _without_body])
async def test_a_wrong_one_is_left_alone_and_no_event_with_it(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = await saved(tmp_path)
    damage(path)
    unreadable = damage in (_of_another_event, _without_body)
    assert await found(path) == (None, 8 - unreadable)


async def test_that_of_another_session_does_not_count(tmp_path: Path) -> None:
    path, other = await saved(tmp_path), await saved(tmp_path, OTHER)
    with closing(sqlite3.connect(other)) as connection:
        (sealed,) = connection.execute("SELECT value FROM meta WHERE name = 'checkpoint'").fetchone()
    change(path, "UPDATE meta SET value = ? WHERE name = 'checkpoint'", sealed)
    assert await found(path) == (None, 8)


async def test_that_of_another_version_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await saved(tmp_path)
    monkeypatch.setattr(module, "__version__", "999.0")
    assert await found(path) == (None, 8)


async def test_one_that_unpacks_to_more_than_it_may_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await saved(tmp_path)
    monkeypatch.setattr(module, "_MOST_BYTES", len(MADE.body) - 1)
    assert await found(path) == (None, 8)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert not await journal.save_checkpoint(MADE)
    await journal.close(clean=True)


async def test_none_counts_where_events_are_lost(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    change(path, "DELETE FROM events WHERE seq = 2")
    assert await found(path) == (None, 7)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    await journal.read(0, 100)
    assert not await journal.save_checkpoint(Checkpoint(8, b"without the second one"))
    await journal.close(clean=True)


async def test_none_is_made_for_an_event_that_is_not_there(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert not await journal.save_checkpoint(Checkpoint(9, b"of the future"))
    assert await journal.checkpoint() == MADE
    await journal.close(clean=True)


async def test_a_backup_has_it_and_a_restored_one_counts_only_without_loss(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    back_up(tmp_path, SESSION, VAULT)
    restore(tmp_path, SESSION, VAULT)
    assert await found(path) == (MADE, 8)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    await journal.commit(UserMessage(turn="t", text=safe("after the backup")))
    await journal.close(clean=True)
    restore(tmp_path, SESSION, VAULT)
    assert await found(path) == (None, 8)


async def test_it_is_erased_with_its_session(tmp_path: Path) -> None:
    path = await saved(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        (sealed,) = connection.execute("SELECT value FROM meta WHERE name = 'checkpoint'").fetchone()
    assert delete_session(tmp_path, SESSION)
    assert not [each for each in tmp_path.rglob("*") if each.is_file() and sealed in each.read_bytes()]


# --- a large file, of which only the end is checked ---------------------------------------------------


def _zero_a_page_of_events(path: Path) -> None:
    data = bytearray(path.read_bytes())
    pages = [
        at
        for at in range(4096, len(data), 4096)
        if data[at] == 13 and data.count(b"user_message", at, at + 4096) > 3
    ]
    data[pages[1] : pages[1] + 4096] = bytes(4096)
    path.write_bytes(bytes(data))


async def test_what_a_checkpoint_vouches_for_is_not_checked_at_the_start_and_lost_pages_are_found_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_LARGE", 0)
    path = await saved(tmp_path, events=200)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert await journal.save_checkpoint(Checkpoint(200, b"all"))
    await journal.close(clean=True)
    _zero_a_page_of_events(path)

    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert not journal.damage
    assert await journal.checkpoint() == Checkpoint(200, b"all")
    with pytest.raises(JournalBroken, match="damaged"):
        await journal.read(0, 1_000)
    await journal.close(clean=True)

    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert "saved events could be read" in journal.damage
    assert await journal.checkpoint() is None
    assert len(await journal.read(0, 1_000)) + journal.damaged == 200
    assert 0 < journal.damaged < 30
    await journal.close(clean=True)


async def test_after_a_crash_a_large_file_is_checked_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_LARGE", 0)
    path = await saved(tmp_path, events=200)
    change(path, "UPDATE meta SET value = 'open' WHERE name = 'closed'")
    _zero_a_page_of_events(path)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert "saved events could be read" in journal.damage
    await journal.close(clean=True)


async def test_events_that_are_gone_after_the_checkpoint_of_a_large_file_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_LARGE", 0)
    path = await saved(tmp_path)
    change(path, "DELETE FROM events WHERE seq = 7")
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    assert journal.damage
    await journal.close(clean=True)
