"""The command about traces: list the last ones and return one whole."""

from __future__ import annotations

import time

import msgspec

from omni_tui.engine.handlers.base import Handlers
from omni_tui.observability.trace_fold import TraceFold
from omni_tui.protocol import AnyEvent
from omni_tui.protocol.traces import ReadTraces, Trace, TracesRead

_BYTES = 120 * 1024
"""Bytes of the spans of one trace as JSON; with the list of traces it must fit a frame."""


class TraceHandlers(Handlers):
    """Returns the traces of the session that the client follows."""

    async def _read(self, command: ReadTraces) -> AnyEvent:
        fold, now = await self._session.traces.read(), time.time()
        newest = sorted(fold.traces.values(), key=lambda trace: trace.began, reverse=True)
        wanted = command.id or (newest[0].id if newest else "")
        return TracesRead(
            traces=tuple(trace.summary() for trace in newest), shown=_whole(fold, wanted, now), now=now
        )


def _whole(fold: TraceFold, wanted: str, now: float) -> Trace | None:
    """Return a trace, without its last spans if they do not fit."""
    found = fold.traces.get(wanted)
    if found is None:
        return None
    trace = found.whole(now)
    size, kept = 0, 0
    for span in trace.spans:
        size += len(msgspec.json.encode(span))
        if size > _BYTES:
            break
        kept += 1
    left_out = trace.left_out + len(trace.spans) - kept
    return msgspec.structs.replace(trace, spans=trace.spans[:kept], left_out=left_out)
