"""Resource subscriptions that outlive a reconnection, as each era of the protocol has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import mcp_types as types
from mcp.client.client import Client
from mcp.client.subscriptions import ListenNotSupportedError, ResourceUpdated, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from omni_tui.resilience.backoff import Backoff
from omni_tui.servers.listener import ServerListener, notify
from omni_tui.servers.prompt_resource_client import PromptResourceClient
from omni_tui.servers.prompt_resource_types import PromptResourceError

_log = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS = 100
PAUSE_S = 0.5
"""Seconds between two reports of changes; several changes of a resource in it are reported once."""


class ResourceSubscriptions:
    """The subscribed resources of one server.

    `wanted` outlives this connection. Changes are reported to the listener, each resource at most once
    per `PAUSE_S`.
    """

    def __init__(self, server: str, wanted: dict[str, None], listener: ServerListener) -> None:
        self._server = server
        self._wanted = wanted
        self._listener = listener
        self._client: Client | None = None
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._honored: frozenset[str] = frozenset()
        self._news: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._refused = ""

    async def run(self, client: Client, timeout: float) -> None:
        """Keep the wanted subscriptions until cancelled."""
        self._client = client
        try:
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                await self._stream(client, timeout)
            else:
                await self._subscribe_again(PromptResourceClient(client), timeout)
                await asyncio.Event().wait()
        finally:
            self._client = None
            if self._timer is not None:
                self._timer.cancel()
            self._settled.set()

    async def change(self, uri: str, on: bool, timeout: float) -> None:
        """Subscribe to a resource or unsubscribe. Raises `PromptResourceError` if the server refuses."""
        client = self._client
        if client is None:
            raise PromptResourceError("it is not connected", "Reconnect it, then try again.")
        if on and uri not in self._wanted and len(self._wanted) >= MAX_SUBSCRIPTIONS:
            raise PromptResourceError(f"{MAX_SUBSCRIPTIONS} of its resources are subscribed already")
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            await PromptResourceClient(client).subscribe(uri, on, timeout)
            self._want(uri, on)
            return
        self._want(uri, on)
        self._settled.clear()
        self._changed.set()
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            self._refused = f"it did not answer subscriptions/listen within {timeout:g} s"
        if on and uri not in self._honored:
            self._want(uri, on=False)
            self._changed.set()
            raise PromptResourceError(self._refused or "it does not tell of changes of this resource")

    def _want(self, uri: str, on: bool) -> None:
        if on:
            self._wanted[uri] = None
        else:
            self._wanted.pop(uri, None)

    def updated(self, uri: str) -> None:
        """Note that a resource has changed, which may be a part of a subscribed one."""
        above = (one for one in self._wanted if uri.startswith(one))
        found = uri if uri in self._wanted else next(above, "")
        if found:
            self._news[found] = None
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._report)

    def _report(self) -> None:
        self._timer = None
        news, self._news = list(self._news), {}
        for uri in news:
            if uri in self._wanted:
                notify(self._listener.resource_updated, self._server, uri)

    # --- handshake versions

    async def _subscribe_again(self, client: PromptResourceClient, timeout: float) -> None:
        """Subscribe again after a reconnection; report all as changed, since any may have."""
        for uri in list(self._wanted):
            try:
                await client.subscribe(uri, on=True, timeout=timeout)
            except PromptResourceError as error:
                _log.info("a resource could not be subscribed again: %s", error)
                self._wanted.pop(uri, None)
            else:
                self.updated(uri)

    # --- the stateless version

    async def _stream(self, client: Client, timeout: float) -> None:
        """Keep a stream open for what is wanted; open another when that changes or the stream ends."""
        backoff, first = Backoff(1.0, 60.0), True
        while True:
            self._changed.clear()
            if not self._wanted:
                self._honored = frozenset()
                self._settled.set()
                await self._changed.wait()
                continue
            reading = asyncio.create_task(self._listen(client, tuple(self._wanted), timeout, first))
            waiting = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait((reading, waiting), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, waiting):
                    task.cancel()
                await asyncio.gather(reading, waiting, return_exceptions=True)
            if self._changed.is_set():
                backoff.reset()
                first = True
                continue
            self._settled.set()
            first = False
            await asyncio.sleep(backoff.next_delay())

    async def _listen(self, client: Client, uris: Iterable[str], timeout: float, first: bool) -> None:
        try:
            stream = client.listen(resource_subscriptions=tuple(uris))
            async with asyncio.timeout(timeout) as deadline, stream as events:
                deadline.reschedule(None)
                self._refused = ""
                self._honored = frozenset(events.honored.resource_subscriptions or ())
                self._settled.set()
                for uri in () if first else uris:
                    self.updated(uri)
                async for event in events:
                    if isinstance(event, ResourceUpdated):
                        self.updated(event.uri)
        except (ListenNotSupportedError, SubscriptionLost, TimeoutError) as error:
            self._failed(str(error) or "it did not answer subscriptions/listen")
        except MCPError as error:
            unknown = error.code == types.METHOD_NOT_FOUND
            self._failed("it does not tell of changes" if unknown else error.message[:1000])

    def _failed(self, why: str) -> None:
        _log.info("subscribing to resources failed: %s", why)
        self._honored, self._refused = frozenset(), why
