"""In which order transports and protocol eras are tried for a server.

A URL is tried with streamable HTTP; after an answer of 400, 404 or 405 with the older SSE (MCP,
basic/transports, backwards compatibility). What worked is stored: the next start skips the attempt that
failed and, for servers of the handshake versions, the probe for the modern one, which takes 10 s with a
server that ignores it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from omni_tui.config.spec import ServerSpec, TransportKind

_log = logging.getLogger(__name__)

_Found = TypeVar("_Found")
Era = Literal["legacy", "modern"]
ConnectOutcome = Literal["absent", "refused", "silent", "other"]
"""How an attempt failed: nothing speaks this transport there; the server refused; it did not answer, or
exited; anything else (unreachable, not authorised), which says nothing about the transport."""


@dataclass(frozen=True, slots=True)
class KnownTransport:
    """The transport and era that worked with a server."""

    transport: TransportKind
    era: Era


@dataclass(frozen=True, slots=True)
class TransportChoice:
    """What to try next. `legacy` skips the probe; `remembered`: chosen because it worked before."""

    transport: TransportKind
    legacy: bool
    remembered: bool = False


class KnownTransportStore(Protocol):
    """Stores what worked. Its methods use the disk and are called in threads."""

    def recall(self, spec: ServerSpec) -> KnownTransport | None:
        """Return what worked with exactly this server, None if unknown."""

    def remember(self, spec: ServerSpec, known: KnownTransport) -> None:
        """Store what worked."""

    def forget(self, spec: ServerSpec) -> None:
        """Forget what worked: it does not any more."""


class ConnectStrategy:
    """Chooses the transports of one connection, over all reconnections."""

    def __init__(self, memory: KnownTransportStore | None) -> None:
        self._memory = memory
        self._spec = ServerSpec(name="")
        self._known: KnownTransport | None = None
        self._tried: set[TransportKind] = set()
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def has_worked(self) -> bool:
        """Whether the server was ever connected, also at an earlier start; valid after `begin`."""
        return self._known is not None

    async def begin(self, spec: ServerSpec) -> TransportChoice:
        """Return what to try first when connecting."""
        self._spec = spec
        self._tried.clear()
        if self._known is None and self._memory is not None:
            self._known = await asyncio.to_thread(_quietly, self._memory.recall, spec)
        return self._note(self._remembered() or self._full())

    def worked(self, choice: TransportChoice, era: Era) -> None:
        """Note that the handshake succeeded; it is stored in the background."""
        self._known = KnownTransport(choice.transport, era)
        if self._memory is not None:
            writing = asyncio.to_thread(_quietly, self._memory.remember, self._spec, self._known)
            task = asyncio.create_task(writing, name="remember what worked")
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def after(self, choice: TransportChoice, outcome: ConnectOutcome) -> TransportChoice | None:
        """Return what to try at once after a failure before the handshake, None for nothing."""
        wrong = choice.remembered and outcome != "other"
        if wrong:
            self._known = None
            if self._memory is not None:
                await asyncio.to_thread(_quietly, self._memory.forget, self._spec)
        if wrong and outcome in ("absent", "refused"):
            return self._note(self._full())
        older = choice.transport == "http" and self._spec.web == "auto" and "sse" not in self._tried
        return self._note(TransportChoice("sse", legacy=True)) if outcome == "absent" and older else None

    async def settle(self) -> None:
        """Wait for writing in the background."""
        if self._writing:
            await asyncio.wait(self._writing)

    def _remembered(self) -> TransportChoice | None:
        spec, known = self._spec, self._known
        if known is None:
            return None
        by_address = spec.transport == "http" and known.transport in ("http", "sse")
        fits = known.transport == spec.transport or (by_address and spec.web == "auto")
        legacy = known.era == "legacy" or known.transport == "sse" or spec.mode == "legacy"
        usual = self._full()
        if not fits or (known.transport, legacy) == (usual.transport, usual.legacy):
            return None
        return TransportChoice(known.transport, legacy, remembered=True)

    def _full(self) -> TransportChoice:
        """Return what to try first if nothing is known. SSE is older than the modern era."""
        kind = self._spec.transport
        return TransportChoice(kind, legacy=self._spec.mode == "legacy" or kind == "sse")

    def _note(self, choice: TransportChoice) -> TransportChoice:
        self._tried.add(choice.transport)
        return choice


def _quietly(act: Callable[..., _Found], *given: object) -> _Found | None:
    """Run what uses the disk; a failure only costs an attempt at the next start."""
    try:
        return act(*given)
    except Exception:
        _log.exception("what worked with servers could not be read or written")
        return None
