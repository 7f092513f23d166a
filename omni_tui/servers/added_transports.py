"""The transports that plugins add, by the scheme of their addresses (`plugin+SCHEME:…`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from omni_tui.config.spec import PLUGIN_PREFIX, ServerSpec

if TYPE_CHECKING:
    from omni_tui.servers.transports.base import Transport, TransportContext

TransportMaker = Callable[["ServerSpec", "TransportContext"], "Transport"]


def scheme_of(spec: ServerSpec) -> str:
    """Return the scheme of an address of a plugin's transport, "" for any other server."""
    head, colon, _ = spec.url.partition(":")
    return head[len(PLUGIN_PREFIX) :].lower() if colon and spec.transport == "plugin" else ""


class AddedTransports:
    """What plugins added. `complete` is set once every enabled plugin is loaded, or cannot be."""

    def __init__(self) -> None:
        self.complete = asyncio.Event()
        self._makers: dict[str, TransportMaker] = {}

    def add(self, scheme: str, maker: TransportMaker) -> None:
        """Add a transport. Raises `ValueError` if there is one for its scheme."""
        if scheme in self._makers:
            raise ValueError(f"another plugin has a transport for {PLUGIN_PREFIX}{scheme}:")
        self._makers[scheme] = maker

    def remove(self, scheme: str) -> None:
        """Remove a transport. Connections that use it stay until they end."""
        self._makers.pop(scheme, None)

    async def find(self, scheme: str) -> TransportMaker | None:
        """Return a transport, None if there is none; waits until the plugins are loaded."""
        if scheme not in self._makers:
            await self.complete.wait()
        return self._makers.get(scheme)
