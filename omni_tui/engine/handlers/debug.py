"""The command about the debug view: what passed since the last reading, and how much waits where."""

from __future__ import annotations

import asyncio
import time

from omni_tui.engine.clients import Client
from omni_tui.engine.core import Engine
from omni_tui.engine.handlers.base import Handlers
from omni_tui.observability.debug_recorder import DebugRecorder
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.debug import DebugRead, QueueDepth, ReadDebug

_PAGE = 300
"""Entries of a page; it must fit a frame."""


class DebugHandlers(Handlers):
    """Reads what was recorded for its client, and has recording go on."""

    def __init__(self, engine: Engine, client: Client, recorder: DebugRecorder) -> None:
        super().__init__(engine, client)
        self._recorder = recorder

    async def _read(self, command: ReadDebug) -> AnyEvent:
        recorder, context = self._recorder, self._context
        recorder.look()
        self._client.outbox.recorder = recorder
        for name in context.registry.names():
            context.registry.get(name).wire.meter.watch(recorder)
        started = time.perf_counter()
        await asyncio.sleep(0)
        loop_ms = (time.perf_counter() - started) * 1000
        entries, dropped = recorder.after(command.after, _PAGE)
        return DebugRead(
            entries=entries,
            queues=self._queues(),
            dropped=dropped,
            more=len(entries) == _PAGE,
            loop_ms=loop_ms,
        )

    def _queues(self) -> tuple[QueueDepth, ...]:
        context, session = self._context, self._session
        pool = context.pool.depth()
        depths = {
            "events to this client": self._client.outbox.queued,
            "journal": session.journal.queued,
            "waiting for you": len(session.gate.pending()),
            "threads": pool.queued,
            "export": context.telemetry.queued,
            "log": context.log.queued if context.log is not None else 0,
        }
        return tuple(QueueDepth(name=name, waiting=waiting) for name, waiting in depths.items())
