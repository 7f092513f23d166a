"""Servers that are still on their way: a plan or a turn may want tools that are not known yet."""

from __future__ import annotations

import asyncio
import time

from omni_tui.servers import Registry
from omni_tui.tools import Catalogue

PATIENCE_S = 5.0
"""How long after the start a turn waits for tools; what takes longer is offered in a later step."""
_LOOK_S = 0.05


class Gathering:
    """The coming of the servers of one engine, which begins when this is made."""

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._until = time.monotonic() + PATIENCE_S

    def going_on(self) -> bool:
        """Whether a server is on its way to be connected, or its tools are not listed yet."""
        listed = set(self._catalogue.servers())
        return any(
            server.state == "connecting" or (server.tools and server.name not in listed)
            for server in self._registry.snapshot()
        )

    async def over(self) -> None:
        """Return when what was begun at the start is there; later than `PATIENCE_S` after it, at once."""
        while time.monotonic() < self._until and self.going_on():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
