"""Which answers mean that a server has forgotten our session, in the words of those who write servers."""

from __future__ import annotations

import json

import pytest

from omni_tui.servers.transports.error_responses import NORMAL, means_session_lost


def _error(code: int, message: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, -32600, "Session terminated"),
        (404, -32600, "Session not found"),
        (404, -32001, "Session not found"),
        (404, -32600, "Not Found: Invalid or expired session ID"),
        (400, -32000, "Bad Request: No valid session ID provided"),
        (400, -32000, "Bad Request: Server not initialized"),
        (400, -32000, "Bad Request: Mcp-Session-Id header is required"),
        (400, -32000, "Bad Request: Session not initialized"),
        (400, -32600, "Bad Request: Missing session ID"),
        (400, -32600, "Invalid Mcp-Session-Id header"),
        (400, -32000, "Session 4f2a has expired"),
        (404, -32001, "session id abc-1 does not exist"),
        (400, -32600, "Unknown session"),
    ],
)
def test_forgotten_session(status: int, code: int, message: str) -> None:
    assert means_session_lost(status, _error(code, message))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b""),
        (404, b"<html>Not Found</html>"),
        (404, b'{"detail": "Not Found"}'),
        (400, b'{"error": "No valid session ID provided"}'),
        (400, b'{"message": "Session expired"}'),
        (400, b"Invalid session ID"),
        (400, b"No transport found for sessionId"),
        (404, b"Could not find session"),
    ],
)
def test_without_a_json_rpc_error(status: int, body: bytes) -> None:
    assert means_session_lost(status, body)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (200, -32001, "Session not found in the calendar"),
        (200, -32000, "No valid session ID provided"),
        (400, -32602, "there is no session 7"),
        (400, -32602, "Invalid session ID"),
        (400, -32603, "Session not found"),
        (404, -32601, "Not Found"),
        (404, -32601, "no such method: session/list"),
        (400, -32000, "Bad Request: Unsupported protocol version"),
        (400, -32600, "session was found to be valid"),
        (400, -32600, "the session field is required"),
        (400, -32000, "the database is not initialized"),
        (400, -32600, "x" * 300 + " session not found"),
        (401, -32600, "Session not found"),
        (502, -32000, "Connection closed"),
        (500, -32603, "the session store is down"),
    ],
)
def test_other_refusals_leave_the_session(status: int, code: int, message: str) -> None:
    assert not means_session_lost(status, _error(code, message))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"[1]",
        b"<p>Session expired, log in again</p>",
        b'{"error": {"code": "x", "message": "Session expired"}}',
        b"[" * 50_000,
        b"\xff session \xff",
        b"words " * 100 + b"session not found",
    ],
)
def test_other_words_of_a_bad_request(body: bytes) -> None:
    assert not means_session_lost(400, body)


def test_the_one_form_is_understood() -> None:
    assert means_session_lost(404, json.dumps(NORMAL).encode())
