"""The shape of `[tools]`: limits of calls, and what may be repeated, diverted or kept.

A *pattern* is `server/tool`, each half a name or a glob of `*` and `?`, matched as a whole and by case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from omni_tui.config.patterns import matches_glob

Seconds = Annotated[float, Field(gt=0, le=86_400)]
TaskSeconds = Annotated[float, Field(gt=0, le=30 * 86_400)]


def _pattern(value: str) -> str:
    server, slash, tool = value.partition("/")
    if not (server and slash and tool):
        raise PydanticCustomError(
            "pattern", "must be SERVER/TOOL; * and ? stand for anything, as in files/*"
        )
    return value


def _tool(value: str) -> str:
    if not value:
        raise PydanticCustomError("pattern", "must be the name of a tool, or a pattern of names")
    return value


def _route(servers: list[str]) -> list[str]:
    if len(servers) < 2 or len(set(servers)) != len(servers) or not all(servers):
        raise PydanticCustomError(
            "pattern", "must name two servers or more, each once, the first choice first"
        )
    return servers


def _pin(value: str) -> str:
    server, slash, tool = value.partition("/")
    if not (server and slash and tool):
        raise PydanticCustomError("pin", 'must be "server/tool"')
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
ToolName = Annotated[str, AfterValidator(_tool)]
Route = Annotated[list[str], AfterValidator(_route)]


class LimitSection(BaseModel):
    """`[tools.limits]` for one pattern. `timeout` is seconds without an answer or progress.

    `concurrency` is how many calls of all the tools that the pattern names may run at the same time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    timeout: Seconds | None = None
    concurrency: int | None = Field(default=None, ge=1, le=1000)


class ToolsSection(BaseModel):
    """`[tools]`: limits of calls, and which tools a model is offered.

    `result_limit` is the characters of one result the model gets. Of more than `offered` tools a request
    carries those that fit what was said; `pinned` ones ("server/tool") are always among them.

    `call_timeout` is how long a server may say nothing, of a call that runs as a task too;
    `task_timeout` how long a task may take in all. `concurrency` is how many calls may run at the same
    time, `server_concurrency` how many of one server. `limits` says otherwise for single tools; of the
    patterns that fit one, the longest counts. `retry` says how often calls may be repeated after a
    failure that left nothing behind. `routes` names, by a tool's name, the servers that answer for it,
    in order. Results of tools that only read are kept for `cache_ttl` seconds (0: never), and of those
    that `cacheable` names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    call_timeout: Seconds = 120.0
    task_timeout: TaskSeconds = 86_400.0
    result_limit: int = Field(default=16_000, ge=500, le=1_000_000)
    offered: int = Field(default=40, ge=1, le=126)
    pinned: list[Annotated[str, AfterValidator(_pin)]] = Field(default=[], max_length=100)
    concurrency: int = Field(default=16, ge=1, le=1000)
    server_concurrency: int = Field(default=4, ge=1, le=1000)
    limits: dict[Pattern, LimitSection] = {}
    retry: dict[Pattern, Annotated[int, Field(ge=0, le=10)]] = {}
    routes: dict[ToolName, Route] = {}
    cacheable: list[Pattern] = []
    cache_ttl: float = Field(default=300.0, ge=0, le=86_400)


def unknown_servers(section: ToolsSection, servers: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what names a server that is not configured: the key it stands at, and the name or glob."""
    patterns = [
        *(("tools.pinned", pattern) for pattern in section.pinned),
        *(("tools.limits", pattern) for pattern in section.limits),
        *(("tools.retry", pattern) for pattern in section.retry),
        *(("tools.cacheable", pattern) for pattern in section.cacheable),
    ]
    named = [(where, pattern.partition("/")[0]) for where, pattern in patterns]
    named += [("tools.routes", server) for route in section.routes.values() for server in route]
    for where, server in dict.fromkeys(named):
        if not any(matches_glob(server, name) for name in servers):
            yield where, server
