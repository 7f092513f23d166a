"""The settings of one server: read, checked and changed at run time; and what a start would run."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import JsonText, SafeText
from omni_tui.protocol.values import Problem

KEPT = "[kept]"
"""Stands for a plain-text value that looks like a secret, which the engine does not send. Sent back, it
means that the value stays."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a server in its form, by the keys of `[servers.NAME]`.

    References (`${VAR}`, `keyring:SERVICE/NAME`) are not resolved. Times are in seconds; text in place of a
    number is the person's input, for the engine to report what is wrong.
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
    """Change the settings of a server, or add one (`new`), and connect it again.

    This allows the server to start. With `save`, the settings are written to the person's config file,
    unless it has changed since `revision` (from `ServerRead`). Without, they hold until the engine ends.
    """

    name: str
    settings: ServerSettings
    new: bool = False
    save: bool = False
    revision: str = ""


class EnableServer(Command, frozen=True):
    """Enable a server and connect it; `save` writes that to the person's config file."""

    server: str
    save: bool = False


class DisableServer(Command, frozen=True):
    """Disconnect and disable a server; `save` writes that to the person's config file."""

    server: str
    save: bool = False


class KeepSecret(Command, frozen=True):
    """Store a value in the keyring. The reply's `text` is the reference to use instead."""

    server: str
    place: SecretPlace
    key: str
    value: str


class ServerRead(CommandReply, frozen=True):
    """A server's settings. `revision` identifies its table in the config file, "" if it has none.

    `fixed`: why they cannot be changed here, "" if they can. `unsaved`: why they can be changed only until
    the engine ends, "" if they can be saved.
    """

    name: str
    settings: ServerSettings
    revision: str = ""
    fixed: SafeText = SafeText("")
    unsaved: SafeText = SafeText("")


class ServerChecked(CommandReply, frozen=True):
    """The problems of settings; `where` is the setting's name, or `env.NAME` and `headers.NAME`.

    `warnings` do not prevent saving.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


class LaunchRead(CommandReply, frozen=True):
    """What would be started or reached. `digest` identifies it exactly; `AllowServer` sends it back.

    `program` is the file that would run, `real` the target of its links, if different. `launch_json` is
    exact: `command`, `args`, `cwd` and `env`, or `url` and `headers`; a secret value is null. `dangers` are
    warnings about it. `changed`: an earlier launch was accepted; `ReadChange` has both.
    """

    server: str
    digest: str
    program: SafeText
    real: SafeText
    launch_json: JsonText
    source: str
    dangers: tuple[SafeText, ...] = ()
    changed: bool = False
