"""The wrapped keys of all sessions, beside their files: a session whose file lost its key is still read.

There are two copies, each replaced atomically. Backups of sessions hold no key: without its entry here a
backup is noise, so dropping the entry erases them all. Therefore no older state of this store is kept, and
what held a dropped key is overwritten.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from omni_tui.memory.crypto import SealBroken, Sealer, Vault
from omni_tui.memory.private_files import (
    FileLock,
    open_private,
    private_dir,
    read_private,
    write_atomic,
    write_new,
)

_NAMES = ("session-keys", "session-keys.copy")
_ENTRY = re.compile(rb'"([0-9a-f-]{36})":"([0-9a-f]{138})"')


class _Keys(msgspec.Struct, kw_only=True):
    """All keys, as hex, by session. `number` counts the changes."""

    version: int = 1
    number: int = 0
    keys: dict[str, str] = {}


class SessionKeys:
    """The key store of one state folder. Safe with several processes."""

    def __init__(self, state_dir: Path) -> None:
        self._paths = [state_dir / name for name in _NAMES]

    def find(self, session: str) -> list[bytes]:
        """Return the wrapped key of a session; nothing if there is none. Writes nothing."""
        found = self._read().keys.get(session)
        return [bytes.fromhex(found)] if found else []

    def sessions(self) -> frozenset[str]:
        """Return the ids of all sessions with a key here."""
        return frozenset(self._read().keys)

    def put(self, session: str, wrapped: bytes) -> None:
        """Keep the wrapped key of a session; it is on disk when this returns.

        Raises `OSError`, also if the store is there and cannot be read now: then nothing is written.
        """
        if self.find(session) == [wrapped] and self._both_sound():
            return
        private_dir(self._paths[0].parent)
        with FileLock(self._paths[0].with_suffix(".lock")):
            keys = self._read_to_change()
            keys.keys[session] = wrapped.hex()
            self._write(keys)

    def drop(self, session: str) -> None:
        """Forget the key of a session, for good. Raises `OSError`, as `put` does."""
        if not self._paths[0].parent.is_dir():
            return
        with FileLock(self._paths[0].with_suffix(".lock")), ExitStack() as former:
            keys = self._read_to_change()
            for path in self._cut_off():
                overwrite(path, [_content(path)])
                path.unlink()
            key = keys.keys.pop(session, "")
            for path in self._damaged():
                _blank(path, session, key)
            if not any(session.encode() in data for data in map(_content, self._paths)):
                return
            descriptors = []
            for path in self._paths:
                with suppress(FileNotFoundError):
                    descriptors.append(open_private(path, os.O_RDWR))
                    former.callback(os.close, descriptors[-1])
            self._write(keys)
            for each in descriptors:
                os.pwrite(each, bytes(os.fstat(each).st_size), 0)
                os.fsync(each)

    def _both_sound(self) -> bool:
        first, second = (_parsed(_content(path)) for path in self._paths)
        return first is not None and second is not None and first.number == second.number

    def _read(self) -> _Keys:
        """Return the newest sound copy. If both are damaged, the entries that can still be seen in them."""
        contents = [_content(path) for path in self._paths]
        return _newest(contents) or _seen(contents)

    def _read_to_change(self) -> _Keys:
        """Return what `_read` does, and keep both copies if they are damaged: they will be overwritten.

        Raises `OSError` if there is no sound copy and one cannot be read: it may hold all keys.
        """
        contents: list[bytes] = []
        refused: OSError | None = None
        for path in self._paths:
            try:
                contents.append(read_private(path))
            except FileNotFoundError:
                continue
            except OSError as error:
                refused = error
        if (newest := _newest(contents)) is not None:
            return newest
        if refused is not None:
            raise refused
        kept = [_content(path) for path in self._damaged()]
        for data in dict.fromkeys(filter(None, contents)):
            if data not in kept:
                name = f"{_NAMES[0]}.damaged.{secrets.token_hex(4)}"
                write_new(self._paths[0].with_name(name), data)
        return _seen(contents)

    def _cut_off(self) -> list[Path]:
        """Return what a process left that was killed while it wrote. The caller holds the lock."""
        return sorted(self._paths[0].parent.glob(f".{_NAMES[0]}*"))

    def _damaged(self) -> list[Path]:
        return sorted(self._paths[0].parent.glob(f"{_NAMES[0]}.damaged.*"))

    def _write(self, keys: _Keys) -> None:
        keys.number += 1
        body = msgspec.json.encode(keys)
        for path in self._paths:
            write_atomic(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _content(path: Path) -> bytes:
    try:
        return read_private(path)
    except OSError:
        return b""


def _newest(contents: Iterable[bytes]) -> _Keys | None:
    """Return the newest sound one of some copies, None if there is none."""
    sound = [keys for keys in map(_parsed, contents) if keys is not None]
    return max(sound, key=lambda keys: keys.number, default=None)


def _seen(contents: Iterable[bytes]) -> _Keys:
    """Return the entries that can still be seen in damaged copies."""
    return _Keys(
        keys={name.decode(): key.decode() for data in contents for name, key in _ENTRY.findall(data)}
    )


def _blank(path: Path, session: str, key: str) -> None:
    """Overwrite the entry of a session in a damaged copy, whichever part of it can be recognized."""
    data = _content(path)
    name = re.escape(session.encode())
    overwrite(path, [*re.findall(name + rb'":"[0-9a-f]*', data), key.encode()])


def _parsed(data: bytes) -> _Keys | None:
    check, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != check:
        return None
    try:
        return msgspec.json.decode(body, type=_Keys)
    except msgspec.MsgspecError:
        return None


def keys_of(path: Path) -> SessionKeys:
    """Return the store that belongs to the file of a session."""
    return SessionKeys(path.parent.parent)


def key_places(path: Path, session: str, in_file: object) -> Iterator[object]:
    """Yield the wrapped key in a session's file, then that of the store, read only if it is needed."""
    yield in_file
    yield from keys_of(path).find(session)


def open_key(vault: Vault, session: str, wrapped: Iterable[object]) -> tuple[bytes, Sealer]:
    """Return the first wrapped key of a session that opens, and its sealer. Raises `SealBroken`."""
    for each in wrapped:
        if isinstance(each, bytes):
            with suppress(SealBroken):
                return each, vault.unwrap(each, f"key of {session}")
    raise SealBroken("the key of the session is not here")


def overwrite(path: Path, words: Sequence[bytes]) -> None:
    """Overwrite every occurrence of some bytes in a file that nobody has open. Raises `OSError`."""
    with os.fdopen(open_private(path, os.O_RDWR), "r+b") as file:
        data = file.read()
        for secret in filter(None, words):
            at = data.find(secret)
            while at >= 0:
                file.seek(at)
                file.write(bytes(len(secret)))
                at = data.find(secret, at + len(secret))
        file.flush()
        os.fsync(file.fileno())
