"""Look at a session's file without its lock, also while another process writes it, and change nothing.

A copy is taken of the file and of its log. It is consistent if the log was not begun anew meanwhile:
whatever SQLite moves from the log into the file still stands in the log then. The file of a session that
this process has open is never opened a second time here: closing it would drop SQLite's locks
(https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from omni_tui.memory.private_files import is_held, open_private
from omni_tui.memory.sqlite_pages import LOG_HEADER, Log, merged, page_size, read_log

_TRIES = 50
_PAUSE = 0.02
_MOST_IN_MEMORY = 1 << 27
_open_here: set[Path] = set()
_closing = threading.Lock()
"""Held from the check that this process does not have a file open until a reader has closed it again."""


class OpenHere(Exception):
    """This process has the session open: read it through its journal."""


def opened_here(path: Path) -> None:
    """Take note that this process opens the file of a session. Waits while a reader has it open."""
    with _closing:
        _open_here.add(path.absolute())


def closed_here(path: Path) -> None:
    """Take note that it is closed again."""
    _open_here.discard(path.absolute())


def read_files(path: Path) -> tuple[bytes, Log]:
    """Return the content of a session's file, and its log. A file that is not there is empty.

    Raises `OpenHere`, `UnsafePlace` for something that is not a file of this user, `OSError`.
    """
    for _ in range(_TRIES):
        with _not_open_here(path):
            before = _read(_log_of(path), LOG_HEADER)
            data = _read(path)
            log = _read(_log_of(path))
            if before == log[:LOG_HEADER] == _read(_log_of(path), LOG_HEADER):
                return data, read_log(log, page_size(data))
        time.sleep(_PAUSE)
    raise OSError(f"{path} is being written too fast to read it; try again")


@contextmanager
def _not_open_here(path: Path) -> Iterator[None]:
    """Raise `OpenHere` if this process has a file open, and keep it from opening it meanwhile."""
    with _closing:
        if path.absolute() in _open_here:
            raise OpenHere(f"the session in {path} is open in this process")
        yield


def _log_of(path: Path) -> Path:
    return Path(f"{path}-wal")


def _read(path: Path, most: int = -1) -> bytes:
    with suppress(FileNotFoundError), os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        return file.read(most)
    return b""


def log_of(path: Path) -> Log:
    """Return the log of a session's file. The caller holds its lock. Raises `UnsafePlace`, `OSError`."""
    return read_log(_read(_log_of(path)))


def look(path: Path, *, mine: bool = False, log: Log | None = None) -> sqlite3.Connection:
    """Return a connection to what is saved of a session, for reading. Nothing saved is changed.

    `mine`: the caller holds the session's lock, so nobody writes it, and may have its `log`. Raises
    `sqlite3.Error` if it is damaged, and what `read_files` raises.
    """
    if not has_log(path) and (mine or not is_held(path.with_suffix(".lock"))):
        # Nobody writes it, and it is whole in itself: no copy is needed.
        return _connect(path, "mode=ro&immutable=1")
    if mine and path.stat().st_size > _MOST_IN_MEMORY:
        return _connect(path, "mode=ro")  # makes a file for shared memory, which its owner removes
    return in_memory(*((_read(path), log) if mine and log else read_files(path)))


def _connect(path: Path, options: str) -> sqlite3.Connection:
    with _not_open_here(path):
        os.close(open_private(path, os.O_RDONLY))
        return sqlite3.connect(
            f"file:{quote(str(path))}?{options}", uri=True, isolation_level=None, timeout=1.0
        )


def in_memory(data: bytes, log: Log) -> sqlite3.Connection:
    """Return a connection to a copy of a session's file and log. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    if image := bytes(merged(data, log)):
        connection.deserialize(image)
    return connection


def has_log(path: Path) -> bool:
    """Whether a session's file has a log that is not empty."""
    try:
        return _log_of(path).lstat().st_size > 0
    except FileNotFoundError:
        return False
