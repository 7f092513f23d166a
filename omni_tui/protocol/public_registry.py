"""Servers of the public registry: searched, looked at, and added as not yet allowed."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText

HIDDEN = "(secret)"
"""Stands for a secret that was typed: what would run is shown without it."""

RegistryStatus = Literal["active", "deprecated", "deleted"]


class SearchRegistry(Command, frozen=True):
    """Ask for `RegistryFound`: servers with every word. `cursor` of an earlier answer asks for more."""

    words: str
    cursor: str = ""


class OpenBundle(Command, frozen=True):
    """Ask for `RegistryServerRead` of a bundle (`.mcpb`) in a file. Unpacks and starts nothing."""

    path: str


class ReadRegistryServer(Command, frozen=True):
    """Ask for `RegistryServerRead`: a server that was found, and what one of its launches comes to.

    `digest` is that of the entry, `launch` the place of the package or address. `answers` are by the id of
    their question, with `HIDDEN` for each secret. Starts and fetches nothing.
    """

    digest: str
    launch: int = 0
    answers: dict[str, str] = {}


class AddRegistryServer(Command, frozen=True):
    """Add a server that was found, as not yet allowed, under `name`; saved in the person's config file.

    Secrets among the `answers` go into the keyring.
    """

    digest: str
    launch: int
    answers: dict[str, str]
    name: str


class RegistryServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One server that was found. `runs`: what it would run, or its address; "" if nothing of it can run."""

    digest: str
    name: SafeText
    version: SafeText
    title: SafeText = SafeText("")
    description: SafeText = SafeText("")
    status: RegistryStatus = "active"
    status_message: SafeText = SafeText("")
    runs: SafeText = SafeText("")


class RegistryQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a launch asks for. `several`: it may be several values, as in a shell."""

    id: str
    label: SafeText
    description: SafeText = SafeText("")
    placeholder: SafeText = SafeText("")
    default: SafeText = SafeText("")
    choices: tuple[SafeText, ...] = ()
    required: bool = False
    secret: bool = False
    several: bool = False


class RegistryLaunchInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run or reach a server. `refused`: why it cannot be added, "" if it can."""

    kind: SafeText
    label: SafeText
    refused: SafeText = SafeText("")
    todo: SafeText = SafeText("")


class RegistryFound(CommandReply, frozen=True):
    """Servers that were found. `cursor` asks for more, "" if there are no more.

    `address` is the registry's, `fetched` Unix time in seconds: the answer may be some minutes old.
    """

    servers: tuple[RegistryServerInfo, ...]
    cursor: str
    address: SafeText
    fetched: float
    problems: tuple[SafeText, ...] = ()


class RegistryServerRead(CommandReply, frozen=True):
    """A server that was found, and what its launch number `launch` comes to with the answers.

    `command` is exact but for secrets: the command line quoted for a shell, or the address. `settings` are
    its variables or headers, one each. `missing` are ids of required values, `wrong` says what is wrong
    with an answer. `name`: a free name for it.
    """

    info: RegistryServerInfo
    name: str
    launches: tuple[RegistryLaunchInfo, ...]
    launch: int
    repository: SafeText = SafeText("")
    website: SafeText = SafeText("")
    published: SafeText = SafeText("")
    problems: tuple[SafeText, ...] = ()
    command: SafeText = SafeText("")
    settings: tuple[SafeText, ...] = ()
    note: SafeText = SafeText("")
    questions: tuple[RegistryQuestion, ...] = ()
    missing: tuple[str, ...] = ()
    wrong: dict[str, SafeText] = {}
