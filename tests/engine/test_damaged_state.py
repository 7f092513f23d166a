"""Every file of the state folder, damaged in every way: the app starts or says which file, and why it does
not; no other session suffers; and what can be read is listed.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from omni_tui.config.load import load_config
from omni_tui.engine.clients import EventBuffer
from omni_tui.engine.core import StartFailed, open_engine
from omni_tui.memory import (
    Journal,
    SavedSession,
    Vault,
    VaultRefused,
    all_backups,
    back_up,
    list_sessions,
    new_session_id,
    session_path,
)
from omni_tui.memory.retention import _Announced
from omni_tui.memory.state_file import StateFile
from omni_tui.models.base import ToolCall
from omni_tui.protocol import AnyEvent, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.security.text import safe
from tests.engine.rig import rig
from tests.lengths import some
from tests.scripted_model import ScriptedModel, reply

FILES = (
    "accepted/*", "audit.jsonl", "last-use", "models/usage.json", "retention.json", "session-keys",
    "session-keys.copy", "sessions/KILLED.db", "sessions/KILLED.db-wal", "sessions/KILLED.lock",
    "sessions/CLOSED.db", "trust.json", "vault.json", "vault.key", "ways.json", "audit.lock",
    "server-logs/*.log",
)  # fmt: skip
WAYS = ("cut", "flip", "zero", "empty", "folder", "pipe", "unreadable", "gone")


def ignore(events: Sequence[AnyEvent]) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class Left:
    """A state folder, and the ids of its sessions by name."""

    folder: Path
    sessions: dict[str, str]

    def __repr__(self) -> str:
        return "Left()"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Make a state folder with a closed session, one that waits, one that was killed, and all the rest."""
    folder = tmp_path_factory.mktemp("state")

    async def make() -> Left:
        write = ToolCall("p1", "demo__write_note", '{"name":"a","text":"1"}')
        async with rig(folder, model=ScriptedModel([reply("", write)])) as running:
            await running.connected()
            await running.ask(c.SendMessage(text="write a note"))
            await running.until(e.ApprovalRequested)
            waits = running.session.journal.session
        state = folder / "state"
        vault = Vault.open(state, {})
        ids = {"WAITS": waits}
        for name in ("CLOSED", "KILLED"):
            ids[name] = session = new_session_id()
            path = session_path(state, session)
            journal = await Journal.open(path, session, vault, ignore)
            for number in range(30):
                await journal.commit(e.UserMessage(turn="t", text=safe(f"{number} " + "x" * 300)))
            await journal.commit(e.SessionTitled(title=safe(name)))
            kept = {end: path.with_suffix(end).read_bytes() for end in (".db", ".db-wal", ".lock")}
            await journal.close(True)
            for end, content in kept.items() if name == "KILLED" else ():
                path.with_suffix(end).write_bytes(content)
                path.with_suffix(end).chmod(0o600)
        back_up(state, ids["CLOSED"], vault)
        StateFile(state / "retention.json", _Announced).write(_Announced(sessions={ids["CLOSED"]: 1.0}))
        return Left(folder, ids)

    return asyncio.run(make())


def damage(path: Path, way: str) -> None:
    data = bytearray(path.read_bytes())
    chance = random.Random(f"{path.name}{way}")
    if way == "flip":
        for _ in range(1 + len(data) // 2000):
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif way == "cut":
        del data[len(data) // 2 :]
    elif way == "zero":
        at = len(data) // 3
        data[at : at + 5000] = bytes(len(data[at : at + 5000]))
    elif way == "empty":
        data.clear()
    path.write_bytes(data)
    if way == "unreadable":
        path.chmod(0)
    elif way in ("folder", "pipe", "gone"):
        path.unlink()
        makers: dict[str, Callable[[], None]] = {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}
        makers.get(way, lambda: None)()


async def started(folder: Path, state: Path) -> str:
    """Start the app and end it; return why it does not start, "" if it does."""
    config = folder / "config.toml"
    config.write_text("[memory]\nkeep_days = 36500\n")
    options = LaunchOptions(config=str(config), state_dir=str(state))
    try:
        async with asyncio.timeout(30):
            engine = await open_engine(options, load_config(options, {}), {})
            await engine.attach(EventBuffer())
    except StartFailed as error:
        return str(error)
    await engine.stop()
    return ""


@pytest.mark.parametrize(("name", "way"), some(product(FILES, WAYS), 40))
async def test_a_damaged_file_of_the_state_folder_costs_at_most_itself(
    tmp_path: Path, left: Left, name: str, way: str
) -> None:
    state = tmp_path / "state"
    shutil.copytree(left.folder / "state", state)
    for each in ("CLOSED", "KILLED"):
        name = name.replace(each, left.sessions[each])
    files = list(state.glob(name))
    assert files, name
    for path in files:
        damage(path, way)
    refused, locked = await started(tmp_path, state), ""
    assert not refused or name.startswith(("vault", "trust", "audit"))
    try:
        vault = Vault.for_reading(state, {})
    except (VaultRefused, OSError) as error:
        locked = str(error)
    for words in filter(None, (refused, locked)):
        assert "vault.key" in words or str(state) in words
    if locked:
        assert name.startswith("vault")
        return
    listed = list_sessions(state, vault)
    known = {info.id for info in listed.sessions}
    assert len(all_backups(state)) == 1
    for ident in left.sessions.values():
        assert ident in known or ident in listed.unreadable or "KILLED" in name or way == "gone"
        if ident not in name and not name.startswith("vault"):
            saved = SavedSession(session_path(state, ident), ident, vault)
            assert len(list(saved)) >= 7
            assert saved.unread == 0
            assert ident in known
