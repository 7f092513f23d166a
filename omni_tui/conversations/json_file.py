"""Write and read conversations in Omni TUI's own format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import msgspec

from omni_tui.conversations.document import (
    FORMAT,
    MOST_ITEMS,
    VERSION,
    FileCall,
    FileItem,
    SavedConversation,
    UnreadableFile,
    ascii_json,
    raw_text,
)
from omni_tui.security.text import safe_line


def as_json(about: SavedConversation, items: Iterable[FileItem]) -> Iterator[bytes]:
    """Yield a conversation as the pieces of a file: printable ASCII, a line for each item.

    Of `about` all but its own items is written.
    """
    head = msgspec.json.encode(msgspec.structs.replace(about, items=()))
    assert head.endswith(b'"items":[]}')
    yield _in_ascii(head.removesuffix(b"]}"))
    before = b"\n"
    for item in items:
        yield before + _in_ascii(msgspec.json.encode(item))
        before = b",\n"
    yield b"]}\n" if before == b"\n" else b"\n]}\n"


def _in_ascii(line: bytes) -> bytes:
    return ascii_json(line.decode()).encode("ascii")


class _Head(msgspec.Struct):
    format: object = ""
    version: object = 0


def is_own(data: bytes) -> bool:
    """Return whether a JSON document says that it is in this format. Raises `msgspec.DecodeError`."""
    try:
        return msgspec.json.decode(data, type=_Head).format == FORMAT
    except msgspec.ValidationError:
        return False


def from_json(data: bytes) -> SavedConversation:
    """Read a file of this format. Raises `UnreadableFile`."""
    try:
        version = msgspec.json.decode(data, type=_Head).version
        if version != VERSION:
            raise UnreadableFile(
                f"it is in version {safe_line(json.dumps(version), limit=20)} of the format, and this Omni "
                f"TUI reads version {VERSION}; another version of Omni TUI wrote it"
            )
        found = msgspec.json.decode(data, type=SavedConversation)
    except RecursionError:
        raise UnreadableFile("it is nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise UnreadableFile(f"it is damaged: {safe_line(str(error))}") from None
    if len(found.items) > MOST_ITEMS:
        raise UnreadableFile(f"it has {len(found.items):,} entries; at most {MOST_ITEMS:,} are loaded")
    items = tuple(
        msgspec.structs.replace(item, arguments=raw_text(bytes(item.arguments)))
        if isinstance(item, FileCall)
        else item
        for item in found.items
    )
    return msgspec.structs.replace(found, items=items)
