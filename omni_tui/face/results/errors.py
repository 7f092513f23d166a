"""Errors of requests to the engine, in words."""

from __future__ import annotations

from omni_tui.face.port import CommandError
from omni_tui.protocol import LinkClosed
from omni_tui.security.text import safe_line

REQUEST_ERRORS = (CommandError, TimeoutError, LinkClosed)
"""Everything `Port.ask` raises."""


def error_text(error: Exception) -> str:
    """Return what happened, why and what to do, on one line."""
    if isinstance(error, CommandError):
        failure = error.failure
        return " · ".join(bit for bit in (failure.what, failure.why, failure.todo) if bit)
    if isinstance(error, TimeoutError):
        return "the engine did not answer in time; try again"
    return safe_line(str(error))
