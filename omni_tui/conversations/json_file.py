"""Write and read conversations in Omni TUI's own format."""

from __future__ import annotations

import json

import msgspec

from omni_tui.conversations.document import (
    FORMAT,
    MOST_ITEMS,
    VERSION,
    FileCall,
    SavedConversation,
    UnreadableFile,
    ascii_json,
    raw_text,
)
from omni_tui.security.text import safe_line


def as_json(conversation: SavedConversation) -> bytes:
    """Return a conversation as a file: printable ASCII, a line for each item."""
    head = msgspec.json.encode(msgspec.structs.replace(conversation, items=())).decode()
    assert head.endswith('"items":[]}')
    lines = ",\n".join(msgspec.json.encode(item).decode() for item in conversation.items)
    inside = f"\n{lines}\n" if lines else ""
    return _in_ascii(f"{head.removesuffix(']}')}{inside}]}}\n").encode("ascii")


def _in_ascii(text: str) -> str:
    return "\n".join(ascii_json(line) for line in text.split("\n"))


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
