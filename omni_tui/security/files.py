"""Opens files that might be something else: a pipe would block forever, a link lead elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegularFile(OSError):
    """Something else than a regular file; `strerror` says what."""


def check_regular(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Raise `NotRegularFile` if a descriptor is not of a regular file."""
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        raise NotRegularFile(0, f"it is {_KINDS.get(kind, 'something else')}, not a file", os.fspath(path))


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading. Raises `NotRegularFile` for a pipe, folder or device, and `OSError`.

    Allowed are `/dev/null`, and pipes of the shell for this command (`<(…)` is `/dev/fd/63`).
    """
    name = os.fspath(path)
    from_shell = name.startswith("/dev/fd/")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if from_shell else os.O_NONBLOCK))
    try:
        if not from_shell and name != os.devnull:
            check_regular(descriptor, path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_own(path: Path, flags: int = os.O_WRONLY | os.O_CREAT | os.O_APPEND) -> int:
    """Open a file, made with mode 0600, and return its descriptor; by default to append.

    Raises `NotRegularFile` for a pipe and the like, and for a symbolic link; `OSError`.
    """
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise NotRegularFile(0, "it is a symbolic link, which is not followed", str(path)) from error
        if path.exists() and not path.is_file():
            raise NotRegularFile(0, "it is not a file", str(path)) from error
        raise
    try:
        check_regular(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
