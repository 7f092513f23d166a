"""Health: whether each part that Omni TUI depends on works, and what is to be done."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText

HealthState = Literal["ok", "note", "bad"]
HealthPart = Literal["server", "model", "Redis", "session", "disk", "key store"]


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How one part does. `next_try`: when it is tried again by itself, in Unix seconds, None if never."""

    part: HealthPart
    name: SafeText
    state: HealthState
    what: SafeText
    todo: SafeText = SafeText("")
    next_try: float | None = None


class ReadHealth(Command):
    """Ask for the health of everything; answered by `HealthRead`."""


class TryAgain(Command):
    """Try again now whatever failed: servers, paused models, Redis, and what waits to be tried again."""


class HealthRead(CommandReply):
    """The state of everything, parts that need something first."""

    checks: tuple[HealthCheck, ...]
