"""A server of a plugin, in a thread with a loop of its own: one that blocks keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.client._memory import InMemoryTransport
from mcp.client._transport import TransportStreams
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage

from omni_tui.servers.connection_failure import ConnectionFailed, ConnectionFailure

logger = logging.getLogger(__name__)

_WAITING = 1_000
"""Messages that may wait to be read: a server that sends more at once is disconnected."""
_START_S = 10.0
_STOP_S = 1.0


@dataclass(frozen=True, slots=True)
class ThreadedServer:
    """A server to run in a thread. `name` tells it from one of the same name of another plugin."""

    name: str
    server: Server[Any] | MCPServer


class ServerThread:
    """Runs a `ThreadedServer` while it is entered."""

    def __init__(self, threaded: ThreadedServer) -> None:
        self._threaded = threaded
        self._ended = asyncio.Event()
        self._started = asyncio.Event()
        self._here = asyncio.get_running_loop()
        self._there: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._inbox: asyncio.Queue[SessionMessage] | None = None

    async def __aenter__(self) -> TransportStreams:
        """Start the thread. Raises `ConnectionFailed` if the server does not start."""
        self._arrives, self._from_server = anyio.create_memory_object_stream[SessionMessage | Exception](
            _WAITING
        )
        self._to_server, self._leaves = anyio.create_memory_object_stream[SessionMessage](0)
        threading.Thread(target=self._run, name=f"plugin {self._threaded.name}", daemon=True).start()
        waits = [asyncio.create_task(event.wait()) for event in (self._started, self._ended)]
        await asyncio.wait(waits, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        self._pump = asyncio.create_task(self._forward(), name=f"to plugin {self._threaded.name}")
        if not self._started.is_set():
            await self._stop()
            what = "it did not start in its thread"
            raise ConnectionFailed(ConnectionFailure(what, "The plugin that provides it is at fault."))
        return self._from_server, self._to_server

    async def __aexit__(self, *_: object) -> None:
        """End the server; a thread that does not end within a second is left behind."""
        await self._stop()

    async def _stop(self) -> None:
        self._pump.cancel()
        if self._serving is not None:
            self._in_thread(self._serving.cancel)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _STOP_S)
        if not self._ended.is_set():
            logger.warning("the thread of %s does not end and is left behind", self._threaded.name)
        for stream in (self._arrives, self._from_server, self._to_server, self._leaves):
            stream.close()

    async def _forward(self) -> None:
        async for message in self._leaves:
            if self._inbox is not None:
                self._in_thread(self._inbox.put_nowait, message)

    def _in_thread(self, act: Any, *given: object) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended
            if self._there is not None:
                self._there.call_soon_threadsafe(act, *given)

    def _arrived(self, message: SessionMessage | Exception) -> None:
        try:
            self._arrives.send_nowait(message)
        except anyio.WouldBlock:
            logger.warning("%s sends more than is read; it is disconnected", self._threaded.name)
            self._arrives.close()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass  # it was disconnected meanwhile

    def _over(self) -> None:
        self._ended.set()
        self._arrives.close()

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            pass  # it was told to end
        except Exception:
            logger.info("the server of plugin %s has ended", self._threaded.name, exc_info=True)
        finally:
            with contextlib.suppress(RuntimeError):
                self._here.call_soon_threadsafe(self._over)

    async def _serve(self) -> None:
        self._there, self._serving = asyncio.get_running_loop(), asyncio.current_task()
        inbox: asyncio.Queue[SessionMessage] = asyncio.Queue()
        self._inbox = inbox
        async with InMemoryTransport(self._threaded.server) as (read, write):
            self._here.call_soon_threadsafe(self._started.set)
            sending = asyncio.create_task(_send_all(inbox, write))
            try:
                async for message in read:
                    self._here.call_soon_threadsafe(self._arrived, message)
            finally:
                sending.cancel()


async def _send_all(inbox: asyncio.Queue[SessionMessage], write: Any) -> None:
    while True:
        await write.send(await inbox.get())
