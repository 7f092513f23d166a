"""Private files and folders (mode 0600 and 0700): created, checked and replaced atomically."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from omni_tui.security.files import NotRegularFile, open_own

logger = logging.getLogger(__name__)

_PAUSE = 0.02


class UnsafePlace(OSError):
    """A folder or file that another user could have prepared; the text says which and what to do."""


def private_dir(path: Path) -> Path:
    """Make `path` a folder that only this user may enter, and return it.

    Repairs a mode that is too wide. Raises `UnsafePlace` for a symbolic link, another owner or something
    that is not a folder, `OSError` if it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise UnsafePlace(
            f"{path} is a symbolic link, and saved sessions do not follow one; "
            "name the real folder with --state-dir"
        )
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafePlace(f"{path} is not a folder; move it away, or use another with --state-dir")
    _check_owner(path, found)
    if found.st_mode & 0o077:
        logger.warning("%s was open to other users (mode %o); now it is not", path, found.st_mode & 0o777)
        path.chmod(0o700)
    return path


def close_to_others(folder: Path) -> None:
    """Take from other users what they may do with the files and folders below `folder`.

    Modes are often too wide after a copy or a backup was put back. Links are not followed, and what belongs
    to another user is left alone: it is refused where it would be opened.
    """
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
                if found.st_uid != os.geteuid() or stat.S_ISLNK(found.st_mode):
                    continue
                if found.st_mode & 0o077 and (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
                    logger.warning("%s was open to other users; now it is not", entry.path)
                    Path(entry.path).chmod(stat.S_IMODE(found.st_mode) & 0o700)
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode):
                waiting.append(Path(entry.path))


def open_private(path: Path, flags: int) -> int:
    """Open a file of this user, mode 0600, without following links, and return its descriptor.

    Repairs a mode that is too wide. Raises `UnsafePlace` for a link, another owner, or something that is
    not a regular file: a pipe would block.
    """
    try:
        fd = open_own(path, flags)
    except NotRegularFile as error:
        raise UnsafePlace(f"{path}: {error.strerror}; move it away") from error
    try:
        found = os.fstat(fd)
        _check_owner(path, found)
        if found.st_mode & 0o077:
            logger.warning(
                "%s was open to other users (mode %o); now it is not", path, found.st_mode & 0o777
            )
            _narrow(fd, flags)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _narrow(fd: int, flags: int) -> None:
    try:
        os.fchmod(fd, 0o600)
    except OSError:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise  # on a read-only disk it can still be read


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise UnsafePlace(
            f"{path} belongs to another user (uid {found.st_uid}); use a place of your own with --state-dir"
        )


def read_private(path: Path) -> bytes:
    """Return the content of a private file. Raises `FileNotFoundError`, `UnsafePlace`."""
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        return file.read()


def write_atomic(path: Path, data: bytes | Iterator[bytes]) -> None:
    """Replace the file at `path` atomically, with data or its pieces; it is on disk when this returns."""
    temporary = _write_beside(path, data)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_dir(path.parent)


def write_new(path: Path, data: bytes | Iterator[bytes]) -> None:
    """Make a file, of data or its pieces, that appears whole or not at all.

    Raises `FileExistsError` if there is one.
    """
    temporary = _write_beside(path, data)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(f"{path} is there already") from None
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_dir(path.parent)


def _write_beside(path: Path, data: bytes | Iterator[bytes]) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_dir(path: Path) -> None:
    """Flush a folder's entries to disk, so that a new or renamed file survives a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock in the file at `path`. Works on a read-only disk too."""
    try:
        fd = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class FileLock:
    """A lock that the system releases when its process dies. Its file may hold a few bytes for others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self, wait: float) -> bool:
        """Take the lock within `wait` seconds; return False if another holder has it."""
        deadline = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        return True

    def _try(self) -> bool:
        fd = open_private(self._path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The former holder may have removed the file after it was opened here.
            if os.stat(self._path).st_ino == os.fstat(fd).st_ino:
                self._fd, fd = fd, -1
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            if fd >= 0:
                os.close(fd)
        return False

    def write(self, data: bytes) -> None:
        """Write `data` into the lock's file."""
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def release(self, *, remove: bool = False) -> None:
        """Release the lock; with `remove`, delete its file."""
        if self._fd < 0:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> FileLock:
        """Take the lock within ten seconds. Raises `TimeoutError`."""
        if not self.acquire(10.0):
            raise TimeoutError(f"another program holds {self._path}; if none runs, remove that file")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
