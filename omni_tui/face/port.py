"""The face's way to the engine: send a command, or ask and await its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from omni_tui.protocol import AnyCommand, AnyEvent, Link, LinkClosed, Reply
from omni_tui.protocol.events import CommandFailed


class CommandError(Exception):
    """The engine answered `CommandFailed`; `failure` holds what, why and what to do."""

    def __init__(self, failure: CommandFailed) -> None:
        super().__init__(failure.what)
        self.failure = failure


class Port(Protocol):
    """What panes and screens use; tests give them a scripted one."""

    def send(self, command: AnyCommand) -> None:
        """Send and forget; failures come back as a toast."""
        ...

    async def ask(self, command: AnyCommand, *, timeout: float = 30.0) -> Any:
        """Send and return the reply. Raises `CommandError`, `TimeoutError` or `LinkClosed`."""
        ...


class LinkPort:
    """A `Port` over a link. The app feeds it every reply that arrives."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._last = 0
        self._waiting: dict[int, asyncio.Future[AnyEvent]] = {}
        self._gone: Exception | None = None

    def take_over(self, former: LinkPort, kept: Iterable[AnyCommand]) -> None:
        """Send what was kept while there was no link; whoever asked gets the reply from here."""
        self._last, self._waiting = former._last, former._waiting
        for command in kept:
            self._link.send(command)

    def send(self, command: AnyCommand) -> None:
        """Send a command without waiting for its reply. Raises `LinkClosed`."""
        self._look()
        self._last += 1
        self._link.send(msgspec.structs.replace(command, request=self._last))

    async def ask(self, command: AnyCommand, *, timeout: float = 30.0) -> AnyEvent:
        """Send a command and return its reply."""
        self._look()
        self._last += 1
        number = self._last
        future: asyncio.Future[AnyEvent] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._link.send(msgspec.structs.replace(command, request=number))
            async with asyncio.timeout(timeout):
                reply = await future
        finally:
            self._waiting.pop(number, None)
        if isinstance(reply, CommandFailed):
            raise CommandError(reply)
        return reply

    def settle(self, reply: Reply) -> bool:
        """Hand a reply to whoever asked. False if nobody waits for it (any more)."""
        future = self._waiting.get(reply.request)
        if future is None or future.done():
            return False
        future.set_result(reply)  # type: ignore[arg-type]
        return True

    def fail(self, error: Exception) -> None:
        """The link closed: everybody who waits gets the error, and so does who asks from now on."""
        self._gone = error
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    def _look(self) -> None:
        """Refuse at once what nobody would answer: a stopped engine's end may still take bytes."""
        if self._gone is not None:
            raise LinkClosed(str(self._gone) or "the engine has stopped")
