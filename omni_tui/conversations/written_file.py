"""Write a conversation into a file that only this user can read: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec

from omni_tui.conversations.asciicast import as_asciicast
from omni_tui.conversations.document import SavedConversation
from omni_tui.conversations.html_page import as_html
from omni_tui.conversations.json_file import as_json
from omni_tui.conversations.markdown import as_markdown
from omni_tui.conversations.redacted import redacted_item, redacted_session
from omni_tui.conversations.shown import ShownConversation, shown
from omni_tui.memory.disk_trouble import in_words
from omni_tui.memory.private_files import write_atomic, write_new
from omni_tui.protocol.errors import FileInTheWay, UserError
from omni_tui.security.redaction import Redactor

FileFormat = Literal["json", "markdown", "html", "asciicast"]
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
_SUFFIXES: dict[str, FileFormat] = {
    ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html", ".cast": "asciicast",
}  # fmt: skip
_WRITERS: dict[FileFormat, Callable[[ShownConversation], Iterator[bytes]]] = {
    "markdown": as_markdown,
    "html": as_html,
    "asciicast": as_asciicast,
}


def format_of(name: str) -> FileFormat:
    """Return the format that a file's name tells, JSON if it tells none."""
    return _SUFFIXES.get(Path(name).suffix.lower(), "json")


def rendered(conversation: SavedConversation, kind: FileFormat, redactor: Redactor) -> Iterator[bytes]:
    """Yield a conversation as the pieces of a file, without secrets. Takes seconds for a long one.

    Never more than one item is made ready at a time, except that a recording is timed as a whole.
    """
    session = redacted_session(conversation.session, redactor)
    items = (redacted_item(item, redactor) for item in conversation.items)
    if kind == "json":
        return as_json(msgspec.structs.replace(conversation, session=session, items=()), items)
    return _WRITERS[kind](shown(session, items))


def write_conversation(path: Path, pieces: Iterator[bytes], *, overwrite: bool) -> int:
    """Write a file of mode 0600 and return its size; a link in its place is replaced, not followed.

    Raises `FileInTheWay` if there is one and it may not be replaced, `UserError`.
    """
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            yield piece

    try:
        if overwrite and path.is_dir() and not path.is_symlink():
            raise UserError(f"{path} is a folder")
        if not overwrite and os.path.lexists(path):
            raise FileExistsError  # before the work is done
        (write_atomic if overwrite else write_new)(path, counted())
    except FileExistsError:
        raise FileInTheWay(f"{path} exists already; name another file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {in_words(error)}") from None
    except ValueError as error:  # a zero byte in it
        raise UserError(f"this is no name of a file: {error}") from None
    return size
