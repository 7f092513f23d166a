"""What a call by hand costs on top of the raw SDK: `python -m tests.bench.calls [CALLS]`.

Measured from the engine's command to its result event, engine in its own process, journal on disk,
against the same server called through the bare SDK client, interleaved. The disk's own flush is
measured apart, between the calls: a call needs two.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from omni_tui.links import start_engine
from omni_tui.protocol import AnyEvent, JsonText, LaunchOptions, Link
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e

ARGUMENTS = JsonText('{"a":1,"b":2}')
SERVER = ["-m", "omni_tui.demo.server"]


async def started(folder: Path) -> tuple[Link, AsyncIterator[AnyEvent]]:
    """Start an engine process with the demo's server and wait until its tools are known."""
    (folder / "notes").mkdir()
    arguments = json.dumps([*SERVER, str(folder / "notes")])
    config = folder / "config.toml"
    config.write_text(f"[servers.demo]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n")
    link = await start_engine(
        LaunchOptions(config=str(config), state_dir=str(folder / "state"), resume="new")
    )
    events = link.events()
    link.send(c.Hello(client="bench", request=0))
    async for event in events:
        if isinstance(event, e.ToolsListed) and event.tools:
            break
    return link, events


async def ours(link: Link, events: AsyncIterator[AnyEvent]) -> float:
    """Return the milliseconds from the command to the result event of one call."""
    started = time.perf_counter()
    link.send(c.CallTool(server="demo", tool="add", arguments_json=ARGUMENTS))
    async for event in events:
        if isinstance(event, e.CallFinished):
            break
    return (time.perf_counter() - started) * 1000


async def raw(client: Client) -> float:
    """Return the milliseconds of one call through the SDK alone."""
    started = time.perf_counter()
    await client.call_tool("add", {"a": 1, "b": 2})
    return (time.perf_counter() - started) * 1000


def flush(descriptor: int) -> float:
    """Return the milliseconds of appending 4 KiB to a file and flushing it to the disk."""
    started = time.perf_counter()
    os.write(descriptor, b"x" * 4096)
    os.fdatasync(descriptor)
    return (time.perf_counter() - started) * 1000


def line(name: str, times: list[float]) -> str:
    """Return a row with median, p95 and p99 in milliseconds."""
    ordered = sorted(times)
    p95, p99 = (ordered[int(len(ordered) * share) - 1] for share in (0.95, 0.99))
    return f"{name:34} median {statistics.median(times):6.2f}   p95 {p95:6.2f}   p99 {p99:6.2f} ms"


async def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        parameters = StdioServerParameters(
            command=sys.executable, args=[*SERVER, str(folder / "raw")], cwd=os.getcwd()
        )
        link, events = await started(folder)
        async with Client(stdio_client(parameters)) as client:
            await client.list_tools()
            for _ in range(20):
                await ours(link, events)
                await raw(client)
            mine, theirs, flushes = [], [], []
            descriptor = os.open(folder / "flush", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for _ in range(count):
                mine.append(await ours(link, events))
                theirs.append(await raw(client))
                # Between the calls, because a disk that is asked without a pause answers faster.
                flushes.append(flush(descriptor))
            os.close(descriptor)
        await link.close()
    disk = statistics.median(flushes)
    overhead = statistics.median(mine) - statistics.median(theirs)
    budget = 1.5 + 2 * disk
    print(line("call by hand, command to result", mine))
    print(line("raw SDK call_tool", theirs))
    print(line("one flush of this disk", flushes))
    print(
        f"own overhead {overhead:.2f} ms, of which two flushes are {2 * disk:.2f}; "
        f"budget {budget:.2f} ms ({overhead / budget:.2f} of it)"
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
