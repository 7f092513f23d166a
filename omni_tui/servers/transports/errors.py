"""Error responses over HTTP as servers really write them, made legible for the SDK."""

from __future__ import annotations

import json
from http import HTTPStatus

import httpx2

_LONGEST = 64 * 1024
"""Longest body that is looked at, in bytes; the words of a refusal are short."""
_FRAMING = ("content-length", "content-encoding", "transfer-encoding", "content-type")


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
    try:
        body = json.loads(await response.aread())
    except (ValueError, RecursionError):
        return response
    if not isinstance(body, dict) or "error" not in body or "id" in body:
        return response
    return httpx2.Response(
        response.status_code,
        json={"jsonrpc": "2.0", **body, "id": None},
        headers={name: value for name, value in response.headers.items() if name not in _FRAMING},
        request=response.request,
    )
