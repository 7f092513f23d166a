"""The face's way to the engine: send a command, or ask and await its reply."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from omni_tui.protocol import AnyCommand, AnyEvent, CommandReply, Link, LinkClosed, ProtocolError
from omni_tui.protocol.events import CommandFailed
from omni_tui.security.text import safe_line


class CommandError(Exception):
    """The engine answered `CommandFailed`; `failure` holds what, why and what to do."""

    def __init__(self, failure: CommandFailed) -> None:
        super().__init__(failure.what)
        self.failure = failure


REQUEST_ERRORS = (CommandError, TimeoutError, LinkClosed)
"""Everything `Port.ask` raises."""


def error_text(error: Exception) -> str:
    """Return what happened, why and what to do, on one line."""
    if isinstance(error, CommandError):
        failure = error.failure
        return " · ".join(filter(None, (failure.what, failure.why, failure.todo)))
    if isinstance(error, TimeoutError):
        return "the engine did not answer in time; try again"
    return safe_line(str(error) or "the engine is gone")


class Port(Protocol):
    """What panes and screens use; tests give them a scripted one."""

    def send(self, command: AnyCommand) -> None:
        """Send without waiting for the reply; failures are shown as a toast. Never raises."""

    async def ask(self, command: AnyCommand, *, timeout: float = 30.0) -> Any:
        """Send and return the reply. Raises `CommandError`, `TimeoutError` or `LinkClosed`."""


class EventReceiver(Protocol):
    """What the port and the event pump report to: the app."""

    def deliver(self, event: AnyEvent) -> None:
        """Fold one event into every pane."""

    def flushed(self) -> None:
        """Redraw what a batch of events changed."""

    def failed(self, failure: CommandFailed) -> None:
        """Show why a command failed that nobody waits for."""

    def clear_session(self) -> None:
        """Make room for another session, which is replayed next."""

    def stopped(self, why: str) -> None:
        """Show that the engine is gone."""


class LinkPort:
    """A `Port` over a link. The event pump feeds it every reply that arrives.

    Without a link yet, commands are kept and sent by `connect`.
    """

    def __init__(self, link: Link | None, host: EventReceiver) -> None:
        self._link = link
        self._host = host
        self._kept: list[AnyCommand] = []
        self._last = 0
        self._waiting: dict[int, asyncio.Future[AnyEvent]] = {}
        self._gone: Exception | None = None

    def connect(self, link: Link) -> None:
        """Use this link, and send what was kept for it."""
        self._link = link
        kept, self._kept = self._kept, []
        for command in kept:
            link.send(command)

    def send(self, command: AnyCommand) -> None:
        """Send a command without waiting for its reply."""
        try:
            self._number(command)
        except LinkClosed as error:
            self._host.stopped(str(error))
        except ProtocolError as error:
            self._host.failed(
                CommandFailed(
                    what=safe_line("That was too long to send to the engine."),
                    why=safe_line(str(error)),
                    todo=safe_line("Put it into a file and name the file instead."),
                )
            )

    async def ask(self, command: AnyCommand, *, timeout: float = 30.0) -> AnyEvent:
        """Send a command and return its reply."""
        future: asyncio.Future[AnyEvent] = asyncio.get_running_loop().create_future()
        number = self._last + 1
        self._waiting[number] = future
        try:
            self._number(command)
            async with asyncio.timeout(timeout):
                reply = await future
        finally:
            self._waiting.pop(number, None)
        if isinstance(reply, CommandFailed):
            raise CommandError(reply)
        return reply

    def _number(self, command: AnyCommand) -> None:
        """Send a command under the next number. Raises `LinkClosed` and `ProtocolError`."""
        if self._gone is not None:  # a stopped engine's pipe may still take bytes
            raise LinkClosed(str(self._gone) or "the engine has stopped")
        self._last += 1
        command = msgspec.structs.replace(command, request=self._last)
        if self._link is None:
            self._kept.append(command)
        else:
            self._link.send(command)

    def take_reply(self, reply: CommandReply) -> bool:
        """Give a reply to the caller that waits for it; False if none does."""
        future = self._waiting.get(reply.request)
        if future is None or future.done():
            return False
        future.set_result(reply)  # type: ignore[arg-type]
        return True

    def fail(self, error: Exception) -> None:
        """Refuse everything from now on: callers that wait get the error, and so do later ones."""
        self._gone = error
        self._kept.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
