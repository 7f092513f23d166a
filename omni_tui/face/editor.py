"""The file of a text while the person edits it in their own editor."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from omni_tui.security.files import NotRegularFile, check_regular

MAX_EDITED_BYTES = 8_000_000
"""Longest text in bytes that is read back."""


class EditedFile:
    """A file in a private folder (mode 0700); `remove` deletes both."""

    def __init__(self, text: str, folder: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="omni-edit-", dir=folder or None))  # mode 0700
        self.path = self._folder / "arguments.json"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    def text(self) -> str:
        """Return the text of the file.

        An editor may replace the file, but not by a link. Raises `OSError` for a link, for a file of
        somebody else and for one that is too long, `UnicodeDecodeError` if it is not UTF-8.
        """
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.path, flags)
        except OSError as error:
            if self.path.is_symlink():
                raise NotRegularFile(0, "a symbolic link stands in its place, and is not read") from error
            raise
        with open(descriptor, "rb") as file:
            check_regular(descriptor, self.path)
            found = os.fstat(descriptor)
            if found.st_nlink != 1 or found.st_uid != os.geteuid():
                raise NotRegularFile(
                    0, "a file that is in use elsewhere stands in its place, and is not read"
                )
            data = file.read(MAX_EDITED_BYTES + 1)
        if len(data) > MAX_EDITED_BYTES:
            raise NotRegularFile(0, f"it is longer than {MAX_EDITED_BYTES:,} bytes")
        return data.decode("utf-8")

    def remove(self) -> None:
        """Remove the file, and everything an editor left beside it."""
        shutil.rmtree(self._folder, ignore_errors=True)
