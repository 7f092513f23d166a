"""What an answer to `tools/call` means: a result, a refusal, or an unknown outcome."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import mcp_types as types

from omni_tui.security.text import safe, safe_line
from omni_tui.servers.base import CallError, RawResult
from omni_tui.servers.tap import InFlightCall
from omni_tui.servers.transports.http_failures import status_text
from omni_tui.servers.transports.json_rpc import MalformedResponse, error_words

CONNECTION_CUT = "the connection was cut; the call may or may not have run"
MAX_ROUNDS = 10
"""How often a server may ask for input in the course of one call."""
_PROGRESS_PAUSE = 0.1
STAND_INS = ("Server returned an error response", "Not Found")
"""What the SDK says in the server's name when an HTTP response has no JSON-RPC error in it."""

ProgressFn = Callable[[float, float | None, str], None]


def result_of(answer: dict[str, Any]) -> RawResult:
    """Return a server's result as it came. Raises `CallError` if it is not final.

    The call ran, so a sloppy result is still used: content that is no object becomes a text block.
    """
    kind = answer.get("resultType", "complete")
    if kind != "complete":
        what = f"the server answered with {safe_line(repr(kind), limit=60)}, which is not supported yet"
        raise CallError(what, sent=True, answered=True)
    content = answer.get("content")
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    structured = answer.get("structuredContent")
    return RawResult(
        content=[_as_object(block) for block in blocks],
        structured=structured,
        has_structured=structured is not None or ("structuredContent" in answer and "resultType" in answer),
        is_error=answer.get("isError") is True,
    )


def _as_object(block: Any) -> dict[str, Any]:
    if isinstance(block, dict):
        return block
    text = block if isinstance(block, str) else json.dumps(block, ensure_ascii=False)
    return {"type": "text", "text": text}


def refused_call_error(call: InFlightCall, *, http: bool) -> CallError:
    """Return the error for a call that was answered with a JSON-RPC error.

    Over HTTP the SDK also writes such errors itself. Those are told apart by status and code: they say
    nothing about whether the call ran.
    """
    assert call.refusal is not None
    error = call.refusal.error
    if http and error.code == types.CONNECTION_CLOSED:
        return CallError(CONNECTION_CUT, sent=True)
    if http and error.code == types.PARSE_ERROR and call.status < HTTPStatus.BAD_REQUEST:
        what = safe(call.words) or "its answer could not be read; the call has probably run"
        return CallError(what, sent=True)
    if http and error.message in STAND_INS and call.status >= HTTPStatus.BAD_REQUEST:
        return _refused_by_status(call.status, call.words)
    if isinstance(call.refusal, MalformedResponse) and not call.refusal.answered:
        return CallError(safe(error.message, limit=4000), sent=True)
    if error.code == types.URL_ELICITATION_REQUIRED:  # the page in its data is shown separately
        what = f"{safe(error.message, limit=4000)} (error {error.code})"
    else:
        what = error_words(error, partial(safe, limit=4000))
    return CallError(what, sent=True, answered=True)


def _refused_by_status(status: int, words: str) -> CallError:
    what = f"the server answered {status_text(status)}" + (f": {safe(words)}" if words else "")
    if status == HTTPStatus.UNAUTHORIZED:
        what = f"needs authorisation: {what}"
    answered = status < HTTPStatus.INTERNAL_SERVER_ERROR
    return CallError(
        what if answered else f"{what}; the call may or may not have run",
        sent=True,
        answered=answered,
        refused=status == HTTPStatus.TOO_MANY_REQUESTS,
    )


class ProgressThrottle:
    """Reports the progress of a call at most ten times a second, and always the last state."""

    def __init__(self, report: ProgressFn) -> None:
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._next = 0.0
        self._latest: tuple[float, float | None, str] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Take a report of the server. It is passed on now or soon."""
        if not math.isfinite(progress):
            return
        total = total if total is not None and math.isfinite(total) else None
        self._latest = (progress, total, safe_line(message or "", limit=500, joined=True))
        wait = self._next - self._loop.time()
        if wait <= 0:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(wait, self.flush)

    def flush(self) -> None:
        """Report what has not been reported yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._latest is not None:
            latest, self._latest = self._latest, None
            self._next = self._loop.time() + _PROGRESS_PAUSE
            self._report(*latest)
