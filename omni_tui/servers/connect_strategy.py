"""Which transport and protocol era are tried for a server, in which order, and what worked before.

An address is spoken to by streamable HTTP; where that is answered with 400, 404 or 405, the older SSE
is tried, as the specification's section on backwards compatibility of the transports says. What
worked is remembered, so that the next start skips the attempt that fails and, with servers of the
handshake versions, the probe for the modern one, which costs 10 s with a server that ignores it.
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
"""How an attempt failed: nothing speaks this transport there; the server was spoken to and refused; it
did not answer, or died; anything else (unreachable, not authorised), which says nothing of the way."""


@dataclass(frozen=True, slots=True)
class KnownTransport:
    """What worked with a server."""

    transport: TransportKind
    era: Era


@dataclass(frozen=True, slots=True)
class TransportChoice:
    """One way to connect. `legacy` skips the probe; `remembered`: chosen because it worked before."""

    transport: TransportKind
    legacy: bool
    remembered: bool = False


class KnownTransportStore(Protocol):
    """Keeps what worked over restarts. Its methods touch the disk and are called in threads."""

    def recall(self, spec: ServerSpec) -> KnownTransport | None:
        """Return what worked with exactly this server, None if nothing is known."""

    def remember(self, spec: ServerSpec, known: KnownTransport) -> None:
        """Note what worked."""

    def forget(self, spec: ServerSpec) -> None:
        """Forget what worked: it did not any more."""


class ConnectStrategy:
    """The ways of one connection, life after life."""

    def __init__(self, memory: KnownTransportStore | None) -> None:
        self._memory = memory
        self._spec = ServerSpec(name="")
        self._known: KnownTransport | None = None
        self._tried: set[TransportKind] = set()
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def has_worked(self) -> bool:
        """Whether the server was connected before, now or at an earlier start; valid after `begin`."""
        return self._known is not None

    async def begin(self, spec: ServerSpec) -> TransportChoice:
        """Return the first way of a new life."""
        self._spec = spec
        self._tried.clear()
        if self._known is None and self._memory is not None:
            self._known = await asyncio.to_thread(_quietly, self._memory.recall, spec)
        return self._note(self._remembered() or self._full())

    def worked(self, way: TransportChoice, era: Era) -> None:
        """Note that the handshake succeeded; it is written in the background."""
        self._known = known = KnownTransport(way.transport, era)
        if self._memory is not None:
            memory, spec = self._memory, self._spec
            self._background(lambda: memory.remember(spec, known))

    async def after(self, way: TransportChoice, verdict: ConnectOutcome) -> TransportChoice | None:
        """Return what to try at once after a way failed before the handshake; None: nothing."""
        wrong = way.remembered and verdict != "other"
        if wrong:
            self._known = None
            if self._memory is not None:
                await asyncio.to_thread(_quietly, self._memory.forget, self._spec)
        if wrong and verdict in ("absent", "refused"):
            return self._note(self._full())
        older = way.transport == "http" and self._spec.web == "auto" and "sse" not in self._tried
        return self._note(TransportChoice("sse", legacy=True)) if verdict == "absent" and older else None

    async def settle(self) -> None:
        """Wait for what is being written."""
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
        """Return the way to begin with when nothing is known. SSE is older than the modern era."""
        kind = self._spec.transport
        return TransportChoice(kind, legacy=self._spec.mode == "legacy" or kind == "sse")

    def _note(self, way: TransportChoice) -> TransportChoice:
        self._tried.add(way.transport)
        return way

    def _background(self, write: Callable[[], None]) -> None:
        task = asyncio.create_task(asyncio.to_thread(_quietly, write), name="remember a way")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def _quietly(act: Callable[..., _Found], *given: object) -> _Found | None:
    """Do what touches the disk; failing costs a detour at the next start, nothing else."""
    try:
        return act(*given)
    except Exception:
        _log.exception("what worked with servers could not be read or written")
        return None
