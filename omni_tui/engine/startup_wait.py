"""Waiting for servers that are still connecting: a turn or a plan may want their tools."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from omni_tui.protocol.events import ServerChanged
from omni_tui.servers import ServerRegistry
from omni_tui.tools.catalogue import Catalogue

PATIENCE_S = 10.0
"""How long a message waits for the tools of servers that are connecting."""
BACK_S = 20.0
"""How long a further attempt of a call waits for its server to be connected again."""
_SOON_S = 2.0
"""A server that failed and is tried again so soon counts as connecting."""
_LOOK_S = 0.05


class StartupWait:
    """Has the turns of one session wait for the servers that are connecting.

    A server is waited for once: after a wait that ended without it, messages are sent without it until
    it has listed its tools.
    """

    def __init__(self, registry: ServerRegistry, catalogue: Catalogue) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._given_up: set[str] = set()
        self._at_once = asyncio.Event()

    def missing(self) -> tuple[str, ...]:
        """Return the servers that are connecting and whose tools are not listed yet."""
        listed = set(self._catalogue.servers())
        self._given_up -= listed
        return tuple(
            server.name for server in self._registry.snapshot() if _is_coming(server, server.name in listed)
        )

    def send_at_once(self) -> None:
        """End the wait."""
        self._at_once.set()

    async def over(self, tell: Callable[[tuple[str, ...], float], None]) -> None:
        """Return when all connecting servers have listed their tools, after `PATIENCE_S` at most.

        `tell` is called with the servers waited for and the end of the wait in Unix seconds whenever
        that changes, and at last with none. Cancelling ends the wait.
        """
        self._at_once.clear()
        until = time.time() + PATIENCE_S
        told: tuple[str, ...] = ()
        deadline = time.monotonic() + PATIENCE_S
        try:
            while (waits := self._waited_for()) and time.monotonic() < deadline:
                if waits != told:
                    told = waits
                    tell(waits, until)
                if self._at_once.is_set():
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._at_once.wait(), _LOOK_S)
            self._given_up.update(waits)
        finally:
            if told:
                tell((), 0.0)

    def _waited_for(self) -> tuple[str, ...]:
        return tuple(name for name in self.missing() if name not in self._given_up)

    async def back(self, server: str, tool: str) -> None:
        """Return when a server that is reconnecting has listed a tool, or does not come back soon."""
        deadline = time.monotonic() + BACK_S
        while self._catalogue.get(server, tool) is None and time.monotonic() < deadline:
            if server not in self.missing():
                return
            await asyncio.sleep(_LOOK_S)


def _is_coming(server: ServerChanged, listed: bool) -> bool:
    if server.state == "connecting":
        return True
    if server.state == "failed":
        return server.next_try is not None and server.next_try - time.time() < _SOON_S
    return bool(server.tools) and not listed
