"""The interface of transports: async context managers that yield the SDK's two streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx2
from mcp.client._transport import TransportStreams

from omni_tui.servers.connection_failure import ConnectionFailure
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.processes import Processes


class Transport(ABC):
    """What a session needs of a transport.

    `web`: it uses HTTP, where the SDK may answer in the server's name. `pid`: process id of a server that
    runs as our child, also the id of its group. `invalid_messages`: how many came. `session_lost`: the
    server said that it does not know our session.
    """

    web = False
    pid: int | None = None
    invalid_messages = 0
    session_lost = False

    @abstractmethod
    async def __aenter__(self) -> TransportStreams: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    def absent(self) -> bool:
        """Return whether nothing speaks this transport at the address, though it was reached."""
        return False

    def failure(self) -> ConnectionFailure | None:
        """Return why connecting failed or the connection ended, as far as the transport knows."""
        return None


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
