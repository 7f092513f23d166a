"""The interface of transports.

A transport is an async context manager that yields the two streams for the SDK's `Client`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import httpx2

from omni_tui.servers.connection_failure import ConnectionFailure
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.processes import Processes

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams


class Transport(Protocol):
    """What a session needs of a transport."""

    @property
    def web(self) -> bool:
        """Whether it uses HTTP, where the SDK may answer in the server's name."""

    @property
    def pid(self) -> int | None:
        """Process id of a server that runs as our child."""

    @property
    def invalid_messages(self) -> int:
        """How many invalid messages came."""

    @property
    def absent(self) -> bool:
        """Whether nothing speaks this transport at the address, though it was reached."""

    @property
    def session_lost(self) -> bool:
        """Whether the server said that it does not know our session."""

    async def __aenter__(self) -> TransportStreams: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    def failure(self) -> ConnectionFailure | None:
        """Return why connecting failed or the connection ended, as far as the transport knows."""


class ClosableStream(ABC):
    """The context manager of anyio's streams: leaving it closes the stream."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the stream."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@dataclass(frozen=True, slots=True)
class TransportContext:
    """What transports need besides the server's settings.

    `on_lost` is called when the connection is lost for good; `auth` signs HTTP requests; `hide` takes
    our secrets out of a server's words.
    """

    processes: Processes
    log: ServerLogBuffer
    on_lost: Callable[[], None]
    auth: httpx2.Auth | None = None
    hide: Callable[[str], str] = str
