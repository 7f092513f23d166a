"""The debug view: what passes through the engine while somebody looks at it. Without contents."""

from __future__ import annotations

from typing import Literal

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText

DebugKind = Literal["command", "event", "model", "server"]
"""A command of this client, an event to it, a request to a model, a message to or from a server."""


class DebugEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that passed. `at` is the Unix time; `sent` is whether it left the engine.

    `where` is a server or a model, `size` the bytes as JSON (at least that if not `exact`, 0 if not known),
    `ms` how long it took, None where nothing was waited for.
    """

    number: int
    at: float
    kind: DebugKind
    what: SafeText
    sent: bool = False
    where: SafeText = SafeText("")
    size: int = 0
    exact: bool = True
    ms: float | None = None
    failed: bool = False
    detail: SafeText = SafeText("")


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits in one queue."""

    name: str
    waiting: int


class ReadDebug(Command):
    """Ask for `DebugRead` after entry `after`. What passes is recorded until soon after the last one."""

    after: int = 0


class DebugRead(CommandReply):
    """Entries, oldest first; `more` are ready. `dropped` older ones were not read in time.

    `loop_ms`: how long the engine's loop took to come back to a task that was ready.
    """

    entries: tuple[DebugEntry, ...]
    queues: tuple[QueueDepth, ...]
    dropped: int = 0
    more: bool = False
    loop_ms: float = 0.0
