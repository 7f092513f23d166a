"""The base classes of commands and events."""

from __future__ import annotations

from typing import ClassVar

import msgspec

VERSION = 1


def snake(name: str) -> str:
    """Return the tag of a class in a frame: `ToolsListed` is `tools_listed`."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class Command(
    msgspec.Struct, frozen=True, kw_only=True, tag=snake, tag_field="type", forbid_unknown_fields=True
):
    """Base of all commands. `request` is unique per link, and 0 if no reply is wanted."""

    request: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=snake, tag_field="type"):
    """Header of every event: format version, journal number (0 if live), Unix time, session id."""

    journalled: ClassVar[bool] = False
    public: ClassVar[bool] = True

    v: int = VERSION
    seq: int = 0
    ts: float = 0.0
    session: str = ""


class Journalled(Event, frozen=True, kw_only=True):
    """Base of events that are on disk before anybody sees them."""

    journalled: ClassVar[bool] = True


class CommandReply(Event, frozen=True, kw_only=True):
    """Base of replies, each to one command."""

    public: ClassVar[bool] = False

    request: int = 0
