"""Handlers of the tests' own servers that leave no connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def closing(handle: Handle) -> Handle:
    """Return a handler that drops its connection when it fails or is cancelled.

    A connection that is left open is reported when it is collected, in whichever test runs then.
    """

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except BaseException:
            writer.transport.abort()
            raise

    return run
