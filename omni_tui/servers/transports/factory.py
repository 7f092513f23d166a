"""The transports by name, and the one place where they are made."""

from __future__ import annotations

from collections.abc import Callable

from omni_tui.config.spec import ServerSpec, TransportKind
from omni_tui.servers.transports.base import Transport, TransportContext
from omni_tui.servers.transports.http import HttpTransport
from omni_tui.servers.transports.memory import MemoryTransport
from omni_tui.servers.transports.sse import SseTransport
from omni_tui.servers.transports.stdio import StdioTransport

_FACTORIES: dict[TransportKind, Callable[[ServerSpec, TransportContext], Transport]] = {
    "stdio": StdioTransport,
    "http": HttpTransport,
    "sse": SseTransport,
    "memory": MemoryTransport,
}


def make(kind: TransportKind, spec: ServerSpec, context: TransportContext) -> Transport:
    """Return a new transport; it starts when it is entered."""
    return _FACTORIES[kind](spec, context)
