"""The settings of one server: read, checked and changed at run time; and what a start would run."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, Reply
from omni_tui.protocol.text import JsonText, SafeText
from omni_tui.protocol.values import Problem

KEPT = "[kept]"
"""Stands for a value that is written in the clear somewhere and looks like a secret: the engine does not
tell it. Sent back, it means that the value stays as it is."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sets about a server; the keys of `[servers.NAME]`.

    References (`${VAR}`, `keyring:SERVICE/NAME`) stand as they were written. A time is in seconds; text
    where a number belongs is what the person has typed so far, for the engine to say what is wrong.
    """

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    auth: str = "none"
    token: str = ""
    mode: str = "auto"
    connect_timeout: float | str = 30.0
    call_timeout: float | str | None = None
    enabled: bool = True


SecretPlace = Literal["env", "headers", "token"]


class ReadServer(Command, frozen=True):
    """Ask for `ServerRead`: a server's settings, to fill a form."""

    server: str


class CheckServer(Command, frozen=True):
    """Ask for `ServerChecked`: what `config check` would say of these settings. Changes nothing."""

    name: str
    settings: ServerSettings
    new: bool = True


class EditServer(Command, frozen=True):
    """Give a server other settings, or add one (`new`), and connect it anew.

    It is the person's own doing and counts as consent to start it. With `save` it is written to the
    person's config file, unless what stands there is no longer what `revision` (from `ServerRead`)
    names. Without, it holds until the engine ends.
    """

    name: str
    settings: ServerSettings
    new: bool = False
    save: bool = False
    revision: str = ""


class EnableServer(Command, frozen=True):
    """Switch a server on and connect it; `save` writes that to the person's config file."""

    server: str
    save: bool = False


class DisableServer(Command, frozen=True):
    """End a server's connection and leave it off; `save` writes that to the person's config file."""

    server: str
    save: bool = False


class KeepSecret(Command, frozen=True):
    """Put a value into the keyring. The answer's `text` is the reference to write in its place."""

    server: str
    place: SecretPlace
    key: str
    value: str


class ServerRead(Reply, frozen=True):
    """A server's settings. `revision` names what stands in the config file now, "" if nothing does.

    `fixed` says why they cannot be changed here, "" if they can; `unsaved` why they can be changed for
    this session only, "" if the person's config file may hold them.
    """

    name: str
    settings: ServerSettings
    revision: str = ""
    fixed: SafeText = SafeText("")
    unsaved: SafeText = SafeText("")


class ServerChecked(Reply, frozen=True):
    """What is wrong with settings; `where` is the setting's name, or `env.NAME` and `headers.NAME`.

    `warnings` are worth telling and stand in nobody's way.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


class LaunchRead(Reply, frozen=True):
    """What would be started or reached. `digest` names it exactly; `AllowServer` gives it back.

    `program` is the file that would run, `real` where links lead from there, if elsewhere. `launch_json`
    is exact: `command`, `args`, `cwd` and `env`, or `url` and `headers`; a value that is secret is null.
    `dangers` are sentences about it.
    """

    server: str
    digest: str
    program: SafeText
    real: SafeText
    launch_json: JsonText
    source: str
    dangers: tuple[SafeText, ...] = ()
