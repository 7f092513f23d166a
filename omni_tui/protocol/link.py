"""The link that carries commands one way and events the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from omni_tui.protocol.commands import AnyCommand
from omni_tui.protocol.events import AnyEvent


class LinkClosed(Exception):
    """The engine is gone; the text says why, for the person."""


class Link(Protocol):
    """The face's end of a connection to an engine."""

    def send(self, command: AnyCommand) -> None:
        """Queue a command; never blocks. Raises `LinkClosed` or `ProtocolError`."""
        ...

    def events(self) -> AsyncIterator[AnyEvent]:
        """Yield events as they come; raises `LinkClosed` if the engine ends unexpectedly."""
        ...

    async def close(self) -> None:
        """Say goodbye and wait, at most 6 s, until the engine has ended."""
        ...
