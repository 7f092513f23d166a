"""How fast a run stops: `python -m tests.bench.stop [ROUNDS]`.

An engine in its own process, its model a provider on loopback through the real LiteLLM. Measured from
`StopRun` to `TurnEnded`, and to the moment the provider sees its connection closed, while it says
nothing yet, while it streams, while a tool works, and while a call waits for the person. The control is
a round trip of a command that does nothing else. Budget: 200 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from omni_tui.links import start_engine
from omni_tui.protocol import AnyEvent, LaunchOptions, Link, Mode
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.call_stats import ReadStats, StatsRead
from tests.wire.litellm_fixtures import DONE, chunk

BUDGET_MS = 200
LIMIT_S = 60.0
SERVER = ["-m", "omni_tui.demo.server"]
WAYS = {
    "silent": "the provider says nothing yet",
    "stream": "the provider streams",
    "tool": "a tool works",
    "card": "a call waits for the person",
}


class Provider:
    """Answers every request in the `way` that is set, without an end; says when it is hung up on."""

    def __init__(self) -> None:
        self.way = "stream"
        self.began = asyncio.Event()
        self.gone: asyncio.Queue[float] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        lengths = [line for line in head.splitlines() if line.startswith("content-length")]
        await reader.readexactly(int(lengths[0].partition(":")[2]))
        self.began.set()
        talking = asyncio.ensure_future(self._talk(writer))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.gone.put_nowait(time.perf_counter())
        talking.cancel()
        writer.close()

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        if self.way == "silent":
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        if self.way in ("tool", "card"):
            name, arguments = ("slow_count", '{"to": 1000}')
            function = {"name": f"demo__{name}", "arguments": arguments}
            call = {"index": 0, "id": f"c{time.monotonic_ns()}", "type": "function", "function": function}
            pieces = [chunk({"tool_calls": [call]}), chunk({}, "tool_calls"), DONE]
            writer.write(b"".join(pieces))
            writer.write_eof()
            return
        while True:
            writer.write(chunk({"content": "word "}))
            await writer.drain()
            await asyncio.sleep(0.01)


async def next_one(events: AsyncIterator[AnyEvent], found: Callable[[AnyEvent], bool]) -> float:
    """Return when an event came that fits."""
    async with asyncio.timeout(LIMIT_S):
        async for event in events:
            if found(event):
                return time.perf_counter()
    raise AssertionError("the engine is gone")


def under_way(way: str) -> Callable[[AnyEvent], bool]:
    """Return what tells that a turn is where it is to be stopped."""

    def fits(event: AnyEvent) -> bool:
        if way == "stream":
            return isinstance(event, e.AnswerDelta)
        if way == "tool":
            return isinstance(event, e.CallProgress)
        return isinstance(event, e.ApprovalRequested)

    return fits


class Stage:
    """An engine, its events, and the provider behind it."""

    def __init__(self, link: Link, events: AsyncIterator[AnyEvent], provider: Provider) -> None:
        self._link = link
        self._events = events
        self._provider = provider

    async def idle(self) -> float:
        """Return the milliseconds that a command takes which only reads."""
        began = time.perf_counter()
        self._link.send(ReadStats())
        return (await next_one(self._events, lambda event: isinstance(event, StatsRead)) - began) * 1000

    async def stop(self, way: str) -> tuple[float, float | None]:
        """Stop a turn; return the milliseconds to its end, and to the end of its request if one ran."""
        provider, link = self._provider, self._link
        mode: Mode = "auto" if way == "tool" else "chat"
        link.send(c.SetMode(mode=mode))
        provider.way = way
        provider.began.clear()
        while not provider.gone.empty():
            provider.gone.get_nowait()
        link.send(c.SendMessage(text="go"))
        if way == "silent":
            await asyncio.wait_for(provider.began.wait(), LIMIT_S)
        else:
            await next_one(self._events, under_way(way))
        began = time.perf_counter()
        link.send(c.StopRun())
        ended = await next_one(self._events, lambda event: isinstance(event, e.TurnEnded))
        if way in ("tool", "card"):
            return (ended - began) * 1000, None
        closed = await asyncio.wait_for(provider.gone.get(), LIMIT_S)
        return (ended - began) * 1000, (closed - began) * 1000


async def measure(folder: Path, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the milliseconds until the turn ends, by way (and "idle"), and until the provider knows."""
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (folder / "notes").mkdir()
    config = folder / "config.toml"
    config.write_text(
        f'[model]\nname = "openai/gpt-4o"\napi_base = "http://127.0.0.1:{port}/v1"\n'
        f"[servers.demo]\ncommand = {json.dumps(sys.executable)}\n"
        f"args = {json.dumps([*SERVER, str(folder / 'notes')])}\n"
    )
    link = await start_engine(
        LaunchOptions(config=str(config), state_dir=str(folder / "state"), resume="new")
    )
    ended: dict[str, list[float]] = {way: [] for way in (*WAYS, "idle")}
    closed: dict[str, list[float]] = {way: [] for way in WAYS}
    try:
        events = link.events()
        link.send(c.Hello(client="bench", request=0))
        await next_one(events, lambda event: isinstance(event, e.ToolsListed) and bool(event.tools))
        stage = Stage(link, events, provider)
        await stage.stop("stream")  # LiteLLM is loaded with the first request
        for _ in range(rounds):
            ended["idle"].append(await stage.idle())
            for way in WAYS:
                turn, request = await stage.stop(way)
                ended[way].append(turn)
                if request is not None:
                    closed[way].append(request)
    finally:
        await link.close()
        server.close()
    return ended, closed


def main() -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["OPENAI_API_KEY"] = "sk-none-000000000"
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as name:
        ended, closed = asyncio.run(measure(Path(name), rounds))
    print(f"{'a command that only reads (control)':38} median {statistics.median(ended['idle']):6.1f} ms")
    missed = False
    for way, title in WAYS.items():
        worst = max(ended[way])
        missed |= statistics.median(ended[way]) > BUDGET_MS
        request = f"   request closed {statistics.median(closed[way]):6.1f} ms" if closed[way] else ""
        print(f"{title:38} median {statistics.median(ended[way]):6.1f}   worst {worst:6.1f} ms{request}")
    sys.exit(f"stopping takes longer than {BUDGET_MS} ms" if missed else 0)


if __name__ == "__main__":
    main()
