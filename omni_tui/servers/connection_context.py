"""What a connection needs of the world around it, and how it loads the SDK without holding the loop."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omni_tui.loading import without_collections
from omni_tui.security.text import safe_line
from omni_tui.servers.auth import SignIns
from omni_tui.servers.base import Dispatch
from omni_tui.servers.connect_strategy import KnownTransportStore
from omni_tui.servers.health import StartLimiter
from omni_tui.servers.listener import ServerListener
from omni_tui.servers.processes import Processes

if TYPE_CHECKING:
    from omni_tui.servers import mcp_session as live


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What a connection needs of the world around it; see `Registry`."""

    authority: Callable[[Dispatch], bool]
    processes: Processes
    gate: StartLimiter
    loading: asyncio.Lock
    sign_ins: SignIns
    listener: ServerListener
    memory: KnownTransportStore | None = None


def cancelled_by_us() -> bool:
    """Return whether the running task was cancelled from outside, not by the SDK."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _import_session() -> None:
    with without_collections():
        importlib.import_module("omni_tui.servers.mcp_session")
    for odd in ("\x1b", "\U0001f600\x1b"):  # the first text that is made safe compiles large tables
        safe_line(odd)


async def load_session(lock: asyncio.Lock) -> type[live.McpSession]:
    """Import the SDK in a thread, the first time: it takes a second of work.

    Under a lock, since importing on the loop what a thread is importing would wait for it there.
    """
    async with lock:
        await asyncio.to_thread(_import_session)
    from omni_tui.servers.mcp_session import McpSession

    return McpSession
