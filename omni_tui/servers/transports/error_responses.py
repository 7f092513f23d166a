"""Reads HTTP error responses as servers really write them: their words, and whether our session is lost.

The specification answers an unknown session with status 404 and leaves the body open. Servers also
answer 400, in the words of the examples they were made after. Only answers to requests that name a
session are looked at, and never a tool's own words: those come with status 200.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from http import HTTPStatus
from typing import Any

import httpx2
import mcp_types as types

from omni_tui.servers.transports.json_rpc import AMBIGUOUS, NO_CODE

_LONGEST = 64 * 1024
"""How much of a body is read, in bytes; the words of a refusal are short."""
_PATIENCE = 10.0
"""Seconds for the body of a refusal."""
_MOST_WORDS = 300
_DEEPEST = 4
_TITLE = re.compile(r"<title[^>]{0,200}>(.{1,1000}?)</title>", re.IGNORECASE | re.DOTALL)
_HEADING = re.compile(r"<h[12][^>]{0,200}>(.{1,1000}?)</h[12]>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]{0,200}>")
_DESCRIPTION = re.compile(r'error_description="([^"]{1,300})"')
_FRAMING = ("content-length", "content-encoding", "transfer-encoding")


def with_id(response: httpx2.Response) -> httpx2.Response:
    """Return a read error response with the `id` that its JSON-RPC error lacks; others unchanged.

    JSON-RPC 2.0, section 5, asks for `"id": null` where the request is unknown. Many servers leave it
    out, and the SDK then drops the whole error with the server's words.
    """
    if not response.headers.get("content-type", "").lower().startswith("application/json"):
        return response
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return response
    if not isinstance(body, dict) or "error" not in body or "method" in body:
        return response
    error = body["error"]
    ambiguous = isinstance(error, dict) and error.get("code") in AMBIGUOUS
    if ambiguous and isinstance(error.get("message"), str):  # mark it as the server's own
        words = f"{error['message']} (error {error['code']})"
        body["error"] = {**error, "code": NO_CODE, "message": words}
    elif "id" in body:
        return response
    return _instead(response, json.dumps({"jsonrpc": "2.0", "id": None, **body}).encode())


async def read_refusal(response: httpx2.Response) -> httpx2.Response:
    """Return an error response with at most 64 KiB of its body, empty if that does not come in 10 s."""
    if response.is_closed:
        return response
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LONGEST:
                    break
    except (TimeoutError, httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError):
        body.clear()
    finally:
        await response.aclose()
    return _instead(response, bytes(body[:_LONGEST]))


def response_words(response: httpx2.Response) -> str:
    """Return the server's words in a read error response, short and not safe to show; "" for none."""
    body = response.content[:_LONGEST]
    kind = response.headers.get("content-type", "").lower()
    words = ""
    try:
        words = _words(json.loads(body))
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
        if "html" in kind or text.lstrip()[:1] == "<":
            found = _TITLE.search(text) or _HEADING.search(text)
            words = html.unescape(_TAG.sub(" ", found[1])) if found else ""
        elif text.isprintable() or kind.startswith("text/"):
            words = text
    words = " ".join(words.split())
    if words.lower().startswith(f"{response.reason_phrase.lower()}: "):
        words = words[len(response.reason_phrase) + 2 :]
    phrase = f"{response.status_code} {response.reason_phrase}".strip().lower()
    if words.lower() in (phrase, response.reason_phrase.lower(), str(response.status_code)):
        words = ""
    if not words:
        found = _DESCRIPTION.search(response.headers.get("www-authenticate", "")[:4096])
        words = found[1] if found else ""
    return words[: _MOST_WORDS - 1] + "…" if len(words) > _MOST_WORDS else words


def _words(body: object, depth: int = 0) -> str:
    """Return the words of a JSON body (JSON-RPC, OAuth, RFC 9457, JSON:API)."""
    if isinstance(body, str):
        return body
    if isinstance(body, list) and body and depth < _DEEPEST:
        return _words(body[0], depth + 1)
    if not isinstance(body, dict) or depth >= _DEEPEST:
        return ""
    parts: list[str] = []
    for name in ("error", "errors", "error_description", "message", "detail", "title", "reason"):
        if (words := _words(body.get(name), depth + 1)) and words not in parts:
            parts.append(words)
    return ": ".join(parts[:2])


def _instead(response: httpx2.Response, body: bytes) -> httpx2.Response:
    headers = {name: value for name, value in response.headers.items() if name not in _FRAMING}
    return httpx2.Response(response.status_code, content=body, headers=headers, request=response.request)


STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)
NORMAL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": None,
    "error": {"code": types.INVALID_REQUEST, "message": "Session not found"},
}
"""Replaces such an answer, with status 404."""

_CODES = (types.INVALID_REQUEST, types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)
"""-32600, -32000 and -32001; other codes mean that the server has read the request."""

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
    """Return whether an answer to a request of a session says that the server does not know the session."""
    if status not in STATUSES:
        return False
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        plain = len(text) <= _LONGEST_WORDS and not text.startswith("<")
        return status == HTTPStatus.NOT_FOUND or (plain and _speaks_of_it(text))
    if isinstance(answer, dict) and isinstance(error := answer.get("error"), dict) and "code" in error:
        return error["code"] in _CODES and _speaks_of_it(error.get("message"))
    if status == HTTPStatus.NOT_FOUND:
        return True
    words = list(answer.values()) if isinstance(answer, dict) else [answer]
    return any(_speaks_of_it(each) for each in words[:8])


def _speaks_of_it(text: object) -> bool:
    return isinstance(text, str) and _WORDS.search(text[:_LONGEST_WORDS]) is not None
