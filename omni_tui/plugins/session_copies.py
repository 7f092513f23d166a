"""Copies of sessions in the memory of plugins: sealed backups, which only this state folder's keys open.

A session is copied when it is closed, and at the next start if that came too late. The journal here stays
what counts; nothing waits for a plugin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from omni_tui.memory import JournalBroken, JournalBusy, Vault, session_path
from omni_tui.memory.backups import Backup, BackupFailed, backups_of
from omni_tui.memory.private_files import private_dir, read_private, write_new
from omni_tui.memory.restore import back_up
from omni_tui.memory.session_files import saved_ids
from omni_tui.memory.state_file import LARGEST_LIST, StateFile
from omni_tui.plugins.own_thread import in_own_thread

if TYPE_CHECKING:
    from omni_tui.plugins.api import PluginMemory, SessionStore

logger = logging.getLogger(__name__)

MEMORY_FOLDER = "plugin-memory"
COPIES_FILE = "plugin-copies.json"
_OPEN_S = 10.0
_PUT_S = 60.0
_MOST_AT_START = 500


class _Copied(msgspec.Struct):
    """By memory and session: when the session's file was last changed as it was copied, in nanoseconds."""

    copies: dict[str, dict[str, int]] = {}


async def open_store(state_dir: Path, memory: PluginMemory) -> SessionStore:
    """Open the store of a memory. Raises what the plugin raises, `TimeoutError`, `OSError`."""
    folder = await asyncio.to_thread(private_dir, state_dir / MEMORY_FOLDER / memory.name)
    return await in_own_thread(partial(memory.open, str(folder)), _OPEN_S, f"memory {memory.name}")


async def fetch_copy(state_dir: Path, memory: PluginMemory, session: str) -> Backup:
    """Fetch a copy of a session and keep it as its newest backup; restoring that checks it.

    Raises `LookupError` if there is none, `ValueError` for an invalid id or content, `TimeoutError`,
    `OSError`, and what the plugin raises.
    """
    session_path(state_dir, session)
    store = await open_store(state_dir, memory)
    data = await in_own_thread(partial(store.get, session), _PUT_S, f"memory {memory.name}")
    if not isinstance(data, bytes) or not data:
        raise ValueError(f"the memory {memory.name} returned no bytes")
    former = await asyncio.to_thread(backups_of, state_dir, session)
    number = former[0].number + 1 if former else 1
    path = await asyncio.to_thread(private_dir, state_dir / "backups") / f"{session}.{number}.db"
    await asyncio.to_thread(write_new, path, data)
    status = path.stat()
    return Backup(session, number, path, status.st_mtime, status.st_size)


class SessionCopies:
    """The stores of all memories of an engine, and what was copied to each.

    `on_fault` gets a memory's name and why something could not be copied.
    """

    def __init__(self, state_dir: Path, vault: Vault, on_fault: Callable[[str, str], None]) -> None:
        self._state_dir = state_dir
        self._vault = vault
        self._on_fault = on_fault
        self._file = StateFile(state_dir / COPIES_FILE, _Copied, LARGEST_LIST)
        self._stores: dict[str, SessionStore] = {}
        self._turn = asyncio.Lock()

    async def add(self, memory: PluginMemory) -> None:
        """Open a memory. Raises `ValueError` if its name is taken, and what the plugin raises."""
        if memory.name in self._stores:
            raise ValueError(f"another plugin has a memory named {memory.name}")
        self._stores[memory.name] = await open_store(self._state_dir, memory)

    def remove(self, name: str) -> None:
        """Copy nothing more to a memory; what it has stays."""
        self._stores.pop(name, None)

    async def catch_up(self) -> None:
        """Copy the sessions that have changed since they were copied, the newest first."""
        if self._stores:
            for session in (await asyncio.to_thread(saved_ids, self._state_dir))[:_MOST_AT_START]:
                await self.copy(session)

    async def copy(self, session: str) -> None:
        """Copy one closed session to every memory that lacks it. Never raises for what fails."""
        async with self._turn:
            lacking = [name for name in self._stores if await asyncio.to_thread(self._lacks, name, session)]
            if not lacking:
                return
            try:
                changed = await asyncio.to_thread(self._changed, session)
                data = await asyncio.to_thread(self._image, session)
            except JournalBusy:
                return  # somebody has it open: it is copied when they close it
            except (BackupFailed, JournalBroken, LookupError, ValueError, OSError) as error:
                logger.info("session %s is not copied: %s", session, error)
                return
            for name in lacking:
                await self._put(name, session, data, changed)

    async def _put(self, name: str, session: str, data: bytes, changed: int) -> None:
        store = self._stores.get(name)
        if store is None:
            return
        try:
            await in_own_thread(partial(store.put, session, data), _PUT_S, f"memory {name}")
            await asyncio.to_thread(self._note, name, session, changed)
        except Exception as error:
            logger.warning("the memory %s of a plugin failed", name, exc_info=True)
            self._on_fault(name, f"a session was not copied: {type(error).__name__}: {error}")

    # --- in threads -----------------------------------------------------------------------------

    def _image(self, session: str) -> bytes:
        """Return a sealed copy. It takes the place of no backup that the person made."""
        backup = back_up(self._state_dir, session, self._vault, one_more=True)
        try:
            return read_private(backup.path)
        finally:
            backup.path.unlink(missing_ok=True)

    def _changed(self, session: str) -> int:
        return session_path(self._state_dir, session).stat().st_mtime_ns

    def _lacks(self, name: str, session: str) -> bool:
        with self._file.lock:
            known = self._file.read().copies.get(name, {})
        try:
            return known.get(session) != self._changed(session)
        except (OSError, ValueError):
            return False

    def _note(self, name: str, session: str, changed: int) -> None:
        with self._file.lock:
            copied = self._file.read()
            copied.copies.setdefault(name, {})[session] = changed
            self._file.write(copied)
