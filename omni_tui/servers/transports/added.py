"""A server that is reached by the transport of a plugin."""

from __future__ import annotations

from types import TracebackType

from mcp.client._transport import TransportStreams

from omni_tui.config.spec import PLUGIN_PREFIX, ServerSpec
from omni_tui.servers.added_transports import AddedTransports, scheme_of
from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure
from omni_tui.servers.transports.base import Transport, TransportContext


class AddedTransport(Transport):
    """A transport of a plugin, which may have to be loaded first."""

    def __init__(self, spec: ServerSpec, context: TransportContext, added: AddedTransports) -> None:
        self._spec = spec
        self._context = context
        self._added = added
        self._inner: Transport | None = None

    async def __aenter__(self) -> TransportStreams:
        scheme = scheme_of(self._spec)
        maker = await self._added.find(scheme)
        if maker is None:
            what = f"no plugin provides the transport {PLUGIN_PREFIX}{scheme}:"
            todo = "Install or enable one: omni-tui plugins list shows those that are installed."
            raise ConnectionFailed(ConnectionFailure(what, todo, lasting=True))
        self._inner = maker(self._spec, self._context)
        return await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        inner, self._inner = self._inner, None
        return await inner.__aexit__(kind, error, trace) if inner is not None else None

    def failure(self) -> ConnectionFailure | None:
        """Return what the plugin's transport knows of the end of the connection."""
        return self._inner.failure() if self._inner is not None else None
