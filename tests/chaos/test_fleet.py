"""Fifty real servers, twenty of which misbehave, killed and restarted at random: the others notice nothing.

The choices come from a seeded generator; see `tests.chaos.fleet` for longer or other runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.protocol import Event
from omni_tui.protocol.events import ServerChanged
from omni_tui.servers import CallError, ToolDefinition, reaper
from tests.bench.servers import longest_gap
from tests.chaos.fleet import ACTIONS, BAD, CALLS, GOOD, LIMIT_S, RESTARTED, SEED, UPSET, rounds
from tests.engine.faults.harness import Harness, fault

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(LIMIT_S),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc"),
]


def misbehaving(name: str, mode: str) -> ServerSpec:
    """Return a server that misbehaves in the way of `mode`."""
    if mode == "wrong":
        return ServerSpec(name=name, command="no-such-program-here")
    return fault(mode, "good0" if mode == "liar" else "", name=name, connect_timeout=3, list_timeout=5)


class Fleet(Harness):
    """The servers, what each told last, and how often it was listed and has failed."""

    def __init__(self, folder: Path) -> None:
        self.now: dict[str, ServerChanged] = {}
        self.listed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.pids: set[int] = set()
        super().__init__(folder)
        self.good, self.bad = list(GOOD), list(BAD)
        for name, mode in GOOD.items():
            self.registry.add(fault(mode, name=name))
        for name, mode in BAD.items():
            self.registry.add(misbehaving(name, mode))

    def server_changed(self, event: Event) -> None:
        if isinstance(event, ServerChanged):
            before = self.now.get(event.name)
            self.now[event.name] = event
            if event.state == "failed" and (before is None or before.state != "failed"):
                self.failed[event.name] += 1
        super().server_changed(event)

    def tools_listed(self, server: str, tools: list[ToolDefinition]) -> None:
        self.listed[server] += 1
        self.pids.add(self.registry.get(server).pid or 0)
        super().tools_listed(server, tools)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, or say which healthy servers are not well."""
        try:
            await super().until(holds)
        except TimeoutError:
            unwell = {name: self.now.get(name) for name in self.good}
            told = [f"{n}: {one and (one.state, one.reason, one.todo)}" for n, one in unwell.items()]
            raise AssertionError(
                "waited in vain; " + "\n".join(line for line in told if "idle" not in line)
            ) from None

    async def restart(self, name: str, *, kill: bool) -> None:
        """Have a healthy server, which nobody calls now, die or be started anew; wait until it is back."""
        listed, failed = self.listed[name], self.failed[name]
        pid = self.registry.get(name).pid
        if kill and pid is not None:
            os.killpg(pid, signal.SIGKILL)
            await self.until(lambda: self.failed[name] > failed)
        if self.now[name].state != "failed" or self.now[name].next_try is None:
            await self.registry.get(name).reconnect()
        await self.until(lambda: self.listed[name] > listed and self.now[name].state in ("idle", "active"))

    async def use(self, name: str) -> None:
        """Call a healthy server some times; every answer must be its own and exact."""
        for number in range(CALLS):
            arguments = {"to": name, "number": number}
            result = await self.call(name, "echo", arguments)
            assert result.structured == {"arguments": arguments}

    async def upset(self, name: str, what: str) -> None:
        """Do something to a server that misbehaves; only a failure in words may come of it."""
        if what == "kill":
            if (pid := self.registry.get(name).pid) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        elif what == "call":
            with contextlib.suppress(CallError):
                await self.call(name, "echo", {"a": 1}, timeout=1)
        elif what == "refresh":
            with contextlib.suppress(CallError):
                await self.registry.get(name).refresh()
        elif what == "disconnect":
            await self.registry.get(name).disconnect()
        else:
            await self.registry.get(name).reconnect()


async def round_of_chaos(fleet: Fleet, chance: random.Random) -> None:
    """Restart some healthy servers, upset many of the others, and call the healthy rest meanwhile."""
    restarted = chance.sample(fleet.good, RESTARTED)
    async with asyncio.TaskGroup() as tasks:
        for name in fleet.good:
            if name in restarted:
                tasks.create_task(fleet.restart(name, kill=chance.random() < 0.5))
            else:
                tasks.create_task(fleet.use(name))
        for _ in range(UPSET):
            tasks.create_task(fleet.upset(chance.choice(fleet.bad), chance.choice(ACTIONS)))


def descriptors() -> Counter[str]:
    """Return what the descriptors of this process lead to, by kind."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[os.readlink(f"/proc/self/fd/{number}").partition(":")[0]] += 1
    return found


def children() -> set[int]:
    """Return the child processes of this one, those included that are dead and not waited for."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(entry.read_bytes().rpartition(b")")[2].split()[1]) == os.getpid():
                found.add(int(entry.parent.name))
    return found


@contextlib.asynccontextmanager
async def leaving_nothing(folder: Path) -> AsyncIterator[Fleet]:
    """Run a fleet; afterwards no task, descriptor or process of it may be left."""
    tasks, before, own = asyncio.all_tasks(), descriptors(), children()
    fleet = Fleet(folder)
    await fleet.registry.start()
    try:
        yield fleet
    finally:
        await asyncio.wait_for(fleet.registry.stop(), 30)
        left = reaper.survivors({}, f"{reaper.MARKER}={fleet.processes.engine_id}")
        await asyncio.to_thread(fleet.processes.close)  # has the reaper end what is left, if there is
    assert not left
    assert not fleet.processes.groups
    assert not [pid for pid in fleet.pids if pid and reaper.start_time(pid)]
    assert children() == own
    assert asyncio.all_tasks() == tasks
    assert descriptors() == before
    assert not list(folder.rglob("*.lease"))


async def test_healthy_servers_notice_nothing_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_tui.servers.reconnect.FIRST_DELAY_S", 0.01)
    chance = random.Random(SEED)
    async with leaving_nothing(tmp_path) as fleet:
        able = fleet.good + [name for name in fleet.bad if name.startswith(("junk", "flood", "liar"))]
        doomed = [name for name in fleet.bad if name.startswith(("wrong", "exits", "dies_idle", "huge"))]
        await fleet.until(lambda: all(fleet.listed[name] for name in able))
        await fleet.until(lambda: all(fleet.failed[name] for name in doomed))
        gaps = [await longest_gap(round_of_chaos(fleet, chance)) for _ in rounds()]
        sys.stdout.write(
            f"{len(gaps)} rounds; longest gap of the loop: {max(gaps):.0f} ms; "
            f"failures: {fleet.failed.total()}\n"
        )
        assert all(fleet.now[name].state in ("idle", "active") for name in fleet.good)
