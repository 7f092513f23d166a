"""Error responses over HTTP as servers really write them, made legible for the SDK."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterable, AsyncIterator
from http import HTTPStatus

import httpx2

_LONGEST = 64 * 1024
"""Longest body that is looked at, in bytes; the words of a refusal are short."""
_PATIENCE = 10.0
"""Seconds that the body of a refusal may take."""
_END = re.compile(rb"[\r\n]")
_FRAMING = ("content-length", "content-encoding", "transfer-encoding")


async def with_id(response: httpx2.Response) -> httpx2.Response:
    """Return the response, with an `id` in a JSON-RPC error that has none; anything else as it is.

    JSON-RPC 2.0, section 5, asks for `"id": null` where the request could not be attributed. Many
    servers leave it out, and the SDK then drops the whole error and the server's words with it.
    Raises `httpx2.TransportError` if the body breaks off.
    """
    kind = response.headers.get("content-type", "").lower()
    length = response.headers.get("content-length", "")
    if response.status_code < HTTPStatus.BAD_REQUEST or not kind.startswith("application/json"):
        return response
    if not (length.isascii() and length.isdigit()) or int(length) > _LONGEST:
        return response
    mended = _mended(await response.aread())
    return response if mended is None else _instead(response, mended)


async def with_ids(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield an event stream with the same done to the errors in its events, each of one `data` line."""
    held, whole = b"", True
    async for chunk in chunks:
        looked, held = len(held), held + chunk
        ready, end = [], 0
        for found in _END.finditer(held, looked):
            line, end = held[end : found.end()], found.end()
            ready.append(_mended_line(line) if whole else line)
            whole = True
        held = held[end:]
        if len(held) > _LONGEST or not whole:  # a long line goes through in pieces, as it is
            ready.append(held)
            held, whole = b"", not held and whole
        if ready:
            yield b"".join(ready)
    if held:
        yield held


async def beginning(response: httpx2.Response) -> httpx2.Response:
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


def _mended_line(line: bytes) -> bytes:
    if len(line) > _LONGEST or not line.startswith(b"data:") or b'"error"' not in line:
        return line
    mended = _mended(line[5:])
    return line if mended is None else b"data: " + mended + line[-1:]


def _mended(text: bytes) -> bytes | None:
    """Return a JSON-RPC error with its missing `id`, None for everything else."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or "error" not in body or "id" in body or "method" in body:
        return None
    return json.dumps({"jsonrpc": "2.0", **body, "id": None}).encode()


def _instead(response: httpx2.Response, body: bytes) -> httpx2.Response:
    headers = {name: value for name, value in response.headers.items() if name not in _FRAMING}
    if kind := response.headers.get("content-type"):
        headers["content-type"] = kind
    return httpx2.Response(response.status_code, content=body, headers=headers, request=response.request)
