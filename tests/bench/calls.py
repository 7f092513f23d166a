"""What a call by hand costs on top of the raw SDK: `python -m tests.bench.calls [CALLS]`.

Measured from the engine's command to its result event, journal on disk, against the same server
called through the bare SDK client, interleaved. The disk's own flush is measured apart: a call
needs two.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from omni_tui.protocol import JsonText
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.engine.rig import Rig, rig

ARGUMENTS = JsonText('{"a":1,"b":2}')


async def ours(running: Rig) -> float:
    """Return the milliseconds from the command to the result event of one call."""
    before = len(running.seen)
    started = time.perf_counter()
    running.link.send(c.CallTool(server="demo", tool="add", arguments_json=ARGUMENTS))
    await running.until(e.CallFinished, after=before)
    return (time.perf_counter() - started) * 1000


async def raw(client: Client) -> float:
    """Return the milliseconds of one call through the SDK alone."""
    started = time.perf_counter()
    await client.call_tool("add", {"a": 1, "b": 2})
    return (time.perf_counter() - started) * 1000


def flush(folder: Path, count: int = 60) -> float:
    """Return the median milliseconds of appending 4 KiB to a file and flushing it to the disk."""
    times = []
    descriptor = os.open(folder / "flush", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for _ in range(count):
            started = time.perf_counter()
            os.write(descriptor, b"x" * 4096)
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - started) * 1000)
    finally:
        os.close(descriptor)
    return statistics.median(times)


def line(name: str, times: list[float]) -> str:
    """Return a row with median, p95 and p99 in milliseconds."""
    ordered = sorted(times)
    p95, p99 = (ordered[int(len(ordered) * share) - 1] for share in (0.95, 0.99))
    return f"{name:34} median {statistics.median(times):6.2f}   p95 {p95:6.2f}   p99 {p99:6.2f} ms"


async def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes = folder / "raw"
        notes.mkdir()
        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "omni_tui.demo.server", str(notes)], cwd=os.getcwd()
        )
        async with rig(folder) as running, Client(stdio_client(parameters)) as client:
            await running.connected()
            await client.list_tools()
            for _ in range(20):
                await ours(running)
                await raw(client)
            mine, theirs = [], []
            for _ in range(count):
                mine.append(await ours(running))
                theirs.append(await raw(client))
        disk = flush(folder)
    overhead = statistics.median(mine) - statistics.median(theirs)
    budget = 1.5 + 2 * disk
    print(line("call by hand, command to result", mine))
    print(line("raw SDK call_tool", theirs))
    print(f"{'one flush of this disk':34} median {disk:6.2f} ms")
    print(
        f"own overhead {overhead:.2f} ms, of which two flushes are {2 * disk:.2f}; "
        f"budget {budget:.2f} ms ({overhead / budget:.2f} of it)"
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
