"""What a connection needs of the world around it, and how it loads the SDK without holding the loop."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omni_tui.loading import without_collections
from omni_tui.protocol import Event
from omni_tui.security.text import safe_line
from omni_tui.servers.approach import WayMemory
from omni_tui.servers.asks import Asker, OnRound, no_rounds
from omni_tui.servers.auth import SignIns
from omni_tui.servers.base import Dispatch, ToolDefinition
from omni_tui.servers.health import StartGate
from omni_tui.servers.offers import Offers
from omni_tui.servers.processes import Processes

if TYPE_CHECKING:
    from omni_tui.servers import session as live


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connection needs of the world around it; see `Registry`."""

    authority: Callable[[Dispatch], bool]
    processes: Processes
    gate: StartGate
    loading: asyncio.Lock
    sign_ins: SignIns
    on_event: Callable[[Event], None]
    on_tools: Callable[[str, list[ToolDefinition]], None]
    on_gone: Callable[[str], None]
    on_offers: Callable[[str, Offers], None] = lambda _server, _offers: None
    on_updated: Callable[[str, str], None] = lambda _server, _uri: None
    on_log: Callable[[str, list[bytes | None]], None] = lambda _server, _lines: None
    memory: WayMemory | None = None
    asker: Asker | None = None
    on_round: OnRound = no_rounds


def cancelled_by_us() -> bool:
    """Return whether the running task was cancelled from outside, not by the SDK."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _import_session() -> None:
    with without_collections():
        importlib.import_module("omni_tui.servers.session")
    for odd in ("\x1b", "\U0001f600\x1b"):  # the first text that is made safe compiles large tables
        safe_line(odd)


async def load_session(lock: asyncio.Lock) -> type[live.Session]:
    """Import the SDK in a thread, the first time: it takes a second of work.

    Under a lock, since importing on the loop what a thread is importing would wait for it there.
    """
    async with lock:
        await asyncio.to_thread(_import_session)
    from omni_tui.servers.session import Session

    return Session
