"""See what a plugin does while it is checked, by the interpreter's audit events (PEP 578)."""

from __future__ import annotations

import os
import sys
from typing import Any

_PROGRAMS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "shutil.rmtree")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class PermissionWatch:
    """Notes in `seen` the first deed of each permission, in words. Files in its own folder do not count."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        self._folders: tuple[str, ...] = ()
        self._on = False

    def begin(self, folder: str) -> None:
        """Begin to watch. An audit hook cannot be removed: it lasts as long as the process."""
        self._folders = (os.path.realpath(folder) + os.sep, os.devnull)
        self._on = True
        sys.addaudithook(self._hear)

    def end(self) -> None:
        """Watch no more."""
        self._on = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            self.seen.setdefault("network", f"connects to {arguments[1][0]!s:.100}")
        elif event == "socket.getaddrinfo":
            self.seen.setdefault("network", f"looks up {arguments[0]!s:.100}")
        elif event in _PROGRAMS:
            self.seen.setdefault("processes", f"starts a program ({event})")
        elif event == "open" and self._writes(*arguments[:3]):
            self.seen.setdefault("files", f"writes {arguments[0]!s:.200}")
        elif event in _CHANGES and not self._mine(arguments[0]):
            self.seen.setdefault("files", f"changes {arguments[0]!s:.200}")

    def _writes(self, path: object, mode: object, flags: object) -> bool:
        asked = isinstance(flags, int) and bool(flags & _WRITES)
        if isinstance(mode, str):
            asked = any(letter in mode for letter in "wax+")
        return asked and not self._mine(path)

    def _mine(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a descriptor: it was opened before, and seen then
        name = os.fspath(path)
        # What the interpreter writes for itself when it imports.
        text = os.fsdecode(name)
        if f"{os.sep}__pycache__" in text:
            return True
        return os.path.realpath(text).startswith(self._folders)
