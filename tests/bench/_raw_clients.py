"""Connected clients of the bare SDK, for `tests.bench.memory`.

`python -m tests.bench._raw_clients COUNT [URL]`: connects and lists COUNT stdio servers, or COUNT times the
server behind URL; writes a line when all are there, and stays until its input ends.
"""

from __future__ import annotations

import asyncio
import sys

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.engine.faults.harness import SERVER


async def one(url: str, ready: asyncio.Semaphore, leave: asyncio.Event) -> None:
    """Connect, list, and wait."""
    parameters = StdioServerParameters(command=sys.executable, args=["-I", "-S", SERVER])
    async with Client(streamable_http_client(url) if url else stdio_client(parameters)) as client:
        await client.list_tools()
        ready.release()
        await leave.wait()


async def main(count: int, url: str) -> None:
    """Connect all, say so, wait for the end of input."""
    ready, leave = asyncio.Semaphore(0), asyncio.Event()
    clients = [asyncio.create_task(one(url, ready, leave)) for _ in range(count)]
    for _ in range(count):
        await ready.acquire()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    leave.set()
    await asyncio.gather(*clients)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
