"""Sessions that lie in Redis: listed, and fetched to go on with them here."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText


class RemoteSessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A session in Redis. `why` says why nothing else of it can be told, "" if it can.

    `machine` wrote it last, at `updated` (Unix seconds); `open`: the session was open there then. `here`: a
    part of it, or all, is saved on this machine.
    """

    id: str
    title: SafeText = SafeText("")
    machine: SafeText = SafeText("")
    updated: float = 0.0
    events: int = 0
    open: bool = False
    here: bool = False
    why: SafeText = SafeText("")


class ListRemoteSessions(Command):
    """Ask for `RemoteSessionsListed`. Only for a client with a person."""


class RemoteSessionsListed(CommandReply):
    """The sessions in Redis, last used first, those that cannot be read last. `total` counts all.

    `where`: the address.
    """

    sessions: tuple[RemoteSessionInfo, ...]
    total: int
    where: SafeText


class FetchSession(Command):
    """Fetch a session from Redis and take it over, or a copy of it. Ask for `SessionFetched`.

    Nothing is sent to any server. One that is open here is refused.
    """

    session: str
    copy: bool = False


class SessionFetched(CommandReply):
    """A session was fetched; `id` is its id here. `remarks`: what the person must know, in sentences."""

    id: str
    events: int
    remarks: tuple[SafeText, ...] = ()
