"""`[memory] keep_days`: nothing is deleted unannounced, and nothing that is used or cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from omni_tui.memory import Journal, Retention, Vault, delete_unused, new_session_id, session_path
from omni_tui.memory.retention import GRACE
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import UserMessage
from omni_tui.security.text import safe

DAY = 86_400.0


class Clock:
    """The time of the journal and of retention."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        for module in ("writer", "retention"):
            patch.setattr(f"omni_tui.memory.{module}.time.time", lambda: self.now)
        patch.setattr("omni_tui.memory.use_order.time.time_ns", lambda: int(self.now * 1e9))

    def after(self, days: float) -> None:
        self.now += days * DAY


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


async def use(state: Path, vault: Vault, session: str = "") -> str:
    session = session or new_session_id()
    journal = await Journal.open(session_path(state, session), session, vault, ignore)
    await journal.commit(UserMessage(turn="t", text=safe("x")))
    await journal.close(True)
    return session


def there(state: Path, *sessions: str) -> list[bool]:
    return [session_path(state, session).exists() for session in sessions]


async def test_an_unused_session_is_announced_and_deleted_after_the_grace(
    tmp_path: Path, clock: Clock
) -> None:
    vault = Vault.open(tmp_path, {})
    old, used = await use(tmp_path, vault), await use(tmp_path, vault)
    clock.after(29)
    assert delete_unused(tmp_path, vault, 30) == Retention(0, 0, GRACE * DAY)
    clock.after(2)
    due = clock.now + GRACE * DAY
    assert delete_unused(tmp_path, vault, 30) == Retention(0, 2, due)
    clock.after(GRACE - 0.5)
    await use(tmp_path, vault, used)
    assert delete_unused(tmp_path, vault, 30) == Retention(0, 1, due)
    assert there(tmp_path, old, used) == [True, True]
    clock.after(1)
    noted: list[list[bool]] = []  # before its file goes
    done = delete_unused(tmp_path, vault, 30, note=lambda each: noted.append(there(tmp_path, each)))
    assert (done.deleted, noted) == (1, [[True]])
    assert there(tmp_path, old, used) == [False, True]


async def test_opening_a_session_keeps_it_though_nothing_is_said_in_it(
    tmp_path: Path, clock: Clock
) -> None:
    vault = Vault.open(tmp_path, {})
    session = await use(tmp_path, vault)
    clock.after(31)
    assert delete_unused(tmp_path, vault, 30).announced == 1
    clock.after(GRACE - 1)
    journal = await Journal.open(session_path(tmp_path, session), session, vault, ignore)
    await journal.close(True)
    clock.after(2)
    assert delete_unused(tmp_path, vault, 30) == Retention(0, 0, GRACE * DAY)
    assert there(tmp_path, session) == [True]


async def test_without_the_setting_nothing_is_deleted_or_written(tmp_path: Path, clock: Clock) -> None:
    vault = Vault.open(tmp_path, {})
    session = await use(tmp_path, vault)
    clock.after(20_000)
    assert delete_unused(tmp_path, vault, 0) == Retention()
    assert there(tmp_path, session) == [True]
    assert not (tmp_path / "retention.json").exists()


async def test_what_is_open_or_cannot_be_read_is_kept(tmp_path: Path, clock: Clock) -> None:
    vault = Vault.open(tmp_path, {})
    opened, broken = await use(tmp_path, vault), await use(tmp_path, vault)
    session_path(tmp_path, broken).write_bytes(b"no database")
    clock.after(100)
    delete_unused(tmp_path, vault, 30)
    journal = await Journal.open(session_path(tmp_path, opened), opened, vault, ignore)
    clock.after(100)
    assert delete_unused(tmp_path, vault, 30).deleted == 0
    assert there(tmp_path, opened, broken) == [True, True]
    await journal.close(True)


async def test_a_clock_that_jumps_deletes_nothing_without_its_grace(tmp_path: Path, clock: Clock) -> None:
    vault = Vault.open(tmp_path, {})
    session = await use(tmp_path, vault)
    clock.after(10_000)
    assert delete_unused(tmp_path, vault, 30).announced == 1
    clock.after(-10_000)
    assert delete_unused(tmp_path, vault, 30).announced == 0
    clock.after(100)
    assert delete_unused(tmp_path, vault, 30).deleted == 0
    assert there(tmp_path, session) == [True]
