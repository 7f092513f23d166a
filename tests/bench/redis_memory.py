"""What mirroring to Redis costs a call by hand: `python -m tests.bench.redis_memory [CALLS]`.

Two engines of their own processes, one mirrored to a real redis-server on this machine, are called in turn;
the third one's Redis does not answer (stopped). Then how long a session of 10,000 events needs to catch up.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from omni_tui.links import start_engine
from omni_tui.memory import Journal, Vault
from omni_tui.memory.crypto import FoundKey, Sealer
from omni_tui.memory.redis import MemoryKeys, SessionMirror
from omni_tui.protocol import AnyEvent, LaunchOptions, Link
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.security.text import safe
from tests.bench.calls import SERVER, line, ours
from tests.redis_server import RedisServer, redis_server

EVENTS = 10_000


async def started(folder: Path, server: RedisServer | None) -> tuple[Link, AsyncIterator[AnyEvent]]:
    """Start an engine with the demo's server, mirrored or not, and wait for its tools."""
    (folder / "notes").mkdir(parents=True)
    arguments = json.dumps([*SERVER, str(folder / "notes")])
    text = f"[servers.demo]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n"
    if server is not None:
        text += f'[memory]\nstore = "redis"\n[memory.redis]\nurl = "redis://127.0.0.1:{server.port}"\n'
        MemoryKeys(folder / "state", Vault.open(folder / "state")).create()
    config = folder / "config.toml"
    config.write_text(text)
    link = await start_engine(
        LaunchOptions(config=str(config), state_dir=str(folder / "state"), resume="new")
    )
    events = link.events()
    link.send(c.Hello(client="bench", request=0))
    async for event in events:
        if isinstance(event, e.ToolsListed) and event.tools:
            break
    return link, events


async def calls(folder: Path, count: int) -> None:
    """Measure calls without a mirror, with one, and with one whose Redis does not answer, in turn."""
    async with redis_server(folder / "redis") as server, redis_server(folder / "stopped") as stopped:
        engines = {
            "no mirror": await started(folder / "none", None),
            "mirrored": await started(folder / "on", server),
            "mirror, Redis stopped": await started(folder / "away", stopped),
        }
        times: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(-20, count):
            if number == -10:
                stopped.pause()
            for name, (link, events) in engines.items():
                taken = await ours(link, events)
                if number >= 0:
                    times[name].append(taken)
        for link, _ in engines.values():
            await link.close()
        stopped.go_on()
    for name, all_taken in times.items():
        print(line(name, all_taken))
    without = statistics.median(times["no mirror"])
    for name in list(times)[1:]:
        print(f"{name}: {statistics.median(times[name]) / without:.2f} of a call without a mirror")


async def catching_up(folder: Path) -> None:
    """Measure how long Redis needs to get a whole session, and what a commit takes meanwhile."""
    key = Sealer(bytes(32))
    vault = Vault(FoundKey("key file", bytes(32)))
    journal = await Journal.open(folder / "s.db", "0192f3a4-5b6c-7d8e-9f00-112233445566", vault, _ignore)
    said = e.UserMessage(turn="t", text=safe("x" * 400))
    for _ in range(EVENTS // 500):
        await journal.commit(*[said] * 500)
    alone, meanwhile = [await _commit(journal, said) for _ in range(200)], []
    async with redis_server(folder / "redis") as server:
        mirror = SessionMirror(journal, server.address, {key.id: key}, _nothing, ttl=0, most=0)
        began = time.perf_counter()
        mirror.start()
        while mirror.behind:
            meanwhile.append(await _commit(journal, said))
            await asyncio.sleep(0.005)
        took = time.perf_counter() - began
        await mirror.close(5)
    await journal.close(clean=True)
    print(f"{EVENTS:,} events caught up in {took:.2f} s ({EVENTS / took:,.0f} a second)")
    print(line("a commit alone", alone))
    print(line("a commit while catching up", meanwhile))
    print(f"ratio of the medians {statistics.median(meanwhile) / statistics.median(alone):.2f}")


async def _commit(journal: Journal, event: AnyEvent) -> float:
    started = time.perf_counter()
    await journal.commit(event)
    return (time.perf_counter() - started) * 1000


def _ignore(_events: object) -> None:
    """Nobody listens."""


def _nothing() -> None:
    """Nobody is told."""


async def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        await calls(Path(name) / "calls", count)
        (Path(name) / "far").mkdir(mode=0o700)
        await catching_up(Path(name) / "far")


if __name__ == "__main__":
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not installed: nothing was measured")
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
