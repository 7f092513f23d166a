"""The transports by name, and the one place where they are made."""

from __future__ import annotations

from collections.abc import Callable

from omni_tui.config.spec import ServerSpec
from omni_tui.servers.transports.base import Transport, TransportContext
from omni_tui.servers.transports.http import HttpTransport
from omni_tui.servers.transports.memory import MemoryTransport
from omni_tui.servers.transports.sse import SseTransport
from omni_tui.servers.transports.stdio import StdioTransport

TransportFactory = Callable[[ServerSpec, TransportContext], Transport]

_factories: dict[str, TransportFactory] = {
    "stdio": StdioTransport,
    "http": HttpTransport,
    "sse": SseTransport,
    "memory": MemoryTransport,
}


def register(kind: str, factory: TransportFactory) -> None:
    """Add a kind of transport. Raises `ValueError` if the name is taken."""
    if kind in _factories:
        raise ValueError(f"there is already a transport called {kind!r}")
    _factories[kind] = factory


def make(kind: str, spec: ServerSpec, context: TransportContext) -> Transport:
    """Return a new transport; it starts when it is entered. Raises `KeyError`."""
    return _factories[kind](spec, context)


def kinds() -> list[str]:
    """Return the names of all kinds, sorted."""
    return sorted(_factories)
