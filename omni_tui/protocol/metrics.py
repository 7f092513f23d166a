"""Metrics: counts and times of everything that this engine did since it started."""

from __future__ import annotations

import msgspec

from omni_tui.protocol.base import Command, CommandReply
from omni_tui.protocol.call_stats import PoolDepth
from omni_tui.protocol.text import SafeText
from omni_tui.protocol.values import ServerState


class ToolMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The ended calls of one tool. Times in seconds: mean, and about the middle and the 95th percentile.

    `failed` counts those that did not succeed, also with an unknown outcome. `cached` ones were answered
    from the cache and have no time.
    """

    server: str
    tool: SafeText
    total: int
    failed: int
    cached: int
    mean: float
    p50: float
    p95: float


class ServerMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One server: its state, the milliseconds of its last heartbeat (None: unknown), and its calls."""

    server: str
    state: ServerState
    latency_ms: float | None
    calls: int
    failed: int
    attempts_failed: int
    mean: float


class ModelMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The requests to one model. Times in seconds; `first`: about the middle until something came back.

    `requests` were answered, `failed` were not.
    """

    model: SafeText
    requests: int
    failed: int
    input: int
    output: int
    cached: int
    cost: float
    first: float
    p50: float
    p95: float


class ErrorCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often something failed: `source` is a server, a model or `turn`; `kind` is its kind or state."""

    source: SafeText
    kind: str
    count: int


class MetricsPoint(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What happened in one interval: ended calls, those that failed, requests, tokens, and seconds."""

    calls: int = 0
    failed: int = 0
    requests: int = 0
    tokens: int = 0
    call_s: float = 0.0
    request_s: float = 0.0


class ReadMetrics(Command):
    """Ask for `MetricsRead`."""


class MetricsRead(CommandReply):
    """All metrics. `since` is when counting began, as Unix time; most used first.

    `points` are the last intervals of `interval` seconds each, oldest first, up to now. `turns` counts
    those that ended, by how; `decisions` the calls that a person or a rule decided on, by how; `waited` is
    the mean of the seconds that approved calls waited for the person.
    """

    since: float
    interval: float
    points: tuple[MetricsPoint, ...]
    tools: tuple[ToolMetrics, ...]
    servers: tuple[ServerMetrics, ...]
    models: tuple[ModelMetrics, ...]
    errors: tuple[ErrorCount, ...]
    turns: dict[str, int]
    decisions: dict[str, int]
    waited: float
    cache_entries: int
    cache_hits: int
    pool: PoolDepth
