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


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the requests to one model used in a session; `model` is "" where it is not known.

    Tokens, and US dollars without the `unpriced` requests, whose price is not known. `cached` is part of
    `input`. `estimated`: some of it had to be estimated.
    """

    model: SafeText
    requests: int
    input: int
    output: int
    cached: int
    cost: float
    unpriced: int = 0
    estimated: bool = False


class StatsRead(CommandReply):
    """What happened in this session since it began, and the cache and pool of now.

    `messages` of the person and `answers` of models; `turns` and `calls` that ended, by how; most used
    tools and models first.
    """

    pool: PoolDepth
    tools: tuple[ToolExecutions, ...]
    cache_entries: int
    cache_hits: int
    messages: int = 0
    answers: int = 0
    turns: dict[str, int] = {}
    calls: dict[str, int] = {}
    models: tuple[ModelUse, ...] = ()
