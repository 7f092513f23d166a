"""What our servers cost over the bare SDK: `python -m tests.bench.servers [ROUNDS]`.

Each figure is the median of interleaved rounds, beside its control of the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import Event
from omni_tui.protocol.events import ServerChanged
from omni_tui.servers import Dispatch, Processes, PromptsAndResources, ServerRegistry, ToolDefinition
from omni_tui.servers.server_request_types import ServerRequest, ServerRequestAnswer
from omni_tui.servers.tap import canonical

ROW = {"id": 1, "name": "some name here", "tags": ["a", "b"], "value": 1.5, "none": None}
SERVER = str(Path(__file__).parent.parent / "engine" / "faults" / "server.py")
COUNT = 30
CALLS = 300


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _raw_client(
    ready: Callable[[], None], leave: asyncio.Event, use: Callable[[Client], Awaitable[None]]
) -> None:
    """Connect and list with nothing but the SDK, in a task of its own, as one must."""
    parameters = StdioServerParameters(command=sys.executable, args=["-I", "-S", SERVER])
    async with Client(stdio_client(parameters)) as client:
        await client.list_tools()
        await use(client)
        ready()
        await leave.wait()


async def _nothing(client: Client) -> None:
    return None


async def connect_raw(count: int) -> float:
    """Return the seconds until `count` servers are connected and listed by the SDK, gathered."""
    done, leave = asyncio.Semaphore(0), asyncio.Event()
    begun = time.perf_counter()
    owners = [asyncio.create_task(_raw_client(done.release, leave, _nothing)) for _ in range(count)]
    for _ in range(count):
        await done.acquire()
    took = time.perf_counter() - begun
    leave.set()
    await asyncio.gather(*owners)
    return took


class _Ours:
    """A registry of `count` tiny servers, and the moment when all are connected."""

    def __init__(self, folder: Path, count: int) -> None:
        self._processes = Processes(folder, f"bench-{time.monotonic_ns()}")
        self._waiting = {f"s{number}" for number in range(count)}
        self._all = asyncio.Event()
        self.registry = ServerRegistry(
            authority=lambda dispatch: True,
            processes=self._processes,
            listener=self,
        )
        for name in sorted(self._waiting):
            self.registry.add(ServerSpec(name=name, command=sys.executable, args=("-I", "-S", SERVER)))

    @property
    def answers_requests(self) -> bool:
        return False

    def tools_listed(self, server: str, tools: list[ToolDefinition]) -> None:
        pass

    def prompts_and_resources_listed(self, server: str, lists: PromptsAndResources) -> None:
        pass

    def tools_gone(self, server: str) -> None:
        pass

    def resource_updated(self, server: str, uri: str) -> None:
        pass

    def log_written(self, server: str, lines: list[bytes | None]) -> None:
        pass

    async def server_request(self, request: ServerRequest) -> ServerRequestAnswer:
        raise AssertionError("these servers request nothing")

    async def input_round(self, dispatch: Dispatch, number: int, methods: tuple[str, ...]) -> None:
        raise AssertionError("these servers request nothing")

    def server_changed(self, event: Event) -> None:
        if isinstance(event, ServerChanged) and event.state in ("idle", "active"):
            self._waiting.discard(event.name)
            if not self._waiting:
                self._all.set()

    async def connect(self) -> float:
        begun = time.perf_counter()
        await self.registry.start()
        await self._all.wait()
        return time.perf_counter() - begun

    async def close(self) -> float:
        begun = time.perf_counter()
        await self.registry.stop()
        took = time.perf_counter() - begun
        self._processes.close()
        return took


async def connect_ours(folder: Path, count: int) -> tuple[float, float]:
    """Return the seconds until `count` servers are connected and listed by us, and to end them."""
    ours = _Ours(folder, count)
    took = await ours.connect()
    return took, await ours.close()


async def measure_connect(folder: Path, rounds: int) -> float:
    """Print how long 30 servers take, ours against the SDK gathered; return the ratio of the medians."""
    await connect_ours(folder, 1)
    raw, ours, ends = [], [], []
    for _ in range(rounds):
        raw.append(await connect_raw(COUNT))
        took, end = await connect_ours(folder, COUNT)
        ours.append(took)
        ends.append(end)
    ratio = statistics.median(ours) / statistics.median(raw)
    _say(
        f"{COUNT} servers connected and listed: {statistics.median(ours):.3f} s"
        f" (SDK gathered {statistics.median(raw):.3f} s), ratio {ratio:.2f}, target <= 1.30;"
        f" ended in {statistics.median(ends):.3f} s"
    )
    return ratio


async def _time_calls(call: Callable[[int], Awaitable[object]], rounds: int) -> list[float]:
    times = []
    for number in range(rounds):
        begun = time.perf_counter()
        await call(number)
        times.append((time.perf_counter() - begun) * 1000)
    return times


async def measure_calls(folder: Path, rounds: int) -> float:
    """Print the time of a call, ours against `client.call_tool`; return our own overhead in ms (median)."""
    arguments = {"text": "hello", "number": 7, "list": [1, 2, {"a": None}]}
    exact = canonical(arguments)
    ours = _Ours(folder, 1)
    await ours.connect()
    connection = ours.registry.get("s0")
    raw_times: list[float] = []
    our_times: list[float] = []

    async def our_call(number: int) -> object:
        return await connection.call_tool(Dispatch(f"c{number}", 1, "s0", "echo", exact), timeout=10)

    async def compare(client: Client) -> None:
        for _ in range(rounds):
            raw_times.extend(await _time_calls(lambda _: client.call_tool("echo", arguments), CALLS))
            our_times.extend(await _time_calls(our_call, CALLS))

    leave = asyncio.Event()
    await _raw_client(leave.set, leave, compare)
    await ours.close()
    raw, own = statistics.median(raw_times), statistics.median(our_times)
    p99 = statistics.quantiles(our_times, n=100)[98]
    _say(
        f"a call: {own:.3f} ms, p99 {p99:.3f}"
        f" (SDK {raw:.3f} ms, p99 {statistics.quantiles(raw_times, n=100)[98]:.3f}),"
        f" own overhead {own - raw:+.3f} ms, ratio {own / raw:.2f}, target <= +1.5 ms"
    )
    return own - raw


async def longest_gap(work: Awaitable[object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the longest time in ms for which the loop did not turn while `work` was done.

    With `time.thread_time` for a clock it is how long the loop itself worked, however busy the machine is.
    """
    worst, stop = 0.0, False

    async def tick() -> None:
        nonlocal worst
        last = clock()
        while not stop:
            await asyncio.sleep(0.001)
            now = clock()
            worst, last = max(worst, now - last), now

    ticker = asyncio.create_task(tick())
    await work
    stop = True
    await ticker
    return worst * 1000


async def measure_gaps(folder: Path) -> None:
    """Print the longest gap of the loop while large results arrive."""
    ours = _Ours(folder, 1)
    await ours.connect()
    connection = ours.registry.get("s0")
    for megabytes in (1, 5, 14):
        size = megabytes * 1_000_000
        for what, tool, arguments in (
            ("structured result", "rows", {"count": size // len(json.dumps(ROW))}),
            ("text result", "big", {"size": size}),
        ):
            dispatch = Dispatch("c", 1, "s0", tool, canonical(arguments))
            begun = time.perf_counter()
            gap = await longest_gap(connection.call_tool(dispatch, timeout=60))
            took = time.perf_counter() - begun
            _say(f"{megabytes:2} MB {what}: {took:.2f} s, longest gap {gap:.0f} ms, target <= 250 ms")
    await ours.close()


async def main(rounds: int) -> None:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        await measure_connect(Path(folder), rounds)
        await measure_calls(Path(folder), min(rounds, 5))
        await measure_gaps(Path(folder))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
