"""The bodies of answers over HTTP: only messages go on, bounded, and every request gets its answer."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from omni_tui.servers.transports.frames import MAX_LINE
from omni_tui.servers.transports.response_bodies import checked_response

ANSWER = {"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "text": "é\u2028\U0001f600"}]}}
NOTE = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
CALL = httpx2.Request(
    "POST", "http://127.0.0.1/mcp", json={"jsonrpc": "2.0", "id": 7, "method": "tools/call"}
)
NOTIFY = httpx2.Request("POST", "http://127.0.0.1/mcp", json={"jsonrpc": "2.0", "method": "x"})
LISTEN = httpx2.Request("GET", "http://127.0.0.1/mcp")


class Pieces(httpx2.AsyncByteStream):
    """A body in given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece


def text(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def event(body: object, *, end: bytes = b"\n") -> bytes:
    data = body if isinstance(body, bytes) else text(body)
    return b"event: message" + end + b"data: " + data + end + end


async def read(stream: Pieces, kind: str, **headers: str) -> tuple[bytes, list[str]]:
    odd: list[str] = []
    response = httpx2.Response(200, stream=stream, headers={"content-type": kind, **headers}, request=CALL)
    response = checked_response(CALL, response, odd.append)
    return await response.aread(), odd


async def answer(body: bytes, kind: str = "application/json", **headers: str) -> Any:
    """Return the one message that comes of a body."""
    found, _ = await read(Pieces(body), kind, **headers)
    if "event-stream" in kind:
        found = found.partition(b"data: ")[2]
    return json.loads(found)


async def events(*pieces: bytes, request: httpx2.Request = CALL) -> tuple[list[Any], list[str]]:
    """Return the messages of an event stream, as the SDK's own parser reads them."""
    odd: list[str] = []
    response = httpx2.Response(
        200, stream=Pieces(*pieces), headers={"content-type": "text/event-stream"}, request=request
    )
    source = httpx2.EventSource(checked_response(request, response, odd.append), max_event_size=None)
    return [json.loads(one.data) async for one in source if one.event == "message" and one.data], odd


@pytest.mark.parametrize(
    "body",
    [
        ANSWER,
        {**ANSWER, "id": "7"},
        {**ANSWER, "id": 8},
        {**ANSWER, "id": None},
        {key: value for key, value in ANSWER.items() if key != "id"},
        {key: value for key, value in ANSWER.items() if key != "jsonrpc"},
        {**ANSWER, "jsonrpc": "1.0"},
        {**ANSWER, "error": None},
        [ANSWER],
        [NOTE, ANSWER],
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
async def test_a_clear_answer_gets_to_its_request(body: object, kind: str) -> None:
    said = await answer(text(body), kind)
    assert said["result"] == ANSWER["result"]
    assert str(said["id"]) == "7"
    assert said["jsonrpc"] == "2.0"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"jsonrpc": "2.0", "id": 7, "result": "all done"}, "all done"),
        ({"jsonrpc": "2.0", "id": 7, "result": None}, "null"),
        ({"jsonrpc": "2.0", "id": 7, "error": "disk full"}, "disk full"),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": "E_FULL", "message": "disk full"}}, "disk full"),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": 5, "message": None}}, "gave no reason"),
        ({"jsonrpc": "2.0", "error": {"code": -1, "message": "nameless"}}, "nameless"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_malformed_answer_becomes_an_error_at_once(
    body: object, words: str, streamed: bool
) -> None:
    said = await answer(
        event(body) if streamed else text(body), "text/event-stream" if streamed else "application/json"
    )
    assert said["id"] == 7
    assert words in said["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"{half", b"nonsense", b"\xff\xfe\x00", b"[]", text(NOTE), b"[" * 100_000, b'"text"'],
)
async def test_what_is_no_answer_is_said_in_words(body: bytes) -> None:
    said = await answer(body)
    assert said["id"] == 7
    assert said["error"]["message"].startswith("its answer could not be read: ")
    assert "validation" not in said["error"]["message"]


async def test_a_page_is_told_from_an_answer() -> None:
    said = await answer(b"<html>welcome</html>", "text/html; charset=utf-8")
    assert said["error"]["message"] == "no MCP server answers there, but something with text/html"


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("packed", ["", "gzip", "deflate", "gzip, gzip"])
async def test_an_answer_has_a_bound_however_it_is_packed(kind: str, packed: str) -> None:
    big = text(
        {"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "text": "x" * MAX_LINE}]}}
    )
    body = big if kind == "application/json" else b"data: " + big + b"\n\n"
    headers = {"content-encoding": packed} if packed else {}
    for way in packed.split(", ") if packed else []:
        body = gzip.compress(body) if way == "gzip" else zlib.compress(body)
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    stream = Pieces(*pieces)
    found, odd = await read(stream, kind, **headers)
    assert b"it is longer than 16 MiB" in found
    assert len(found) < 1000
    assert odd


async def test_a_long_answer_within_the_bound_is_whole() -> None:
    part = {"type": "text", "text": "y" * (MAX_LINE - 200)}
    big = {"jsonrpc": "2.0", "id": 7, "result": {"content": [part]}}
    written = text(big)
    assert (await answer(gzip.compress(written), **{"content-encoding": "gzip"})) == big
    pieces = [written[at : at + 99_999] for at in range(0, len(written), 99_999)]
    found, _ = await events(b"data: ", *pieces, b"\n\n")
    assert found == [big]


async def test_many_short_events_may_be_longer_than_one() -> None:
    notes = [event({**NOTE, "params": {"message": "z" * 100_000}})] * 200
    found, odd = await events(*notes, event(ANSWER))
    assert found[-1] == ANSWER
    assert len(found) == 201
    assert not odd


async def test_depth_is_bounded_too() -> None:
    deep = b'{"jsonrpc":"2.0","id":7,"result":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    assert "could not be read" in (await answer(deep))["error"]["message"]


# --- event streams ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "junk", [b"hello", b"[DONE]", b'"ping"', b"{}", b"12", b'{"type":"ping"}', b"null", b"{half"]
)
async def test_an_event_that_is_no_message_does_not_cost_the_answer(junk: bytes) -> None:
    found, odd = await events(event(junk), event(NOTE), event(ANSWER))
    assert found == [NOTE, ANSWER]
    assert len(odd) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
async def test_a_stream_reads_the_same_however_it_is_cut(end: bytes) -> None:
    bare = {"jsonrpc": "2.0", "error": {"code": -32050, "message": "no"}}
    stream = b"\xef\xbb\xbf: hi" + end + end + b"id: 4" + end + b"data:" + end + end
    stream += event(b"junk", end=end) + event(NOTE, end=end) + event(bare, end=end)
    whole, odd = await events(stream)
    assert whole == [NOTE, {**bare, "id": 7}]
    for size in (1, 2, 3, 7, 50):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert (await events(*pieces)) == (whole, odd)
    for at in range(1, len(stream)):
        assert (await events(stream[:at], stream[at:]))[0] == whole


async def test_ids_and_retries_of_events_go_on_without_their_junk() -> None:
    stream = b"id: 1\nretry: 5\ndata: junk\n\nid: 2\ndata:\n\nevent: other\ndata: {}\n\n"
    found, odd = await read(Pieces(stream), "text/event-stream")
    response = httpx2.Response(
        200, content=found, headers={"content-type": "text/event-stream"}, request=CALL
    )
    told = [(one.id, one.retry, one.event, one.data) async for one in httpx2.EventSource(response)]
    assert told == [("1", 5, "message", ""), ("2", None, "message", ""), ("2", None, "other", "{}")]
    assert len(odd) == 1


async def test_data_in_several_lines_is_one_message() -> None:
    lines = json.dumps(ANSWER, indent=2, ensure_ascii=False).encode().split(b"\n")
    found, _ = await events(b"".join(b"data: " + line + b"\n" for line in lines) + b"\n")
    assert found == [ANSWER]


async def test_the_last_event_counts_without_its_empty_line() -> None:
    found, _ = await events(event(ANSWER).rstrip(b"\n"))
    assert found == [ANSWER]


async def test_what_is_complete_is_not_held_back() -> None:
    stream = Pieces(event(NOTE), event(ANSWER))
    response = httpx2.Response(
        200, stream=stream, headers={"content-type": "text/event-stream"}, request=CALL
    )
    assert isinstance(checked_response(CALL, response, print).stream, httpx2.AsyncByteStream)
    stream_of = checked_response(CALL, response, print).stream
    assert isinstance(stream_of, httpx2.AsyncByteStream)
    first = await anext(aiter(stream_of))
    assert b"notifications/progress" in first
    assert stream.taken == 1


async def test_the_servers_own_stream_leaves_out_what_is_no_message() -> None:
    stray = {"jsonrpc": "2.0", "id": 99, "result": "odd"}
    found, odd = await events(
        event(b"junk"), event(stray), event(NOTE), event({**ANSWER, "id": 3}), request=LISTEN
    )
    assert found == [NOTE, {**ANSWER, "id": 3}]
    assert len(odd) == 2


# --- what is left alone -------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "status"), [(NOTIFY, 200), (CALL, 202), (CALL, 307), (CALL, 204)])
async def test_what_carries_no_answer_stays_as_it_came(request_: httpx2.Request, status: int) -> None:
    response = httpx2.Response(status, content=b"anything", request=request_)
    assert checked_response(request_, response, print) is response


async def test_bytes_between_us_and_the_server_stay_whole() -> None:
    awkward = {"big": 10**40, "small": 1e-300, "text": "\u200d\u202e\x00\ud7ff", "null": None, "list": [[]]}
    body = {**ANSWER, "result": awkward}
    assert await answer(json.dumps(body).encode()) == body
    assert (await events(event(json.dumps(body).encode())))[0] == [body]


@pytest.mark.parametrize("code", [-32000, -32001, -32700])
async def test_an_error_of_the_server_is_not_taken_for_one_of_the_sdk(code: int) -> None:
    said = await answer(text({"jsonrpc": "2.0", "id": 7, "error": {"code": code, "message": "no disk"}}))
    assert said["error"] == {"code": 0, "message": f"no disk (error {code})"}
