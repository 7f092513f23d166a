"""A transport of a plugin: every failure of it is one of its server's connection."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from mcp.client._transport import TransportStreams

from omni_tui.config.spec import PLUGIN_PREFIX, ServerSpec
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.transports.base import Transport, TransportContext

if TYPE_CHECKING:
    from omni_tui.plugins.api import PluginTransport

logger = logging.getLogger(__name__)

_LEAVE_S = 3.0


class GuardedTransport(Transport):
    """Connects with a plugin's transport, and leaves it within three seconds."""

    def __init__(
        self, plugin: str, provided: PluginTransport, spec: ServerSpec, context: TransportContext
    ) -> None:
        self._plugin = plugin
        self._provided = provided
        self._spec = spec
        self._context = context
        self._inner: AbstractAsyncContextManager[TransportStreams] | None = None

    async def __aenter__(self) -> TransportStreams:
        from omni_tui.plugins.api import TransportTarget

        target = TransportTarget(
            url=self._spec.url[len(PLUGIN_PREFIX) :],
            headers=dict(self._spec.headers),
            note=self._context.log.note,
        )
        try:
            self._inner = self._provided.connect(target)
            return await self._inner.__aenter__()
        except (Exception, SystemExit) as error:
            logger.info("the transport of plugin %s failed", self._plugin, exc_info=True)
            what = f"the transport of the plugin {self._plugin} failed: {type(error).__name__}: {error}"
            todo = "Check the address, and that the server runs."
            raise ConnectionFailed(ConnectionFailure(self._context.hide(what), todo)) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._inner is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._inner.__aexit__(kind, error, trace)
        except (Exception, SystemExit):
            logger.warning("the transport of plugin %s did not end well", self._plugin, exc_info=True)
