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
from mcp_types import ErrorData

from omni_tui.servers.transports.json_rpc import AMBIGUOUS, as_server_error

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
    mended = _mended(response.content)
    return response if mended is None else _instead(response, mended)


async def read_refusal(response: httpx2.Response) -> httpx2.Response:
    """Return an error response with at most 64 KiB of its body, empty if that does not come."""
    try:
        return await read_beginning(response)
    except (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError):
        return _instead(response, b"")


def response_words(response: httpx2.Response) -> str:
    """Return the server's words in a read error response as one short line, "" if it has none.

    The words are not safe to show as they are.
    """
    body = response.content[:_LONGEST]
    kind = response.headers.get("content-type", "").lower()
    said = ""
    try:
        said = _said(json.loads(body))
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
        if "html" in kind or text.lstrip()[:1] == "<":
            said = _of_page(text)
        elif text.isprintable() or kind.startswith("text/"):
            said = text
    said = " ".join(said.split())
    if said.lower().startswith(f"{response.reason_phrase.lower()}: "):
        said = said[len(response.reason_phrase) + 2 :]
    phrase = f"{response.status_code} {response.reason_phrase}".strip().lower()
    if said.lower() in (phrase, response.reason_phrase.lower(), str(response.status_code)):
        said = ""
    if not said:
        found = _DESCRIPTION.search(response.headers.get("www-authenticate", "")[:4096])
        said = found[1] if found else ""
    return said[: _MOST_WORDS - 1] + "…" if len(said) > _MOST_WORDS else said


def _said(body: object, depth: int = 0) -> str:
    """Return the words of a JSON body (JSON-RPC, OAuth, RFC 9457, JSON:API)."""
    if isinstance(body, str):
        return body
    if isinstance(body, list) and body and depth < _DEEPEST:
        return _said(body[0], depth + 1)
    if not isinstance(body, dict) or depth >= _DEEPEST:
        return ""
    parts: list[str] = []
    for name in ("error", "errors", "error_description", "message", "detail", "title", "reason"):
        if (words := _said(body.get(name), depth + 1)) and words not in parts:
            parts.append(words)
    return ": ".join(parts[:2])


def _of_page(text: str) -> str:
    found = _TITLE.search(text) or _HEADING.search(text)
    return html.unescape(_TAG.sub(" ", found[1])) if found else ""


async def read_beginning(response: httpx2.Response) -> httpx2.Response:
    """Return an error response with at most 64 KiB of its body, read within 10 s.

    Raises `httpx2.TransportError` if the body breaks off or takes longer.
    """
    if response.is_closed:
        return response
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LONGEST:
                    break
    except TimeoutError:
        raise httpx2.ReadTimeout("the body of an error did not come") from None
    finally:
        await response.aclose()
    return _instead(response, bytes(body[:_LONGEST]))


def _mended(text: bytes) -> bytes | None:
    """Return a JSON-RPC error with its missing `id`, marked as the server's; None for anything else."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or "error" not in body or "method" in body:
        return None
    error = body["error"]
    ambiguous = isinstance(error, dict) and error.get("code") in AMBIGUOUS
    if ambiguous and isinstance(error.get("message"), str):
        theirs = as_server_error(ErrorData(code=error["code"], message=error["message"]))
        body["error"] = {**error, "code": theirs.code, "message": theirs.message}
    elif "id" in body:
        return None
    return json.dumps({"jsonrpc": "2.0", "id": None, **body}).encode()


def _instead(response: httpx2.Response, body: bytes) -> httpx2.Response:
    headers = {name: value for name, value in response.headers.items() if name not in _FRAMING}
    if kind := response.headers.get("content-type"):
        headers["content-type"] = kind
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
