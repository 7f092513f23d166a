"""Error responses over HTTP: an error without an id is legible, anything else stays as it came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from omni_tui.servers.transports.error_responses import read_refusal, response_words, with_id

REQUEST = httpx2.Request("POST", "http://127.0.0.1/mcp")
ERROR = {"code": -32050, "message": "Bad Request: No valid session ID provided"}


def _response(status: int, body: bytes, kind: str = "application/json") -> httpx2.Response:
    headers = {"content-type": kind, "x-more": "kept"}
    return httpx2.Response(status, content=body, headers=headers, request=REQUEST)


def test_error_without_an_id_gets_the_one_that_says_so() -> None:
    body = json.dumps({"jsonrpc": "2.0", "error": ERROR}).encode()
    mended = with_id(_response(400, body, "application/json; charset=utf-8"))
    assert mended.status_code == 400
    assert mended.json() == {"jsonrpc": "2.0", "error": ERROR, "id": None}
    assert mended.headers["x-more"] == "kept"
    assert int(mended.headers["content-length"]) == len(mended.content)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"jsonrpc": "2.0", "id": 7, "error": {}}', "application/json"),
        (400, b'{"jsonrpc": "2.0", "id": 7, "result": {}}', "application/json"),
        (400, b'{"message": "no"}', "application/json"),
        (400, b"[1]", "application/json"),
        (400, b"{half", "application/json"),
        (400, b"[" * 60_000, "application/json"),
        (400, b"\xff\xfe", "application/json"),
        (502, b'{"error": {}}', "text/html"),
        (400, b"", "application/json"),
    ],
)
def test_everything_else_stays_as_it_came(status: int, body: bytes, kind: str) -> None:
    response = _response(status, body, kind)
    assert with_id(response) is response
    assert response.content == body


class Endless(httpx2.AsyncByteStream):
    """A body that goes on for ever, or breaks."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.pieces = 0
        self.breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.pieces += 1
            yield b"x" * 1024
            if self.breaks:
                raise httpx2.ReadError("gone")


async def test_of_a_refusal_only_the_beginning_is_read() -> None:
    body = Endless()
    response = httpx2.Response(500, stream=body, headers={"content-type": "text/plain"}, request=REQUEST)
    read = await read_refusal(response)
    assert len(read.content) == 64 * 1024
    assert body.pieces < 80


async def test_a_refusal_that_breaks_off_is_one_without_words() -> None:
    stream = Endless(breaks=True)
    read = await read_refusal(httpx2.Response(503, stream=stream, request=REQUEST))
    assert (read.status_code, read.content) == (503, b"")
    assert response_words(read) == ""


JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no seat"}}', JSON, "no seat"),
        (b'{"error":"forbidden","error_description":"no plan"}', JSON, "no plan"),
        (b'{"error":"no_seat","error_description":"no plan"}', JSON, "no_seat: no plan"),
        (
            b'{"title":"Blocked","detail":"where you are"}',
            "application/problem+json",
            "where you are: Blocked",
        ),
        (b'{"errors":[{"detail":"no such team"}]}', "application/vnd.api+json", "no such team"),
        (b'{"message":"Invalid API key"}', "text/plain", "Invalid API key"),
        (b"Host not allowed\n", "text/plain", "Host not allowed"),
        (b"<html><head><title>403 Forbidden</title></head>", "text/html", ""),
        (b"<html><title>Attention! | Cloudflare</title>", "text/html", "Attention! | Cloudflare"),
        (b"<h1>Access &amp; <b>denied</b></h1>", "", "Access & denied"),
        (b"Forbidden", "text/plain", ""),
        (b"\x00\x01\x02", "application/octet-stream", ""),
        (b"[[[[[[[[1]]]]]]]]", JSON, ""),
        (b"", "", ""),
    ],
)
def test_the_words_of_a_refusal_are_found(body: bytes, kind: str, words: str) -> None:
    assert response_words(_response(403, body, kind)) == words


def test_the_words_of_a_refusal_are_bounded_and_one_line() -> None:
    words = response_words(_response(403, b"no \n\n way " * 1000, "text/plain"))
    assert words.startswith("no way no way")
    assert len(words) == 300


def test_the_header_speaks_where_the_body_does_not() -> None:
    headers = {"www-authenticate": 'Bearer error="invalid_token", error_description="it has expired"'}
    assert (
        response_words(httpx2.Response(401, headers=headers, content=b"", request=REQUEST))
        == "it has expired"
    )
