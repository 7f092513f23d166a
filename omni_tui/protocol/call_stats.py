"""Asking how calls are carried out, and emptying the cache of their results."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Command, Reply
from omni_tui.protocol.text import SafeText


class ClearCache(Command):
    """Forget the results that are kept, of one server or of all (""); answered by `CommandDone`."""

    server: str = ""


class ReadStats(Command):
    """Ask for `StatsRead`."""


class PoolDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How full the pool for blocking work is; `most_queued` is the most that ever waited."""

    queued: int
    running: int
    size: int
    most_queued: int


class ToolExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one tool that are over, by how they ended, and how long they took.

    `total` counts what was answered from the cache too, `duration` (seconds) does not.
    """

    server: str
    tool: SafeText
    total: int
    succeeded: int
    failed: int
    uncertain: int
    cached: int
    duration: float
    longest: float


class StatsRead(Reply):
    """How the calls of this session went, the tools most used first, and what is kept."""

    pool: PoolDepth
    tools: tuple[ToolExecutions, ...]
    cache_entries: int
    cache_hits: int
