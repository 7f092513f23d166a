"""Tells the server of a call which trace it belongs to. Importing this module loads OpenTelemetry's API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opentelemetry import context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from omni_tui.observability.trace_ids import span_id, trace_id

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@contextlib.contextmanager
def attached(session: str, turn: str, call: str) -> Iterator[None]:
    """Let requests in this block carry the trace of a call. The SDK writes what it finds in the context."""
    known = SpanContext(trace_id(session, turn or call), span_id(session, call), False, _SAMPLED)
    token = context.attach(set_span_in_context(NonRecordingSpan(known)))
    try:
        yield
    finally:
        context.detach(token)
