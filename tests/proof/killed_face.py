"""The face of `tests/proof/kills.py`: a random person at a plain link, or the real app on its terminal.

`python -m tests.proof.killed_face link SEED RESUME` and `… app ARGUMENTS`. What the engine acknowledges is
a line of `FOLDER/told` as soon as it has arrived: each journalled event after the replay, each command
that was done.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from omni_tui.__main__ import main as omni_tui
from omni_tui.links import ProcessLink, process, spawn_engine
from omni_tui.protocol import AnyCommand, AnyEvent, LaunchOptions, LinkClosed, encode_record
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from tests.proof.killed_engine import FOLDER
from tests.proof.random_model import SERVERS, RandomArguments
from tests.proof.random_person import RandomPerson
from tests.proof.said import Said

E = TypeVar("E")
_ENGINE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from tests.proof.killed_engine import main; sys.exit(main(sys.argv[2:]))"
)


class Told:
    """Writes down what an engine acknowledges, before anybody hears of it."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._said = Said(folder)
        self._replaying = True
        self._began = time.monotonic()
        self._commands: dict[int, AnyCommand] = {}
        self._shown: dict[str, e.ApprovalRequested] = {}

    def write(self, **words: object) -> None:
        """Write one line."""
        os.write(self._file, json.dumps(words).encode() + b"\n")

    def sends(self, command: AnyCommand) -> None:
        """Take note of a command that is about to be sent."""
        self._commands[command.request] = command
        if isinstance(command, c.DecideCall) and command.verdict == "approve":
            shown = self._shown.get(command.call)
            if shown is not None and shown.digest == command.digest:
                self._said.approves(shown)
        if isinstance(command, c.Hello | c.NewSession | c.OpenSession | c.Replay):
            self._replaying = True  # what is there already is not acknowledged once more

    def hears(self, event: AnyEvent) -> None:
        """Take note of an event that has arrived."""
        if isinstance(event, e.ApprovalRequested):
            self._shown[event.call] = event
        if isinstance(event, e.ReplayDone):
            self._replaying = False
            self.write(ready=time.monotonic() - self._began, head=event.head)
        elif isinstance(event, e.CommandDone):
            self._done(self._commands.get(event.request), event.id)
        elif event.seq and not self._replaying:
            mark = hashlib.sha256(encode_record(event)).hexdigest()
            self.write(session=event.session, seq=event.seq, mark=mark, kind=type(event).__name__)

    def _done(self, command: AnyCommand | None, ident: str) -> None:
        if isinstance(command, c.SendMessage):
            self.write(message=ident)
        elif isinstance(command, c.DecideCall) and command.verdict in ("approve", "reject"):
            self.write(decided=command.call)


def record(told: Told) -> None:
    """Have every link of this process written down, and start the engine with the random model."""
    process._HOST = _ENGINE
    send, events = ProcessLink.send, ProcessLink.events

    def sending(self: ProcessLink, command: AnyCommand) -> None:
        told.sends(command)
        send(self, command)

    async def hearing(self: ProcessLink) -> AsyncIterator[AnyEvent]:
        async for event in events(self):
            told.hears(event)
            yield event

    ProcessLink.send = sending  # type: ignore[method-assign]
    ProcessLink.events = hearing  # type: ignore[method-assign]


class _Remote:
    """An engine in another process, as a client of it sees it."""

    def __init__(self, link: ProcessLink) -> None:
        self.link = link
        self.seen: list[AnyEvent] = []
        self.session_id = ""
        self._news = asyncio.Condition()
        self._request = 0
        self._closed = ""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.link.events():
                async with self._news:
                    if isinstance(event, e.EngineReady):
                        self.session_id = event.session
                    self.seen.append(event)
                    self._news.notify_all()
        except LinkClosed as error:
            async with self._news:
                self._closed = str(error)
                self._news.notify_all()

    async def ask(self, command: AnyCommand) -> AnyEvent:
        self._request += 1
        number, known = self._request, len(self.seen)
        self.link.send(msgspec.structs.replace(command, request=number))
        reply = await self.until(e.CommandReply, lambda event: event.request == number, after=known)
        return cast(AnyEvent, reply)

    async def until(
        self, kind: type[E], matches: Callable[[E], bool] = lambda _event: True, *, after: int = 0
    ) -> E:
        def find() -> E | None:
            return next(
                (each for each in self.seen[after:] if isinstance(each, kind) and matches(each)), None
            )

        async with asyncio.timeout(120), self._news:
            while (found := find()) is None:
                if self._closed:
                    raise LinkClosed(self._closed)
                await self._news.wait()
            return found

    async def listed(self, server: str) -> None:
        """Wait until a server's tools are known."""
        await self.until(e.ToolsListed, lambda event: event.server == server and bool(event.tools))


async def _person(folder: Path, seed: int, resume: str, told: Told) -> None:
    """Be a random person until the engine or this process is killed."""
    chance = random.Random(seed)
    options = LaunchOptions(
        config=str(folder / "config.toml"),
        state_dir=str(folder / "state"),
        resume=resume,
        mode=chance.choice(("", "", "chat", "auto")),
    )
    running = _Remote(await spawn_engine(options).link())
    running.link.send(c.Hello(client="proof", request=0))
    await running.until(e.ReplayDone)
    for server in SERVERS:
        await running.listed(server)
    said = Said(folder)
    person = RandomPerson(
        running, chance, RandomArguments(chance, f"p{os.getpid()}-{seed}", said), said, folder
    )
    told.write(runs=True)
    while True:
        await person.run()


def main(arguments: list[str]) -> int:
    """Be a face. Returns an exit code; 3 if a link was cut."""
    folder = Path(os.environ[FOLDER])
    told = Told(folder)
    record(told)
    if arguments[0] == "app":
        return omni_tui(arguments[1:])
    with contextlib.suppress(LinkClosed):
        asyncio.run(_person(folder, int(arguments[1]), arguments[2], told))
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
