"""Say why a disk refused. SQLite reports a used-up quota, a full disk and a broken one alike."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on the disk is used up",
    errno.EFBIG: "the limit on the size of files (ulimit -f) is reached",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "the folder may not be written",
    errno.EPERM: "the folder may not be written",
    errno.EIO: "the disk reported an error",
}
_ATTEMPT = 1 << 16
"""Bytes to try with: more than a few pages, since a full disk often has room for one."""


def in_words(error: OSError) -> str:
    """Return why a file could not be used, in words."""
    return _WORDS.get(error.errno or 0, error.strerror or str(error))


def why_not_written(folder: Path) -> str:
    """Try to write in a folder and return what refuses it, "" if nothing does. Leaves nothing behind."""
    path = folder / f".attempt.{secrets.token_hex(6)}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            left = bytes(_ATTEMPT)
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return in_words(error)
    finally:
        with suppress(OSError):
            path.unlink()
    return ""
