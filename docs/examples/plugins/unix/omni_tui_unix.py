"""Servers behind a Unix socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from omni_tui.plugins.api import PluginInfo, PluginTransport, TransportTarget, hookimpl

PLUGIN = PluginInfo(api=1, summary="Servers behind a Unix socket")
LONGEST = 16 << 20
"""Bytes of the longest message."""


@contextlib.asynccontextmanager
async def connect(target: TransportTarget) -> AsyncIterator[Any]:
    """Connect to a Unix socket, where each message is a line of JSON."""
    path = target.url.partition("://")[2]
    target.note(f"connecting to the socket {path}")
    stream = await anyio.connect_unix(path)
    inward, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](10)
    to_server, outward = anyio.create_memory_object_stream[SessionMessage](10)

    async def read() -> None:
        data = b""
        async with inward:
            with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError):
                while len(data) <= LONGEST:
                    data += await stream.receive()
                    *lines, data = data.split(b"\n")
                    for line in filter(bytes.strip, lines):
                        try:
                            message = jsonrpc_message_adapter.validate_json(line)
                        except ValueError as error:
                            await inward.send(error)
                        else:
                            await inward.send(SessionMessage(message))

    async def write() -> None:
        async for item in outward:
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            await stream.send(text.encode() + b"\n")

    async with stream, inward, from_server, to_server, outward, anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(write)
        yield from_server, to_server
        tasks.cancel_scope.cancel()


@hookimpl
def omni_transports() -> Sequence[PluginTransport]:
    """Return the transport, for servers with `url = "plugin+unix:///run/my.socket"`."""
    return [PluginTransport(scheme="unix", connect=connect)]
