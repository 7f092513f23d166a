"""The ids of exported traces and spans, made of our own.

The same ids come out when a call is sent, so that its server can be told, and when its trace is exported
later. Ours are random, and so are these. Source: W3C Trace Context.
"""

from __future__ import annotations

from hashlib import blake2b


def trace_id(session: str, trace: str) -> int:
    """Return the id of the trace of a turn, or of a call by hand, in a session."""
    return int.from_bytes(blake2b(f"{session}/{trace}".encode(), digest_size=16).digest()) or 1


def span_id(session: str, span: str) -> int:
    """Return the id of a span: of a call, by its id, or of another one."""
    return int.from_bytes(blake2b(f"{session}/{span}".encode(), digest_size=8).digest()) or 1
