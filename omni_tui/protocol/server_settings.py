"""The settings of one server as its form shows and sends them."""

from __future__ import annotations

from typing import Literal

import msgspec

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
