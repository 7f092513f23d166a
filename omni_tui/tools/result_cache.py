"""Keeps results for a while: of tools that only read, or that the person names.

A call answered from here has passed the gate like any other, sends nothing, and is journalled as
cached. The key holds everything the answer depends on, so a changed definition finds nothing old.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache

from omni_tui.memory import CallRow
from omni_tui.protocol.events import ContentPart
from omni_tui.tools.call_retries import repeatable
from omni_tui.tools.catalogue import Tool
from omni_tui.tools.tool_settings import ToolSettings

ENTRIES = 500
BYTES = 32 * 1024 * 1024
LARGEST = 2 * 1024 * 1024
"""Bytes of one result; a larger one is not kept."""

CacheKey = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A result: the stored bytes, its previews, the words for a model, and when it came (of `clock`)."""

    stored: bytes
    parts: tuple[ContentPart, ...]
    text: str
    at: float

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.stored) + 2 * len(self.text) + sum(len(part.text) for part in self.parts)


@dataclass(frozen=True, slots=True)
class CacheMark:
    """When a call began, as the cache counts. If another call wrote since then, the result is not kept."""

    key: CacheKey
    server: str
    epoch: tuple[int, int]


class ResultCache:
    """The results of one engine. `tool` looks up a tool, `allowed` says whether a server was allowed.

    `clock` counts seconds.
    """

    def __init__(
        self,
        settings: ToolSettings,
        tool: Callable[[str, str], Tool | None],
        allowed: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
        entries: int = ENTRIES,
        size: int = BYTES,
    ) -> None:
        self._settings = settings
        self._tool = tool
        self._allowed = allowed
        self._clock = clock
        self._entries = entries
        self.ttl = settings.section.cache_ttl
        self._kept: TTLCache[CacheKey, CachedResult] = TTLCache(
            size, max(self.ttl, 1e-9), timer=clock, getsizeof=lambda kept: kept.size
        )
        self._epochs: Counter[str] = Counter()
        self._listed: dict[str, Mapping[str, str]] = {}
        self._swept = 0
        self.hits = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keeps(self, server: str, tool: str) -> bool:
        """Whether results of a tool are kept now."""
        found = self._tool(server, tool)
        if not self.ttl or found is None or found.held:
            return False
        said = self._settings.of(server, tool).cacheable
        return said or (found.risk == "read" and repeatable(found, allowed=self._allowed(server)))

    def writes(self, server: str, tool: str) -> bool:
        """Whether a call of a tool may change what others of its server answer."""
        found = self._tool(server, tool)
        return found is None or (found.risk != "read" and not self._settings.of(server, tool).cacheable)

    # --- a call ---------------------------------------------------------------------------------

    def find(self, row: CallRow) -> tuple[CachedResult, float] | None:
        """Return what is kept for an agent's call, and its age in seconds."""
        if row.origin != "agent" or not self.keeps(row.server, row.tool):
            return None
        kept = self._kept.get(_key(row))
        return (kept, self._clock() - kept.at) if kept is not None else None

    def began(self, row: CallRow | None) -> CacheMark | None:
        """Note that a call is sent. Return the mark for keeping its result, None if it may not be kept."""
        if row is None:
            return None
        self.touched(row.server, row.tool)
        if row.origin != "agent" or not self.keeps(row.server, row.tool):
            return None
        return CacheMark(_key(row), row.server, self._epoch(row.server))

    def keep(self, mark: CacheMark | None, stored: bytes, parts: tuple[Any, ...], text: str) -> None:
        """Keep the result of a call, unless another call may have written since it began."""
        if mark is None or self._epoch(mark.server) != mark.epoch:
            return
        kept = CachedResult(stored, parts, text, self._clock())
        if kept.size > min(LARGEST, self._kept.maxsize):
            return
        self._kept[mark.key] = kept
        while len(self._kept) > self._entries:
            self._kept.popitem()

    def touched(self, server: str, tool: str) -> None:
        """Note that a call is sent or has ended. One that may have written empties its server's cache."""
        if self.writes(server, tool):
            self.clear(server)

    def _epoch(self, server: str) -> tuple[int, int]:
        return self._swept, self._epochs[server]

    # --- emptying -------------------------------------------------------------------------------

    def listed(self, server: str, hashes: Mapping[str, str]) -> None:
        """Note a server's tools. If their definitions changed, drop its results."""
        before = self._listed.get(server)
        self._listed[server] = dict(hashes)
        if before is not None and before != self._listed[server]:
            self.clear(server)

    def clear(self, server: str = "") -> int:
        """Empty the cache of one server or of all (""). Return how many results were dropped."""
        if not server:
            dropped = len(self._kept)
            self._swept += 1
            self._kept.clear()
            return dropped
        self._epochs[server] += 1
        gone = [key for key in self._kept if key[0] == server]
        for key in gone:
            self._kept.pop(key, None)
        return len(gone)


def _key(row: CallRow) -> CacheKey:
    return row.server, row.server_fp, row.def_hash, row.tool, row.args_hash
