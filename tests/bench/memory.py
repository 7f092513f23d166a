"""What a connected server costs in memory: `python -m tests.bench.memory [ROUNDS]`.

The proportional set size (PSS) of the engine's process with 0, 10 and 30 connected servers, over stdio
and over HTTP, beside a process that holds as many clients of the bare SDK. The servers' own processes
are not counted. Per server is the growth from 10 to 30, which leaves out what the first one loads.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from omni_tui.links import start_engine
from omni_tui.protocol import LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.bench.calls_http import web_server
from tests.engine.faults.harness import SERVER

COUNTS = (0, 10, 30)


def pss(pid: int) -> float:
    """Return the proportional set size of a process in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError("no Pss line")


async def of_engine(count: int, url: str) -> float:
    """Return the MB of an engine with that many servers connected and listed."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "config.toml"
        arguments = json.dumps(["-I", "-S", SERVER])
        where = f"url = {json.dumps(url)}" if url else f'command = "{sys.executable}"\nargs = {arguments}'
        config.write_text("".join(f"[servers.s{number}]\n{where}\n" for number in range(count)))
        options = LaunchOptions(config=str(config), state_dir=str(Path(name) / "state"), resume="new")
        link = await start_engine(options)
        link.send(c.Hello(client="bench", request=0))
        pid, waiting = 0, {f"s{number}" for number in range(count)}
        async for event in link.events():
            if isinstance(event, e.EngineReady):
                pid = event.pid
            elif isinstance(event, e.ToolsListed) and event.last:
                waiting.discard(event.server)
            if pid and not waiting:
                break
        await asyncio.sleep(1.0)  # what is told after the tools
        size = pss(pid)
        await link.close()
    return size


def of_sdk(count: int, url: str) -> float:
    """Return the MB of a process with that many clients of the bare SDK."""
    command = [sys.executable, "-m", "tests.bench._raw_clients", str(count), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        size = pss(process.pid)
        process.stdin.close()
    return size


async def compare(kind: str, url: str, rounds: int) -> None:
    """Print what servers of one kind cost, ours beside the SDK's."""
    ours: dict[int, list[float]] = defaultdict(list)
    raw: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for count in COUNTS:
            ours[count].append(await of_engine(count, url))
            raw[count].append(await asyncio.to_thread(of_sdk, count, url))
    each = {}
    for name, found in (("engine", ours), ("bare SDK", raw)):
        sizes = [statistics.median(found[count]) for count in COUNTS]
        each[name] = (sizes[-1] - sizes[-2]) / (COUNTS[-1] - COUNTS[-2])
        shown = "   ".join(f"{count}: {size:6.1f}" for count, size in zip(COUNTS, sizes, strict=True))
        print(f"{kind:5} {name:9} MB with {shown}   per server {each[name]:.2f} MB")
    print(f"{kind:5} per server, ratio {each['engine'] / each['bare SDK']:.2f}")


async def main(rounds: int) -> None:
    """Measure both transports."""
    await compare("stdio", "", rounds)
    with web_server() as url:
        await compare("HTTP", url, rounds)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
