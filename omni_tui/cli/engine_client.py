"""A client of the engine for commands without a screen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from omni_tui.cli.options import temporary_state
from omni_tui.cli.output import CliError, ExitStatus
from omni_tui.protocol import AnyCommand, AnyEvent, CommandReply, LaunchOptions, Link, LinkClosed
from omni_tui.protocol.commands import Hello, Replay
from omni_tui.protocol.events import (
    CommandFailed,
    ConfigProblems,
    EngineReady,
    EventsDropped,
    Notice,
    ReplayDone,
    ServerChanged,
    ToolsListed,
    ToolSummary,
)

_R = TypeVar("_R", bound=CommandReply)

SETTLED = {"not_allowed", "active", "idle", "needs_sign_in", "degraded", "failed", "disabled"}
BROKEN = {"needs_sign_in", "degraded", "failed"}
START_TIMEOUT = 60.0
SETTLE_TIMEOUT = 300.0


class EngineClient:
    """Sends commands, awaits replies, and follows the state of servers and tools.

    `heard` is called with every event that is not a reply, in order.
    """

    def __init__(self, link: Link, heard: Callable[[AnyEvent], None] | None = None) -> None:
        self._link = link
        self._last = 0
        self._waiting: dict[int, asyncio.Future[CommandReply]] = {}
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._over: Exception | None = None
        self._last_words = ""
        self._settled: set[str] = set()
        self._seen: set[int] = set()
        self.heard = heard or (lambda event: None)
        self.ready: EngineReady | None = None
        self.problems: ConfigProblems | None = None
        self.servers: dict[str, ServerChanged] = {}
        self.tools: dict[str, dict[str, ToolSummary]] = {}
        self._listing: dict[str, ToolsListed] = {}

    async def start(self) -> None:
        """Say hello and receive the state of everything.

        Raises `CliError` if the engine does not answer or the configuration has mistakes: a command that
        nobody watches does not run on half of a configuration.
        """
        self._reader = asyncio.create_task(self._read(), name="events of the engine")
        reply = await self.ask(Hello(client="cli"), timeout=START_TIMEOUT)
        assert isinstance(reply, ReplayDone)
        if self.problems is not None:
            mistakes = [
                f"{each.where}: {each.what}" + (f" ({each.todo})" if each.todo else "")
                for each in self.problems.problems
            ]
            raise CliError(
                "\n".join(mistakes), todo="Correct this first; nothing was done.", status=ExitStatus.USAGE
            )

    async def stop(self) -> None:
        """Leave: the engine stops its servers and itself."""
        await self._link.close()
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def send(self, command: AnyCommand) -> None:
        """Send a command without waiting for a reply; a lost engine is reported elsewhere."""
        with contextlib.suppress(LinkClosed):
            self._link.send(command)

    async def ask(self, command: AnyCommand, *, timeout: float = 60.0) -> CommandReply:
        """Send a command and return its reply. Raises `CliError` if it was refused or timed out."""
        self._check()
        self._last += 1
        number = self._last
        future: asyncio.Future[CommandReply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._link.send(msgspec.structs.replace(command, request=number))
            async with asyncio.timeout(timeout):
                reply = await future
        except TimeoutError:
            raise CliError(f"the engine did not answer within {timeout:g} seconds") from None
        except LinkClosed as error:
            raise CliError(str(error)) from None
        finally:
            self._waiting.pop(number, None)
        if isinstance(reply, CommandFailed):
            raise CliError(reply.what, why=reply.why, todo=reply.todo)
        return reply

    async def ask_for(self, kind: type[_R], command: AnyCommand) -> _R:
        """Send a command and return its reply, which must be of one type."""
        reply = await self.ask(command)
        if not isinstance(reply, kind):
            raise CliError(f"the engine answered {type(reply).__name__} to {type(command).__name__}")
        return reply

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition that events change is true. Raises `CliError` if the engine is gone."""
        while not condition():
            self._changed.clear()
            self._check()
            await self._changed.wait()

    async def connected(self, only: Iterable[str] | None = None) -> None:
        """Wait until each server has connected and listed its tools, or failed once.

        The engine limits each connection; after `SETTLE_TIMEOUT` this stops waiting.
        """
        names = set(self.servers if only is None else only)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_TIMEOUT):
                await self.until(lambda: all(self._is_settled(name) for name in names & set(self.servers)))

    def broken(self) -> list[ServerChanged]:
        """Return the servers that should be connected and are not."""
        return [server for server in self.servers.values() if server.state in BROKEN | {"connecting"}]

    def _is_settled(self, name: str) -> bool:
        server = self.servers[name]
        if server.state in {"active", "idle"}:
            return not server.tools or name in self.tools
        return name in self._settled

    def _check(self) -> None:
        if isinstance(self._over, BrokenPipeError):
            raise self._over
        if self._over is not None:
            raise CliError(str(self._over) or "the engine is gone")

    async def _read(self) -> None:
        try:
            async for event in self._link.events():
                self._take(event)
            self._over = LinkClosed(self._last_words or "the engine has ended")
        except LinkClosed as error:
            self._over = LinkClosed(self._last_words) if self._last_words else error
        except BrokenPipeError as error:  # the reader of the output has closed it
            self._over = error
        except Exception as error:  # callers must not wait for ever
            self._over = LinkClosed(f"the connection to the engine broke: {error}")
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(self._over or LinkClosed("the engine has ended"))
            self._changed.set()

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, CommandReply):
            future = self._waiting.get(event.request)
            if future is not None and not future.done():
                future.set_result(event)
            return
        if event.journalled:
            if event.seq in self._seen:
                return
            self._seen.add(event.seq)
        self._fold(event)
        self.heard(event)
        self._changed.set()

    def _fold(self, event: AnyEvent) -> None:
        if isinstance(event, EngineReady):
            self.ready = event
        elif isinstance(event, ConfigProblems):
            self.problems = event
        elif isinstance(event, ServerChanged):
            self.servers[event.name] = event
            if event.state in SETTLED:
                self._settled.add(event.name)
        elif isinstance(event, ToolsListed):
            self._list(event)
        elif isinstance(event, Notice) and event.level == "error" and self.ready is None:
            self._last_words = f"{event.what}: {event.why}"
        elif isinstance(event, EventsDropped):
            self.send(Replay(after=event.after))

    def _list(self, page: ToolsListed) -> None:
        before = self._listing.get(page.server)
        if before is not None and before.generation == page.generation:
            page = msgspec.structs.replace(page, tools=before.tools + page.tools)
        self._listing[page.server] = page
        if page.last:
            self.tools[page.server] = {tool.name: tool for tool in page.tools}
            del self._listing[page.server]


@asynccontextmanager
async def open_client(
    options: LaunchOptions, heard: Callable[[AnyEvent], None] | None = None
) -> AsyncIterator[EngineClient]:
    """Start an engine, and stop it with everything it started at the end. Raises `CliError`."""
    from omni_tui.links import start_engine

    with temporary_state(options) as settled:
        try:
            link = await start_engine(settled)
        except (LinkClosed, OSError) as error:
            raise CliError("the engine could not be started", why=str(error)) from None
        driver = EngineClient(link, heard)
        try:
            await driver.start()
            yield driver
        finally:
            await driver.stop()
