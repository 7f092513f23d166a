"""The power goes at each step that changes the state folder: nothing saved is lost, all can be redone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from omni_tui.memory import (
    Journal,
    SavedSession,
    Vault,
    back_up,
    delete_session,
    list_sessions,
    restore,
    session_path,
)
from omni_tui.memory.crypto import FoundKey
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.events import UserMessage
from omni_tui.security.text import safe
from tests.lengths import times

VAULT = Vault(FoundKey("key file", bytes(32)))
SESSION = "0192f3a4-5b6c-7d8e-9f00-112233445566"
STEPS = ("open", "replace", "rename", "unlink", "link", "mkdir", "fsync", "pwrite", "ftruncate")
_DONE, _CUT = 0, 9


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


def place(state: Path) -> Path:
    return session_path(state, SESSION)


async def say(state: Path, *words: str, draft: bool = False) -> None:
    journal = await Journal.open(place(state), SESSION, VAULT, ignore, draft=draft)
    for each in words:
        await journal.commit(UserMessage(turn="t", text=safe(each)))
    await journal.close(True)


def said(state: Path) -> list[str]:
    saved = SavedSession(place(state), SESSION, VAULT)
    found = [str(event.text) for event in saved if isinstance(event, UserMessage)]
    assert saved.unread == 0
    return found


# --- what is done, and how it begins ----------------------------------------------------------------


async def damaged(state: Path) -> None:
    """Leave a killed session with a flipped bit in its log."""
    path = place(state)
    journal = await Journal.open(path, SESSION, VAULT, ignore)
    for number in range(30):
        await journal.commit(UserMessage(turn="t", text=safe(f"{number} " + "x" * 300)))
    kept = {end: path.with_suffix(end).read_bytes() for end in (".db", ".db-wal", ".lock")}
    await journal.close(True)
    for end, content in kept.items():
        path.with_suffix(end).write_bytes(content)
        path.with_suffix(end).chmod(0o600)
    log = bytearray(kept[".db-wal"])
    log[len(log) // 2] ^= 1
    path.with_suffix(".db-wal").write_bytes(log)


async def older(state: Path) -> None:
    """Leave a session of an older version."""
    await say(state, "one")
    with closing(sqlite3.connect(place(state), isolation_level=None)) as connection:
        connection.executescript("DROP TABLE audit; UPDATE meta SET value = 2 WHERE name = 'schema'")


async def backed_up(state: Path) -> None:
    """Leave a session with a backup."""
    await say(state, "one")
    back_up(state, SESSION, VAULT)


async def nothing(state: Path) -> None:
    """Leave nothing."""


async def open_it(state: Path) -> None:
    await say(state)


async def begin_it(state: Path) -> None:
    await say(state, "one", draft=True)


async def back_it_up(state: Path) -> None:
    back_up(state, SESSION, VAULT)


async def restore_it(state: Path) -> None:
    restore(state, SESSION, VAULT)


async def delete_it(state: Path) -> None:
    if not delete_session(state, SESSION):
        assert list_sessions(state, VAULT).unreadable == {}


Step = Callable[[Path], Awaitable[None]]
CASES: dict[str, tuple[Step, Step, list[str], bool]] = {
    "rescue": (damaged, open_it, [f"{number} " + "x" * 300 for number in range(30)], True),
    "migrate": (older, open_it, ["one"], True),
    "begin": (nothing, begin_it, ["one"], False),
    "back up": (backed_up, back_it_up, ["one"], True),
    "restore": (backed_up, restore_it, ["one"], True),
    "delete": (backed_up, delete_it, [], False),
}
"""How it begins, what is done, what is there afterwards, and whether that is there all the time."""


def _until_cut(state: Path, step: Step, number: int) -> None:
    """Do it, and die just before the change of that number."""
    left = [number]

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            left[0] -= 1
            if not left[0]:
                os._exit(_CUT)
            return function(*args, **more)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    asyncio.run(step(state))  # type: ignore[arg-type]
    os._exit(_DONE)


@pytest.mark.parametrize("name", CASES)
def test_the_power_may_go_at_any_step(tmp_path: Path, name: str) -> None:
    before, step, expected, always = CASES[name]
    begun = tmp_path / "begun"
    begun.mkdir(mode=0o700)
    asyncio.run(before(begun))  # type: ignore[arg-type]
    number, ended = 1, _CUT
    while ended == _CUT:
        state = tmp_path / str(number)
        shutil.copytree(begun, state)
        process = multiprocessing.get_context("fork").Process(target=_until_cut, args=(state, step, number))
        process.start()
        process.join(60)
        assert process.exitcode in (_CUT, _DONE)
        ended = process.exitcode
        if always:
            assert said(state) == expected, number
        asyncio.run(step(state))  # type: ignore[arg-type]
        if expected:
            assert said(state)[-len(expected) :] == expected, number
        else:
            assert list_sessions(state, VAULT).sessions == []
        shutil.rmtree(state)
        number += times(7, 1)
    assert number > 5
