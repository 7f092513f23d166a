"""Statistics of calls, and the cache of their results."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.text import SafeText


class ClearCache(Command):
    """Clear the cached results of one server or of all (""); answered by `CommandDone`."""

    server: str = ""


class ReadStats(Command):
    """Ask for `StatsRead`."""


class PoolDepth(msgspec.Struct, frozen=True, kw_only=True):
    """The load of the thread pool for blocking work; `most_queued` is the maximum of the queue."""

    queued: int
    running: int
    size: int
    most_queued: int


class ToolExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """The finished calls of one tool, by outcome, and how long they took.

    `total` includes calls answered from the cache, `duration` (seconds) does not.
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


class StatsRead(CommandReply):
    """The calls of this session, most used tools first, and the cache."""

    pool: PoolDepth
    tools: tuple[ToolExecutions, ...]
    cache_entries: int
    cache_hits: int
