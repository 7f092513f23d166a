"""Opening files in whose place something else may stand: a pipe would wait for ever, a link lead away."""

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
    """Something that is no regular file stands where one is expected; `strerror` says what."""


def check_regular(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Raise `NotRegularFile` if an open descriptor is not that of a regular file."""
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        raise NotRegularFile(0, f"it is {_KINDS.get(kind, 'something else')}, not a file", os.fspath(path))


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading. Raises `NotRegularFile` for a pipe, a folder or a device, and any other
    `OSError`.

    `/dev/null` is an empty file, and a pipe that the shell made for this command (`<(…)` is
    `/dev/fd/63`) is read as one.
    """
    name = os.fspath(path)
    made_by_the_shell = name.startswith("/dev/fd/")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if made_by_the_shell else os.O_NONBLOCK))
    try:
        if not made_by_the_shell and name != os.devnull:
            check_regular(descriptor, path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_log(path: Path) -> int:
    """Open a log to append to, for this person alone, and return its descriptor.

    Raises `NotRegularFile` for a pipe and the like, `OSError` for a symbolic link: what is logged belongs
    here.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if path.is_symlink():
            words = "it is a symbolic link, and logs are not written through one"
            raise NotRegularFile(0, words, str(path)) from error
        raise
    try:
        check_regular(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
