"""Which answers mean that a server has forgotten our session, in the words of those who write servers."""

from __future__ import annotations

import pytest
from mcp_types import ErrorData, JSONRPCError

from omni_tui.servers import Dispatch
from omni_tui.servers.calls import refusal_of, session_is_lost
from omni_tui.servers.tap import Opening


def _refused(status: int, code: int, message: str) -> Opening:
    opening = Opening(Dispatch("call-1", 1, "s", "echo", b"{}"))
    opening.status = status
    opening.refusal = JSONRPCError(jsonrpc="2.0", id=1, error=ErrorData(code=code, message=message))
    return opening


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, -32600, "Session terminated"),
        (404, -32600, "Session not found"),
        (404, -32001, "Session not found"),
        (400, -32000, "Bad Request: No valid session ID provided"),
    ],
)
def test_forgotten_session(status: int, code: int, message: str) -> None:
    opening = _refused(status, code, message)
    assert session_is_lost(opening)
    error = refusal_of(opening, http=True)
    assert error.answered
    assert "nothing was run" in error.what


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (200, -32001, "Session not found in the calendar"),
        (200, -32000, "No valid session ID provided"),
        (400, -32602, "there is no session 7"),
        (404, -32601, "Not Found"),
        (404, -32601, "no such method: session/list"),
        (400, -32000, "Bad Request: Unsupported protocol version"),
        (502, -32000, "Connection closed"),
        (500, -32603, "the session store is down"),
    ],
)
def test_other_refusals_leave_the_session(status: int, code: int, message: str) -> None:
    assert not session_is_lost(_refused(status, code, message))


def test_no_refusal_is_no_lost_session() -> None:
    assert not session_is_lost(Opening(Dispatch("call-1", 1, "s", "echo", b"{}")))
