"""The transports by name, and the one place where they are made."""

from __future__ import annotations

from functools import partial

from omni_tui.config.spec import ServerSpec, TransportKind
from omni_tui.servers.added_transports import AddedTransports, TransportMaker
from omni_tui.servers.transports.added import AddedTransport
from omni_tui.servers.transports.base import Transport, TransportContext
from omni_tui.servers.transports.http import HttpTransport
from omni_tui.servers.transports.memory import MemoryTransport
from omni_tui.servers.transports.sse import SseTransport
from omni_tui.servers.transports.stdio import StdioTransport


def make(
    kind: TransportKind, spec: ServerSpec, context: TransportContext, added: AddedTransports
) -> Transport:
    """Return a new transport; it starts when it is entered."""
    makers: dict[TransportKind, TransportMaker] = {
        "stdio": StdioTransport,
        "http": HttpTransport,
        "sse": SseTransport,
        "memory": MemoryTransport,
        "plugin": partial(AddedTransport, added=added),
    }
    return makers[kind](spec, context)
