"""Error responses over HTTP: an error without an id is legible, anything else stays as it came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from omni_tui.servers.transports.errors import with_id

REQUEST = httpx2.Request("POST", "http://127.0.0.1/mcp")
ERROR = {"code": -32000, "message": "Bad Request: No valid session ID provided"}


def _response(status: int, body: bytes, kind: str = "application/json") -> httpx2.Response:
    headers = {"content-type": kind, "x-more": "kept"}
    return httpx2.Response(status, content=body, headers=headers, request=REQUEST)


async def test_error_without_an_id_gets_the_one_that_says_so() -> None:
    body = json.dumps({"jsonrpc": "2.0", "error": ERROR}).encode()
    mended = await with_id(_response(400, body, "application/json; charset=utf-8"))
    assert mended.status_code == 400
    assert mended.json() == {"jsonrpc": "2.0", "error": ERROR, "id": None}
    assert mended.headers["x-more"] == "kept"
    assert int(mended.headers["content-length"]) == len(mended.content)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"error": {}}', "application/json"),
        (400, b'{"jsonrpc": "2.0", "id": 7, "error": {}}', "application/json"),
        (400, b'{"jsonrpc": "2.0", "id": 7, "result": {}}', "application/json"),
        (400, b'{"message": "no"}', "application/json"),
        (400, b"[1]", "application/json"),
        (400, b"{half", "application/json"),
        (400, b"[" * 60_000, "application/json"),
        (400, b"\xff\xfe", "application/json"),
        (502, b'{"error": {}}', "text/html"),
        (400, b'{"error": "' + b"x" * 70_000 + b'"}', "application/json"),
        (400, b"", "application/json"),
    ],
)
async def test_everything_else_stays_as_it_came(status: int, body: bytes, kind: str) -> None:
    response = _response(status, body, kind)
    assert await with_id(response) is response
    assert await response.aread() == body


class Unsized(httpx2.AsyncByteStream):
    """A body that says nothing of its length, and notes whether it was read."""

    read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.read = True
        yield b"{}"


async def test_body_of_unknown_length_is_not_waited_for() -> None:
    body = Unsized()
    response = httpx2.Response(
        500, stream=body, headers={"content-type": "application/json"}, request=REQUEST
    )
    assert await with_id(response) is response
    assert not body.read
