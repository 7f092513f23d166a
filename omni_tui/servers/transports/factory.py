"""The interface of transports, and the one place where they are made, by name.

A transport is an async context manager that yields the two streams for the SDK's `Client`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import httpx2

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.connection_failure import ConnectionFailure
from omni_tui.servers.log_buffer import ServerLogBuffer
from omni_tui.servers.processes import Processes
from omni_tui.servers.transports.http import HttpTransport
from omni_tui.servers.transports.memory import MemoryTransport
from omni_tui.servers.transports.sse import SseTransport
from omni_tui.servers.transports.stdio import StdioTransport

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
    def forgotten(self) -> bool:
        """Whether the server said that it does not know our session."""

    async def __aenter__(self) -> TransportStreams: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    def failure(self) -> ConnectionFailure | None:
        """Return why connecting failed or the connection ended, as far as the transport knows."""


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


TransportFactory = Callable[[ServerSpec, TransportContext], Transport]

_makers: dict[str, TransportFactory] = {}


def register(kind: str, maker: TransportFactory) -> None:
    """Add a kind of transport. Raises `ValueError` if the name is taken."""
    if kind in _makers:
        raise ValueError(f"there is already a transport called {kind!r}")
    _makers[kind] = maker


def make(kind: str, spec: ServerSpec, context: TransportContext) -> Transport:
    """Return a new transport; it starts when it is entered. Raises `KeyError`."""
    return _makers[kind](spec, context)


def kinds() -> list[str]:
    """Return the names of all kinds, sorted."""
    return sorted(_makers)


register("stdio", lambda spec, context: StdioTransport(spec, context.processes, context.log))
register(
    "http",
    lambda spec, context: HttpTransport(
        spec, context.on_lost, auth=context.auth, on_odd=context.log.note, hide=context.hide
    ),
)
register(
    "sse",
    lambda spec, context: SseTransport(
        spec, context.on_lost, auth=context.auth, on_odd=context.log.note, hide=context.hide
    ),
)
register("memory", lambda spec, context: MemoryTransport(spec))
