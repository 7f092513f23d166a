"""The search index on disk: one file, readable only with the master key.

Each writing seals it under a new key, which stands wrapped at the front of the file; the former one is
overwritten. So what was removed from the index can be read from no older copy of the file's blocks.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, open_private, private_dir, read_private, write_atomic
from omni_tui.memory.search_index import IndexDamaged, SearchIndex
from omni_tui.memory.search_text import FoundText, texts_after
from omni_tui.memory.session_view import session_view
from omni_tui.memory.sqlite import JournalBroken

logger = logging.getLogger(__name__)

_CONTEXT = "search index"
_HEAD = 2
"""Bytes at the front that say how long the wrapped key is."""


class SearchFile:
    """The index's file in a state folder, and the lock of the one process that writes it."""

    def __init__(self, state_dir: Path, vault: Vault) -> None:
        self._path = search_path(state_dir)
        self._vault = vault
        self._lock = FileLock(self._path.with_suffix(".lock"))
        self._held = False

    def hold(self) -> bool:
        """Take the lock if nobody has it; return whether it is held here. Raises `OSError`."""
        if not self._held:
            private_dir(self._path.parent)
            self._held = self._lock.acquire(0)
        return self._held

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release(remove=True)
        self._held = False

    def read(self) -> SearchIndex:
        """Return the saved index, an empty one if there is none or it is damaged or of another version."""
        try:
            data = read_private(self._path)
            size = int.from_bytes(data[:_HEAD])
            sealer = self._vault.unwrap(data[_HEAD : _HEAD + size], f"key of {_CONTEXT}")
            return SearchIndex(sealer.unseal(data[_HEAD + size :], _CONTEXT))
        except FileNotFoundError:
            pass
        except (OSError, SealBroken, IndexDamaged) as error:
            logger.info("the search index is made anew: %s", error)
        return SearchIndex()

    def write(self, index: SearchIndex) -> bool:
        """Save the index under a new key; return False if another process has the lock.

        Raises `OSError`; the index is still not saved then.
        """
        if not self.hold():
            return False
        wrapped = self._vault.new_key(f"key of {_CONTEXT}")
        sealed = self._vault.unwrap(wrapped, f"key of {_CONTEXT}").seal(index.dump(), _CONTEXT)
        index.dirty = True
        for each in (self._path, *_cut_off(self._path)):
            _overwrite_key(each)
        for each in _cut_off(self._path):
            each.unlink(missing_ok=True)
        write_atomic(self._path, len(wrapped).to_bytes(_HEAD) + wrapped + sealed)
        index.dirty = False
        return True


def search_path(state_dir: Path) -> Path:
    """Return where the index of a state folder is."""
    return state_dir / "search.index"


def erase_from_index(state_dir: Path, session: str, path: Path, vault: Vault | None) -> None:
    """Leave no word of a session in the index on disk; its file must still be there.

    Without its key, or while another process has the index, the whole file goes: it is made anew by
    whoever needs it. Raises `OSError`.
    """
    if not search_path(state_dir).exists():
        return
    if vault is not None:
        file = SearchFile(state_dir, vault)
        if file.hold():
            try:
                index = file.read()
                if session not in index.heads():
                    return
                index.remove(session, saved_texts(path, session, vault))
                file.write(index)
                return
            except (IndexDamaged, JournalBroken, OSError) as error:  # a full disk has room for less
                logger.info("the search index is destroyed with session %s: %s", session, error)
            finally:
                file.release()
    destroy_index(state_dir)


def erase_what_came_back(state_dir: Path, session: str, vault: Vault | None) -> None:
    """Destroy the index if a session whose files are gone now is in it.

    Another process may have saved it after the session was erased from it, and before its files went.
    Raises `OSError`.
    """
    if not search_path(state_dir).exists():
        return
    if vault is None or session in SearchFile(state_dir, vault).read().heads():
        destroy_index(state_dir)


def destroy_index(state_dir: Path) -> None:
    """Remove the index from the disk, its key first. Raises `OSError`."""
    path = search_path(state_dir)
    for each in (path, *_cut_off(path)):
        _overwrite_key(each)
        each.unlink(missing_ok=True)


def _cut_off(path: Path) -> list[Path]:
    """Return what a process left that was killed while it wrote the index."""
    return sorted(path.parent.glob(f".{path.name}.*"))


def saved_texts(path: Path, session: str, vault: Vault) -> list[FoundText]:
    """Return all texts of a saved session. Raises `JournalBroken`, `OSError`."""
    with session_view(path, session, vault) as tx:
        return texts_after(tx, 0).texts


def _overwrite_key(path: Path) -> None:
    try:
        fd = open_private(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        size = int.from_bytes(os.pread(fd, _HEAD, 0))
        os.pwrite(fd, bytes(min(size, os.fstat(fd).st_size)), _HEAD)
        os.fsync(fd)
    finally:
        os.close(fd)
