"""Error responses over HTTP: an error without an id is legible, anything else stays as it came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from omni_tui.servers.transports.errors import with_id, with_ids

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


async def _streamed(*chunks: bytes) -> bytes:
    async def given() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return b"".join([chunk async for chunk in with_ids(given())])


_BARE = b'data: {"jsonrpc":"2.0","error":{"code":-32000,"message":"no"}}'
_WHOLE = b'data: {"jsonrpc": "2.0", "error": {"code": -32000, "message": "no"}, "id": null}'


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"])
async def test_error_in_an_event_gets_its_id_however_it_is_cut(ending: bytes) -> None:
    stream = b"event: message" + ending + _BARE + ending + ending
    expected = stream.replace(_BARE, _WHOLE)
    for size in (1, 7, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert await _streamed(*pieces) == expected


@pytest.mark.parametrize(
    "stream",
    [
        b": ping\n\n",
        b'data: {"jsonrpc":"2.0","id":1,"error":{}}\n\n',
        b'data: {"jsonrpc":"2.0","method":"x","params":{"error":1}}\n\n',
        b'data: {"jsonrpc":"2.0","id":1,"result":{"text":"\\"error\\""}}\n\n',
        b'data: {half "error"\n\n',
        b'data: "error"\n\n',
        b'data: {"error": 1, "x": "' + b"y" * 200_000 + b'"}\n\n',
        b"no end",
        b"",
    ],
)
async def test_other_events_stay_as_they_came(stream: bytes) -> None:
    for size in (1000, 70_000, len(stream) or 1):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert await _streamed(*pieces) == stream


async def test_what_is_complete_is_not_held_back() -> None:
    async def given() -> AsyncIterator[bytes]:
        yield b"data: 1\n\ndata: "
        raise AssertionError("more was asked for than needed")

    assert await anext(with_ids(given())) == b"data: 1\n\n"
