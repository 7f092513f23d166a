"""The transports by name, and the one place where they are made.

A transport is an async context manager that yields the two streams for the SDK's `Client` and can
say in words why the connection ended. More kinds may be registered; a session knows none of them.
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
    """What a session asks of a transport."""

    @property
    def web(self) -> bool:
        """Whether it goes over HTTP: the SDK may answer in the server's name, and silence means nothing."""

    @property
    def pid(self) -> int | None:
        """Process id of a server that is a program of ours."""

    @property
    def invalid_messages(self) -> int:
        """How much came that was no message."""

    @property
    def absent(self) -> bool:
        """Whether the server was reached and nothing speaks this transport at its address."""

    @property
    def forgotten(self) -> bool:
        """Whether the server was heard to say that it does not know our session."""

    async def __aenter__(self) -> TransportStreams: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    def failure(self) -> ConnectionFailure | None:
        """Return why the connection could not be made or ended, as far as the transport knows."""


@dataclass(frozen=True, slots=True)
class TransportContext:
    """What transports are made of besides the server's settings.

    `on_lost` is called when the connection is gone for good; `auth` signs the requests of those that
    go over HTTP; `hide` takes our secrets out of a server's words.
    """

    processes: Processes
    log: ServerLogBuffer
    on_lost: Callable[[], None]
    auth: httpx2.Auth | None = None
    hide: Callable[[str], str] = str


TransportFactory = Callable[[ServerSpec, TransportContext], Transport]

_makers: dict[str, TransportFactory] = {}


def register(kind: str, maker: TransportFactory) -> None:
    """Add a kind of transport. `ValueError` if there is one of that name."""
    if kind in _makers:
        raise ValueError(f"there is already a transport called {kind!r}")
    _makers[kind] = maker


def make(kind: str, spec: ServerSpec, needs: TransportContext) -> Transport:
    """Return a fresh transport; nothing happens before it is entered. `KeyError`: no such kind."""
    return _makers[kind](spec, needs)


def kinds() -> list[str]:
    """Return the names of all kinds."""
    return sorted(_makers)


register("stdio", lambda spec, needs: StdioTransport(spec, needs.processes, needs.log))
register(
    "http",
    lambda spec, needs: HttpTransport(
        spec, needs.on_lost, auth=needs.auth, on_odd=needs.log.note, hide=needs.hide
    ),
)
register(
    "sse",
    lambda spec, needs: SseTransport(
        spec, needs.on_lost, auth=needs.auth, on_odd=needs.log.note, hide=needs.hide
    ),
)
register("memory", lambda spec, needs: MemoryTransport(spec))
