"""The server logs of the last starts, sealed on disk, readable while no server runs.

One file a server, in a private folder. A file is a sequence of records: the length in four bytes, then a
sealed JSON array of entries. Records are appended; a file that gets too long is rewritten with its later
half.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from omni_tui.memory.crypto import SealBroken, Vault
from omni_tui.memory.private_files import FileLock, open_private, private_dir, read_private, write_atomic

_log = logging.getLogger(__name__)

FOLDER = "server-logs"
LARGEST = 1024 * 1024
"""The largest file of one server, in bytes."""
STARTS = 5
"""How many starts of a server are shown."""
_HEAD = 4


class LogEntry(msgspec.Struct, frozen=True, array_like=True):
    """A line of a server's log, or the beginning of a start (`start`, without a line)."""

    ts: float
    line: str = ""
    start: bool = False


class _Record(msgspec.Struct, frozen=True, array_like=True):
    server: str
    entries: list[LogEntry]


class ServerLogs:
    """Reads and writes server logs. All methods block except `add`.

    `redact` removes secrets from each line before it is sealed.
    """

    def __init__(self, state_dir: Path, vault: Vault, redact: Callable[[str], str] = str) -> None:
        self._folder = state_dir / FOLDER
        self._vault = vault
        self._redact = redact
        self._writer: ThreadPoolExecutor | None = None
        self._failing = False
        self._lock = threading.Lock()

    # --- writing ------------------------------------------------------------------------------

    def add(self, server: str, lines: Iterable[bytes | None]) -> None:
        """Write lines in the background, in order; None marks a start."""
        now = time.time()
        with self._lock:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(1, thread_name_prefix="omni-logs")
            self._writer.submit(self._write_quietly, server, list(lines), now)

    def close(self) -> None:
        """Wait until everything is written."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.shutdown(wait=True)

    def _write_quietly(self, server: str, lines: list[bytes | None], now: float) -> None:
        try:
            self._write(server, lines, now)
            self._failing = False
        except Exception:  # a log that cannot be written must not cost the server
            if not self._failing:
                _log.exception("the log of a server could not be written")
            self._failing = True

    def _write(self, server: str, lines: list[bytes | None], now: float) -> None:
        entries = [
            LogEntry(now, start=True)
            if line is None
            else LogEntry(now, self._redact(line.decode("utf-8", "replace")))
            for line in lines
        ]
        private_dir(self._folder)
        path = self._path(server)
        with FileLock(self._folder / "lock"):
            body = self._vault.seal(msgspec.json.encode(_Record(server, entries)), _context(path))
            descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(descriptor, _framed(body))
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > LARGEST:
                self._shorten(path)

    def _shorten(self, path: Path) -> None:
        kept: list[bytes] = []
        size = 0
        for record in reversed(list(_records(read_private(path)))):
            size += len(record)
            if size > LARGEST // 2:
                break
            kept.append(_framed(record))
        write_atomic(path, b"".join(reversed(kept)))

    # --- reading ------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all servers with a readable log."""
        found = set()
        for path in sorted(self._folder.glob("*.log")) if self._folder.is_dir() else ():
            for record in _records(read_private(path)):
                try:
                    found.add(self._opened(path, record).server)
                except (SealBroken, msgspec.DecodeError):
                    continue
                break
        return sorted(found)

    def read(self, server: str, after: float = 0.0) -> tuple[list[LogEntry], int]:
        """Return the entries of the last starts after the time `after`, and the number of unreadable
        records.

        Raises `FileNotFoundError` if the server has no log.
        """
        path = self._path(server)
        entries: list[LogEntry] = []
        broken = 0
        for record in _records(read_private(path)):
            try:
                entries += self._opened(path, record).entries
            except (SealBroken, msgspec.DecodeError):
                broken += 1
        starts = [number for number, entry in enumerate(entries) if entry.start]
        first = starts[-STARTS] if len(starts) > STARTS else 0
        return [entry for entry in entries[first:] if entry.ts > after], broken

    def stamp(self, server: str) -> tuple[int, int]:
        """Return a value that changes when a server's log grows; (0, 0) if it has none."""
        try:
            found = os.lstat(self._path(server))
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_size

    def _opened(self, path: Path, record: bytes) -> _Record:
        return msgspec.json.decode(self._vault.unseal(record, _context(path)), type=_Record)

    def _path(self, server: str) -> Path:
        return self._folder / f"{hashlib.sha256(server.encode('utf-8', 'replace')).hexdigest()[:32]}.log"


def _context(path: Path) -> str:
    return f"server log {path.stem}"


def _framed(record: bytes) -> bytes:
    return len(record).to_bytes(_HEAD, "big") + record


def _records(data: bytes) -> Iterator[bytes]:
    """Yield the sealed records of a file, except one that is cut off at the end."""
    at = 0
    while at + _HEAD <= len(data):
        size = int.from_bytes(data[at : at + _HEAD], "big")
        at += _HEAD
        if at + size > len(data):
            return
        yield data[at : at + size]
        at += size
