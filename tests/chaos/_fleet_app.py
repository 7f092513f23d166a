"""The real app with fifty servers and a ticker on top, in which chaos is let loose.

`python -m tests.chaos._fleet_app FOLDER`: connects, idles, calls, kills and restarts for as long as
`tests.chaos.fleet` says, and writes what it saw to FOLDER/report.json. The ticks name the phase; see
`tests.bench._ticks` for who times them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import signal
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.content import Content

from omni_tui.face.app import FaceOptions, OmniApp
from omni_tui.face.port import CommandError
from omni_tui.links import spawn_engine
from omni_tui.protocol import AnyCommand, AnyEvent, JsonText, LaunchOptions, Link
from omni_tui.protocol.commands import CallTool, DisconnectServer, ReconnectServer, RefreshServer
from omni_tui.protocol.events import (
    CallChanged,
    CallFinished,
    CommandDone,
    EngineReady,
    ServerChanged,
    ToolsListed,
)
from tests.bench._stretches import Stretches
from tests.bench._ticker_app import TickerApp
from tests.chaos.fleet import ACTIONS, BAD, CALLS, GOOD, RESTARTED, SEED, UPSET, rounds, running, tag

IDLE_S = 4.0
PATIENCE_S = 60.0
UP = ("idle", "active")
OVER = ("failed", "uncertain", "cancelled", "rejected", "denied", "withheld", "expired", "result_rejected")


class FleetApp(TickerApp):
    """Ticks, and goes from phase to phase by a script of its own."""

    def __init__(self, *given: Any, folder: Path) -> None:
        super().__init__(*given)
        self._folder = folder
        self._chance = random.Random(SEED)
        self._now: dict[str, ServerChanged] = {}
        self._listed: Counter[str] = Counter()
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._ends: dict[str, asyncio.Future[AnyEvent]] = {}
        self._engine = 0
        self._did: Counter[str] = Counter()
        self._wrong: list[str] = []
        self._stretches = Stretches(lambda: self.phase)

    def on_mount(self) -> None:
        """Measure the loop. (Textual calls the handlers of the classes above too.)"""
        self._stretches.watch()

    def _tick(self) -> None:
        self.ticks += 1
        # As long as it is wide: a new layout of the whole screen for every tick would be the ticker's own.
        self.ticker.update(Content(f"<{self.phase}:{self.ticks}>"), layout=False)

    def deliver(self, event: AnyEvent) -> None:
        """Note what is waited for."""
        OmniApp.deliver(self, event)
        if isinstance(event, EngineReady) and not self._engine:
            self._engine = event.pid
            self.run_worker(self._script(), group="chaos", exit_on_error=False)
        elif isinstance(event, ServerChanged):
            self._now[event.name] = event
            self._news[event.name].set()
        elif isinstance(event, ToolsListed) and event.last and event.tools:
            self._listed[event.server] += 1
            self._news[event.server].set()
        elif isinstance(event, CallFinished) or (isinstance(event, CallChanged) and event.state in OVER):
            end = self._end_of(event.call)
            if not end.done():
                end.set_result(event)

    # --- the script

    async def _script(self) -> None:
        report: dict[str, Any] = {"engine": self._engine}
        try:
            await self._play(report)
        except Exception as error:  # whatever it is, the report says so and the test reads it
            self._wrong.append(f"{self.phase}: " + "".join(traceback.format_exception(error)))
        report |= {"did": self._did, "wrong": self._wrong}
        report |= {"stretch_ms": self._stretches.longest, "work_ms": self._stretches.total}
        (self._folder / "report.json").write_text(json.dumps(report))
        self._enter("done")

    async def _play(self, report: dict[str, Any]) -> None:
        self._enter("connect")
        await asyncio.gather(*(self._until(name, lambda name=name: self._is_up(name)) for name in GOOD))  # type: ignore[misc]
        await asyncio.gather(*(self._use(name, 1) for name in GOOD))
        report["before"] = await self._at_rest()
        self._enter("idle")
        await asyncio.sleep(IDLE_S)
        self._enter("chaos")
        for name in BAD:
            self.port.send(ReconnectServer(server=name))
        for _ in rounds():
            await self._round()
            self._did["rounds"] += 1
        self._enter("settle")
        report["after"] = await self._at_rest()

    async def _round(self) -> None:
        """Restart some healthy servers, upset many of the others, and call the healthy rest meanwhile."""
        restarted = self._chance.sample(list(GOOD), RESTARTED)
        async with asyncio.TaskGroup() as tasks:
            for name in GOOD:
                if name in restarted:
                    tasks.create_task(self._renew(name, kill=self._chance.random() < 0.5))
                else:
                    tasks.create_task(self._use(name, CALLS))
            for _ in range(UPSET):
                tasks.create_task(self._upset(self._chance.choice(list(BAD)), self._chance.choice(ACTIONS)))

    async def _use(self, name: str, count: int) -> None:
        """Call a healthy server some times; every answer must be its own."""
        for number in range(count):
            words = f'{{"number":{number},"to":"{name}"}}'
            command = CallTool(server=name, tool="echo", arguments_json=JsonText(words))
            self._did["calls"] += 1
            try:
                reply = await self.port.ask(command)
                assert isinstance(reply, CommandDone)
                async with asyncio.timeout(PATIENCE_S):
                    end = await self._end_of(reply.id)
                text = end.parts[0].text if isinstance(end, CallFinished) else repr(end)
                if json.loads(text) != json.loads(words):
                    self._wrong.append(f"{name} answered {text}")
            except (CommandError, TimeoutError, ValueError) as error:
                self._wrong.append(f"{name}: {type(error).__name__} {error}")

    async def _renew(self, name: str, *, kill: bool) -> None:
        """Have a healthy server, which nobody calls now, die or be started anew; wait until it is back."""
        listed = self._listed[name]
        if kill:
            self._did["killed"] += await asyncio.to_thread(self._kill, name)
            await self._until(name, lambda: self._now[name].state not in UP or self._listed[name] > listed)
        self._did["restarted"] += 1
        if self._listed[name] == listed:
            await self._ask(ReconnectServer(server=name))
        await self._until(name, lambda: self._listed[name] > listed and self._is_up(name))

    async def _upset(self, name: str, what: str) -> None:
        """Do something to a server that misbehaves; only words may come of it."""
        self._did[f"upset by {what}"] += 1
        if what == "kill":
            await asyncio.to_thread(self._kill, name)
        elif what == "call":
            call = CallTool(server=name, tool="echo", arguments_json=JsonText("{}"))
            await self._ask(call)
        else:
            kinds: dict[str, Callable[..., AnyCommand]] = {
                "refresh": RefreshServer,
                "disconnect": DisconnectServer,
                "reconnect": ReconnectServer,
            }
            await self._ask(kinds[what](server=name))

    async def _at_rest(self) -> dict[str, int]:
        """Disconnect what misbehaves, wait for the others, and count what the engine has open."""
        await asyncio.gather(*(self._ask(DisconnectServer(server=name)) for name in BAD))
        for name in BAD:
            await self._until(name, lambda name=name: self._now[name].state == "disabled")  # type: ignore[misc]
        for name in GOOD:
            await self._until(name, lambda name=name: self._is_up(name))  # type: ignore[misc]
        return await asyncio.to_thread(descriptors, self._engine)

    # --- helpers

    def _is_up(self, name: str) -> bool:
        return name in self._now and self._now[name].state in UP and self._listed[name] > 0

    def _end_of(self, call: str) -> asyncio.Future[AnyEvent]:
        return self._ends.setdefault(call, asyncio.get_running_loop().create_future())

    def _kill(self, name: str) -> int:
        found = running(tag(self._folder, name))
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    async def _ask(self, command: AnyCommand) -> None:
        with contextlib.suppress(CommandError, TimeoutError):
            await self.port.ask(command)

    async def _until(self, name: str, holds: Callable[[], bool]) -> None:
        news = self._news[name]
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds():
                    news.clear()
                    await news.wait()
        except TimeoutError:
            raise TimeoutError(f"{name} stayed {self._now.get(name)}") from None


def descriptors(pid: int) -> dict[str, int]:
    """Return what the descriptors of a process lead to, by kind."""
    found: Counter[str] = Counter()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[os.readlink(f"/proc/{pid}/fd/{number}").partition(":")[0]] += 1
    return dict(found)


def main() -> None:
    """Start the engine, then the face, as the app does."""
    folder = Path(sys.argv[1])
    config, state = str(folder / "config.toml"), str(folder / "state")
    engine = spawn_engine(LaunchOptions(config=config, state_dir=state, resume="new"))

    async def connect() -> Link:
        return await engine.link()

    gc.disable()  # as `omni_tui.cli.command_table` does; the app enables it after its first frame
    FleetApp(connect, FaceOptions(config_path=config, state_dir=state), folder=folder).run()


if __name__ == "__main__":
    main()
