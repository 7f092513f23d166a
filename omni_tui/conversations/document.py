"""A conversation in a file: the format of `/save` and `omni-tui sessions export`, version 1.

The file is one JSON object in ASCII:

    {"format": "omni-tui/conversation", "version": 1, "generator": "Omni TUI 0.4",
     "session": {"id", "title", "tags", "created", "model", "loaded"},
     "items": [ITEM, …]}

An item has a `type`:

- `message`: `role` (`user` or `assistant`), `text` in full; of the person's also `attachments`
- `thought`: `text`
- `call`: `server`, `tool`, `arguments` (any JSON), `state` (`protocol.loaded.LoadedState`), `decider`,
  `reason`, `feedback`, `elapsed_ms`, and `result`: parts with `kind`, `text`, `mime`, `uri`, `size`; `cut`
  says that the text is not whole
- `note`: `text`, what else the transcript tells; `forgets` is the number of a message: here the person made
  the model forget that message and all after it, which are in the file all the same

and, where it is known, `turn` (the number of the message it belongs to), `agent` and `ts`. Times are Unix
seconds. A field that is left out has its default; fields that a reader does not know are to be ignored.
Texts are exact, except that secrets are masked and what is too long is cut with a note; they are not safe
to show.
"""

from __future__ import annotations

import json
import re
from typing import Literal

import msgspec

from omni_tui.protocol.loaded import FileSource, LoadedState
from omni_tui.protocol.values import PartKind
from omni_tui.security.text import encodable

FORMAT = "omni-tui/conversation"
VERSION = 1
MOST_ITEMS = 200_000
LONGEST_TEXT = 1_000_000
"""Characters of one message, thought or part of a result; a longer one is cut with a note."""
LONGEST_NAME = 200
"""Characters of a name, a title or an id; a longer one is cut."""


class FileAttachment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was attached to a message; its content is not in the file."""

    server: str
    label: str
    address: str = ""


class FileMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="message"):
    """A message of the person or an answer of an agent."""

    role: Literal["user", "assistant"]
    text: str
    turn: int = 0
    ts: float = 0.0
    agent: str = "root"
    partial: bool = False
    label: str = ""
    attachments: tuple[FileAttachment, ...] = ()


class FileThought(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="thought"):
    """A thought of an agent."""

    text: str
    turn: int = 0
    ts: float = 0.0
    agent: str = "root"


class FilePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of a result. `text` is empty for an image and the like; `size` in bytes."""

    kind: PartKind = "text"
    text: str = ""
    mime: str = ""
    uri: str = ""
    size: int = 0
    cut: bool = False


class FileCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="call"):
    """A call with what came of it. `arguments` is JSON; what was not JSON is a string."""

    server: str
    tool: str
    state: LoadedState
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    turn: int = 0
    ts: float = 0.0
    agent: str = "root"
    origin: Literal["agent", "hand"] = "agent"
    decider: str = ""
    reason: str = ""
    feedback: str = ""
    elapsed_ms: float = 0.0
    result: tuple[FilePart, ...] = ()


class FileNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="note"):
    """Something else that the transcript tells: how a turn ended, a plan, a summary, a rewind.

    `forgets`: of a rewind the number of the first message that the model forgot, else 0.
    """

    text: str
    warning: bool = False
    forgets: int = 0
    turn: int = 0
    ts: float = 0.0


FileItem = FileMessage | FileThought | FileCall | FileNote


class FileOrigin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a session that was itself loaded: from whose file, and what that session was."""

    source: FileSource
    file: str = ""
    origin: str = ""


class FileSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a conversation is. `unread`: how many saved events could not be read and are missing."""

    id: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    created: float = 0.0
    model: str = ""
    unread: int = 0
    loaded: FileOrigin | None = None


class SavedConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file."""

    format: str = FORMAT
    version: int = VERSION
    generator: str = ""
    session: FileSession = FileSession()
    items: tuple[FileItem, ...] = ()


class UnreadableFile(Exception):
    """A file cannot be loaded; the text says why, in one sentence. Nothing was changed."""


_NOT_ASCII = re.compile("[^ -~]+")


def ascii_json(text: str) -> str:
    """Return a JSON text in printable ASCII: others written as `\\uXXXX`."""
    if text.isascii() and text.isprintable():
        return text
    return _NOT_ASCII.sub(lambda found: json.dumps(found.group())[1:-1], text)


def raw_json(value: object) -> msgspec.Raw:
    """Return a value as JSON in ASCII, half characters replaced. Raises `ValueError` for what has none."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return msgspec.Raw(ascii_json(encodable(text)).encode("ascii"))


def raw_text(text: str | bytes) -> msgspec.Raw:
    """Return the JSON that a text is, else the text itself as a JSON string."""
    try:
        return raw_json(json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError):
        plain = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return raw_json(plain[:LONGEST_TEXT])


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def bounded_text(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return a text without half characters; a longer one is cut, and says so at its end."""
    text = encodable(text)
    if len(text) <= limit:
        return text
    return f"{text[: limit - _CUT_NOTE]}\n[Omni TUI: {len(text) - limit + _CUT_NOTE:,} characters left out]"


def bounded_name(text: str) -> str:
    """Return a name, a title or an id without half characters, and not longer than such a thing may be."""
    text = encodable(text)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


_CUT_NOTE = 60
"""Characters of room for the note at the end of a text that was cut."""
