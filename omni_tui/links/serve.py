"""The engine's end of a stream: commands in, events out, until the client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from omni_tui.links.frames import FrameTooLong, read_frame
from omni_tui.protocol import AnyCommand, AnyEvent, ProtocolError, decode_command, encode
from omni_tui.protocol.commands import Goodbye
from omni_tui.protocol.events import CommandFailed, CommandReply, Notice
from omni_tui.security.text import safe

logger = logging.getLogger(__name__)


class EventQueue(Protocol):
    """Where events for one client wait (`omni_tui.engine.clients.EventBuffer`)."""

    def offer(self, event: AnyEvent) -> None:
        """Queue an event."""
        ...

    def close(self) -> None:
        """End the iterator of `drain`."""
        ...

    def drain(self) -> object:
        """Yield batches of events."""
        ...


CommandCallback = Callable[[AnyCommand], Awaitable[None]]


async def read_commands(reader: asyncio.StreamReader, handle: CommandCallback, box: EventQueue) -> None:
    """Hand every command to `handle`, each in its own task; return when the client has gone.

    A frame that is no command is answered, and ends the connection if it was over-long.
    """
    tasks: set[asyncio.Future[None]] = set()
    while True:
        try:
            frame = await read_frame(reader)
            if not frame:
                break
            command = decode_command(frame)
        except ProtocolError as error:
            logger.warning("a bad frame: %s", error)
            box.offer(CommandFailed(what=safe(f"the engine did not understand: {error}", limit=500)))
            if isinstance(error, FrameTooLong):
                break
            continue
        if isinstance(command, Goodbye):
            break
        task = asyncio.ensure_future(handle(command))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def frame_of(event: AnyEvent) -> bytes:
    """Return an event's frame; one that does not fit becomes a notice, never an exception."""
    try:
        return encode(event)
    except ProtocolError as error:
        logger.error("an event does not fit a frame: %s", error)
        words = safe("something was too large to show", limit=200)
        if isinstance(event, CommandReply):
            return encode(CommandFailed(request=event.request, what=words))
        return encode(Notice(level="warning", what=words, why=safe(str(error), limit=300)))
