"""Files of other hosts: found on this machine, and imported."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText


class FindHostFiles(Command, frozen=True):
    """Ask for `HostFilesFound`: the files of other programs with servers. Reads them, starts nothing."""


class ImportServers(Command, frozen=True):
    """Import the servers of another program's file; each must be allowed before it starts.

    With `save` they are written to the person's config file, their secrets to the keyring or the sealed
    store. Without, they are listed until the engine ends.
    """

    path: str
    save: bool = False


class HostFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of another program. `servers` are some of its servers' names, `count` is how many it has.

    `problem` says why it cannot be read, "" if it can.
    """

    path: str
    program: SafeText
    shown: SafeText
    servers: tuple[SafeText, ...] = ()
    count: int = 0
    problem: SafeText = SafeText("")


class HostFilesFound(CommandReply, frozen=True):
    """The files that were found."""

    files: tuple[HostFile, ...]
