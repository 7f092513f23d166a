"""The names of files that fit what is written after a command that takes a file."""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path

import msgspec

from omni_tui.face import actions

MOST_READ = 5_000
"""Entries of a folder that are looked at."""
_TYPED = re.compile(r"/([A-Za-z_][\w-]*)[ ](.*)")
_TAKES = "FILE"


class FileName(msgspec.Struct, frozen=True):
    """One that fits. `written` is the path as the person writes it, of a folder with a slash at its end."""

    command: str
    written: str
    name: str
    folder: bool


class Folder(msgspec.Struct, frozen=True):
    """The names in a folder, of which the person has written `written` ("" for the current one).

    `entries` are names with whether each is a folder. A name that cannot be shown as it is, or not be
    written after a command, is not among them.
    """

    written: str
    entries: tuple[tuple[str, bool], ...]


def typed_file(text: str) -> tuple[str, str] | None:
    """Return the command and the path that is written after it, None if it takes no file."""
    typed = _TYPED.fullmatch(text)
    action = actions.by_slash(typed[1]) if typed else None
    if typed is None or action is None or action.argument != _TAKES:
        return None
    return typed[1], typed[2]


def folder_of(path: str) -> str:
    """Return the part of a written path that names its folder, with its slash."""
    head, slash, _ = path.rpartition("/")
    return head + slash


def read_folder(written: str) -> Folder:
    """Return the names in a folder; none if it cannot be read. Blocks: a disk may be far away."""
    try:
        with os.scandir(Path(written or ".").expanduser()) as found:
            entries = [(entry.name, _is_folder(entry)) for entry in islice(found, MOST_READ)]
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a home that nobody has
        entries = []
    kept = (each for each in entries if each[0].isprintable() and each[0] == each[0].strip())
    return Folder(written, tuple(sorted(kept, key=lambda each: (each[0].lower(), each[0]))))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to where nobody may look
        return False


def matching_files(command: str, path: str, folder: Folder, limit: int) -> list[FileName]:
    """Return up to `limit` names that begin as is written, in any case; hidden ones if that is begun.

    Nothing once it is written whole.
    """
    begun = path.removeprefix(folder.written)
    found = [
        FileName(command, f"{folder.written}{name}{'/' if is_folder else ''}", name, is_folder)
        for name, is_folder in folder.entries
        if name.lower().startswith(begun.lower()) and (begun or not name.startswith("."))
    ]
    whole = [one for one in found if one.written == path]
    return [] if whole and len(found) == 1 else found[:limit]
