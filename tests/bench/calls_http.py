"""What our connections cost over HTTP, and in memory: `python -m tests.bench.calls_http [ROUNDS]`.

Calls one after the other and sixteen at a time to a real server of the SDK, in the modern protocol and
in the older one, each beside the bare SDK's client on the same server, interleaved. Memory is what the
process grows by per connected stdio server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import Dispatch
from omni_tui.servers.tap import canonical
from tests.engine.faults.harness import Harness, connected, fault

MODERN = Path(__file__).parents[1] / "engine" / "faults" / "modern.py"
ARGUMENTS = {"value": {"text": "hello", "number": 7}}
CALLS = 100
AT_ONCE = 16
FLEET = 30
Mode = Literal["auto", "legacy"]
Call = Callable[[], Awaitable[object]]


@contextlib.contextmanager
def web_server() -> Iterator[str]:
    """Run a server of the SDK; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, str(MODERN), str(port)], stdout=quiet, stderr=quiet)
    try:
        while not _listens(port):
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def one_by_one(call: Call) -> list[float]:
    """Return the milliseconds of each of many calls, one after the other."""
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        await call()
        times.append((time.perf_counter() - begun) * 1000)
    return times


async def at_once(call: Call) -> float:
    """Return calls per second with sixteen on their way at any time."""
    begun = time.perf_counter()

    async def some() -> None:
        for _ in range(CALLS // AT_ONCE):
            await call()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return AT_ONCE * (CALLS // AT_ONCE) / (time.perf_counter() - begun)


def _row(name: str, times: list[float], rates: list[float]) -> str:
    p95 = statistics.quantiles(times, n=20)[18]
    return (
        f"  {name:9} median {statistics.median(times):6.2f}  p95 {p95:6.2f} ms"
        f"   {statistics.median(rates):5.0f} calls a second, {AT_ONCE} at a time"
    )


async def compare(url: str, mode: Mode, rounds: int, folder: Path) -> None:
    """Print our calls beside the SDK's, in one protocol era."""
    spec = ServerSpec(name="web", url=url, mode=mode)
    async with connected(folder, spec) as servers:
        await servers.reach("web", "idle")
        async with Client(streamable_http_client(url), mode=mode) as client:
            await client.list_tools()
            print(f"calls over HTTP, protocol {client.protocol_version}")
            connection, exact = servers.registry.get("web"), canonical(ARGUMENTS)

            async def ours() -> object:
                return await connection.call_tool(Dispatch("c", 1, "web", "echo", exact), timeout=30)

            async def raw() -> object:
                return await client.call_tool("echo", ARGUMENTS)

            calls: dict[str, Call] = {"ours": ours, "bare SDK": raw}
            times: dict[str, list[float]] = {name: [] for name in calls}
            rates: dict[str, list[float]] = {name: [] for name in calls}
            for _ in range(rounds):
                for name, call in calls.items():
                    times[name] += await one_by_one(call)
                    rates[name].append(await at_once(call))
    for name in calls:
        print(_row(name, times[name], rates[name]))
    own, control = (statistics.median(times[name]) for name in calls)
    print(f"  own overhead {own - control:+.2f} ms, ratio {own / control:.2f}")


def resident() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def memory(folder: Path) -> None:
    """Print what a connected server costs in memory, the first one apart."""

    async def grown(servers: Harness, count: int) -> float:
        for number in range(count):
            servers.registry.add(fault(name=f"{count}-{number}"))
        for number in range(count):
            await servers.reach(f"{count}-{number}", "idle")
        return resident()

    async with connected(folder) as servers:
        first = await grown(servers, 1)
        some = await grown(servers, FLEET)
    print(f"memory per connected stdio server: {(some - first) / FLEET:.2f} MB")


async def main(rounds: int) -> None:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder:
        await memory(Path(folder))
        with web_server() as url:
            await compare(url, "auto", rounds, Path(folder))
            await compare(url, "legacy", rounds, Path(folder))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
