"""An engine in this loop with everything real but the model: what engine tests stand on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from omni_tui.config.load import load_config
from omni_tui.engine.clients import Client, EventBuffer
from omni_tui.engine.command_router import CommandRouter
from omni_tui.engine.core import Engine, open_engine
from omni_tui.engine.live_session import LiveSession
from omni_tui.models.base import Model
from omni_tui.protocol import AnyCommand, AnyEvent, LaunchOptions
from omni_tui.protocol import commands as c
from omni_tui.protocol import events as e
from omni_tui.protocol.server_settings import LaunchRead
from tests.engine.local_link import LocalLink

E = TypeVar("E")

DEMO = """
[servers.demo]
command = {python!r}
args = ["-m", "omni_tui.demo.server", {notes!r}]
"""


class Rig:
    """A running engine, the face's end of its link, and everything it has said."""

    def __init__(self, engine: Engine, client: Client) -> None:
        self.engine = engine
        self.client = client
        self.link = LocalLink(CommandRouter(engine, client))
        self.seen: list[AnyEvent] = []
        self._news = asyncio.Condition()
        self._request = 0
        self._reader = asyncio.create_task(self._read())

    @property
    def session(self) -> LiveSession:
        """The session that this client follows."""
        return self.engine.session(self.client)

    @property
    def session_id(self) -> str:
        """The id of that session."""
        return self.session.journal.session

    async def _read(self) -> None:
        async for event in self.link.events():
            async with self._news:
                self.seen.append(event)
                self._news.notify_all()

    async def ask(self, command: AnyCommand) -> AnyEvent:
        """Send a command and return its reply."""
        self._request += 1
        number, known = self._request, len(self.seen)
        self.link.send(msgspec.structs.replace(command, request=number))
        reply = await self.until(e.CommandReply, lambda event: event.request == number, after=known)
        return cast(AnyEvent, reply)

    async def until(
        self, kind: type[E], matches: Callable[[E], bool] = lambda _event: True, *, after: int = 0
    ) -> E:
        """Return the first event of a kind that matches, seen already or yet to come."""

        def find() -> E | None:
            for event in self.seen[after:]:
                if isinstance(event, kind) and matches(event):
                    return event
            return None

        async with asyncio.timeout(60), self._news:
            while (found := find()) is None:
                await self._news.wait()
            return found

    async def count(self, kind: type[E], number: int) -> None:
        """Wait until that many events of a kind were seen."""
        await self.until(kind, lambda _event: len(self.of(kind)) >= number)

    async def connected(self, server: str = "demo") -> None:
        """Wait until a server's tools are listed."""
        await self.until(e.ToolsListed, lambda event: event.server == server and bool(event.tools))

    def of(self, kind: type[E]) -> list[E]:
        """Return all events of a kind so far."""
        return [event for event in self.seen if isinstance(event, kind)]

    async def confirmed(self, command: c.CallTool) -> AnyEvent:
        """Make a call by hand, and say yes if it is asked about once more."""
        answer = await self.ask(command)
        if isinstance(answer, e.ConfirmNeeded):
            answer = await self.ask(msgspec.structs.replace(command, confirmed=True, digest=answer.digest))
        return answer

    async def launch(self, server: str = "demo") -> c.AllowServer:
        """Look at what a server starts, and return the command that allows exactly that."""
        shown = await self.ask(c.ReadLaunch(server=server))
        assert isinstance(shown, LaunchRead), shown
        return c.AllowServer(server=server, digest=shown.digest)

    async def by_hand(self, tool: str, arguments: str, **more: Any) -> str:
        """Call a tool of the demo server by hand and return the call's id."""
        reply = await self.ask(c.CallTool(server="demo", tool=tool, arguments_json=arguments, **more))  # type: ignore[arg-type]
        assert isinstance(reply, e.CommandDone), reply
        return reply.id

    async def kill(self) -> None:
        """Stop reading and drop the engine without its goodbyes, as far as one process can."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def close(self) -> None:
        """Leave properly."""
        await self.link.close()
        await self.kill()


@contextlib.asynccontextmanager
async def rig(
    folder: Path,
    *,
    config: str | None = None,
    model: Model | None = None,
    demo: bool = True,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Run an engine in `folder` on a config text (the demo server's, unless given)."""
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / "notes"
    notes.mkdir(exist_ok=True)
    file = folder / "config.toml"
    text = DEMO.format(python=sys.executable, notes=str(notes)) if demo else ""
    file.write_text(text + (config or ""))
    launch = LaunchOptions(config=str(file), state_dir=str(folder / "state"), **options)
    environ = {**os.environ, "OMNI_TUI_PASSPHRASE": ""}
    engine = await open_engine(launch, load_config(launch, environ), environ)
    if model is not None:
        use_model(engine, model)
    running = Rig(engine, await engine.attach(EventBuffer()))
    await engine.start_servers()
    running.link.send(c.Hello(client="test", request=0))
    try:
        yield running
    finally:
        await running.close()


def use_model(engine: Engine, model: Any) -> None:
    """Have a model answer, whatever model is asked for."""
    engine.context.models.make = lambda _name, **_limits: model  # type: ignore[method-assign]


async def turns(until: Callable[[], bool]) -> None:
    """Let the loop turn until something holds that no event tells of."""
    async with asyncio.timeout(60):
        while not until():  # noqa: ASYNC110
            await asyncio.sleep(0)
