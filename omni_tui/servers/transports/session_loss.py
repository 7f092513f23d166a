"""The one place that tells whether an HTTP answer means that the server does not know our session.

The specification asks for status 404 and leaves the body open. Servers also answer 400, in the words of
the examples they were made after. Only answers to requests that name a session are looked at, and
never a tool's own words: those come with status 200.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

import mcp_types as types

STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)
NORMAL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": None,
    "error": {"code": types.INVALID_REQUEST, "message": "Session not found"},
}
"""What such an answer is replaced by, with status 404."""

_CODES = (types.INVALID_REQUEST, types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)
"""-32600, -32000 and -32001: with others the server has looked at the request itself."""

_LONGEST_WORDS = 200
_ID = r"(?:mcp[- ])?session[- ]?id(?: header)?"
_SESSION = rf"(?:{_ID}|(?:mcp[- ])?session)"
_WORDS = re.compile(
    rf"\b{_SESSION}(?: \S{{1,64}})? (?:(?:was|is|does|has been) )?(?:not |un)"
    r"(?:found|known|initiali[sz]ed|exist|valid|recogni[sz]ed)\b"
    rf"|\b{_SESSION}(?: \S{{1,64}})? (?:(?:was|is|has|has been) )?(?:terminated|expired|closed|invalid)\b"
    rf"|\b{_ID} (?:is )?(?:required|missing)\b"
    rf"|\b(?:no valid|invalid|expired|unknown|missing|no such|invalid or \w+|missing or \w+) {_SESSION}\b"
    r"|\bserver (?:is )?not initiali[sz]ed\b"
    r"|\bno transport found\b|\bcould not find session\b",
    re.IGNORECASE,
)


def means_session_lost(status: int, body: bytes) -> bool:
    """Return whether an answer to a request of a session says that the session is unknown."""
    if status not in STATUSES:
        return False
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        plain = len(text) <= _LONGEST_WORDS and not text.startswith("<")
        return status == HTTPStatus.NOT_FOUND or (plain and _speaks_of_it(text))
    if isinstance(said, dict) and isinstance(error := said.get("error"), dict) and "code" in error:
        return error["code"] in _CODES and _speaks_of_it(error.get("message"))
    if status == HTTPStatus.NOT_FOUND:
        return True
    words = list(said.values()) if isinstance(said, dict) else [said]
    return any(_speaks_of_it(each) for each in words[:8])


def _speaks_of_it(text: object) -> bool:
    return isinstance(text, str) and _WORDS.search(text[:_LONGEST_WORDS]) is not None
