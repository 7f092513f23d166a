"""What a live server writes is never lost without a word, whatever its form."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import CallError
from omni_tui.servers.log_buffer import ODD_LINES, ServerLogBuffer
from omni_tui.servers.transports.frames import read
from omni_tui.servers.transports.json_rpc import InvalidMessage, MalformedResponse, OpenRequests
from omni_tui.servers.transports.pipes import LineReader
from tests.engine.faults.harness import Harness, connected

PROGRAM = str(Path(__file__).parent / "faults" / "odd_answers.py")


@asynccontextmanager
async def odd(folder: Path, framing: str = "lines") -> AsyncIterator[Harness]:
    spec = ServerSpec(name="odd", command=sys.executable, args=("-I", "-S", PROGRAM, framing))
    async with connected(folder, spec) as servers:
        await servers.reach("odd", "idle")
        yield servers


@pytest.mark.parametrize("framing", ["lines", "mark", "headers", "bare", "batch", "words"])
async def test_every_framing_is_read(tmp_path: Path, framing: str) -> None:
    async with odd(tmp_path, framing) as servers:
        result = await servers.call("odd", "raw")
        assert result.content == [{"type": "text", "text": "as it should be"}]


@pytest.mark.parametrize(
    ("answer", "words", "answered"),
    [
        (
            '{"jsonrpc":"2.0","id":$ID,"result":"just words"}',
            'text in place of a result: "just words"',
            True,
        ),
        ('{"jsonrpc":"2.0","id":$ID,"result":null}', "null in place of a result", True),
        ('{"jsonrpc":"2.0","id":$ID,"result":[1]}', "a list in place of a result: [1]", True),
        ('{"jsonrpc":"2.0","id":$ID,"result":true}', "true or false in place of a result: true", True),
        ('{"jsonrpc":"2.0","id":$ID}', "neither a result nor an error", True),
        ('{"jsonrpc":"2.0","id":$ID,"error":"disk full"}', "disk full", True),
        ('{"jsonrpc":"2.0","id":$ID,"error":["disk","full"]}', '["disk","full"]', True),
        ('{"id":$ID,"error":{"code":"E_FULL","message":"disk full"}}', "disk full (error E_FULL)", True),
        ('{"id":$ID,"error":{"code":"-7","message":"disk full"}}', "disk full (error -7)", True),
        ('{"id":$ID,"error":{"code":-1,"message":null}}', "it refused and gave no reason (error -1)", True),
        ('{"id":$ID,"error":{"detail":"disk full"}}', "disk full", True),
        ('{"id":$ID,"result":null,"error":{"code":5,"message":"disk full"}}', "disk full (error 5)", True),
        ('{"id":$ID,"method":"tools/call","error":{"code":5,"message":"no"}}', "no (error 5)", True),
        (
            '{"id":$ID,"error":{"code":5,"message":"no","data":{"path":["limit"]}}}',
            'no: {"path":["limit"]} (error 5)',
            True,
        ),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"a":NaN}}', "could not be read: not JSON", False),
        ('{"jsonrpc":"2.0","id":$ID,"result":{\'a\':1}}', "could not be read: not JSON", False),
        ('{"result":{"content":[}, "id":$ID,"jsonrpc":"2.0"}', "could not be read: not JSON", False),
    ],
)
async def test_malformed_answer_fails_its_call_at_once_and_is_counted(
    tmp_path: Path, answer: str, words: str, answered: bool
) -> None:
    async with odd(tmp_path) as servers:
        with pytest.raises(CallError) as caught:
            await servers.call("odd", "raw", {"text": answer}, timeout=60)
        assert words in caught.value.what
        assert (caught.value.sent, caught.value.answered) == (True, answered)
        assert not caught.value.did_not_run
        assert (await servers.call("odd", "raw")).content, "the connection goes on"
        good = '"error":{"code":5' in answer  # an error of the right form, beside something else
        assert servers.registry.get("odd").describe().odd == (0 if good else 1)
        noted = any("on its standard output" in line for line in servers.registry.get("odd").log.lines())
        assert noted is not good


@pytest.mark.parametrize(
    "answer",
    [
        '{"id":$ID,"result":{"content":[]}}',
        '{"jsonrpc":"1.0","id":$ID,"result":{"content":[]}}',
        '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]},"error":null}',
        '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]},"error":{"code":0,"message":""}}',
        '{"jsonrpc":"2.0","id":$ID,"method":"tools/call","result":{"content":[]}}',
        '{"jsonrpc":"2.0","id":$ID.0,"result":{"content":[]}}',
        '{"jsonrpc":"2.0","id":"$ID","result":{"content":[]}}',
        '{"jsonrpc":"2.0","method":"notifications/x"}{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
        '\x00{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
    ],
)
async def test_answer_whose_meaning_is_clear_is_taken(tmp_path: Path, answer: str) -> None:
    async with odd(tmp_path) as servers:
        result = await servers.call("odd", "raw", {"text": answer}, timeout=60)
        assert result.content == []


async def test_strays_are_told_of_on_the_row_and_in_the_log(tmp_path: Path) -> None:
    strays = "\n".join((
        "Loading the model …",
        '{"level":"info","msg":"hello"}',
        '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what was that?"}}',
        '{"jsonrpc":"2.0","id":977,"result":"for nobody"}',
        '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
    ))  # fmt: skip
    async with odd(tmp_path) as servers:
        await servers.call("odd", "raw", {"text": strays})
        await servers.until(lambda: servers.last("odd").odd == 4)
        log = "\n".join(servers.registry.get("odd").log.lines())
        for words in ("Loading the model …", '"msg":"hello"', "what was that?", "for nobody"):
            assert words in log


OPEN = OpenRequests()
OPEN.asked(JSONRPCRequest(jsonrpc="2.0", id=3, method="tools/call"))


def messages(line: str) -> list[JSONRPCMessage | InvalidMessage]:
    return read(line.encode(), OPEN)


def test_list_of_messages_is_taken_apart_and_its_bad_entries_are_named() -> None:
    found = messages('[{"jsonrpc":"2.0","method":"a"}, 7, {"jsonrpc":"2.0","id":3,"result":{}}]')
    assert [type(each) for each in found] == [JSONRPCNotification, InvalidMessage, JSONRPCResponse]


def test_repeated_messages_in_debug_lines_are_no_messages() -> None:
    """Only an answer to an open request is looked for behind words."""
    assert [type(each) for each in messages('DEBUG <- {"jsonrpc":"2.0","id":9,"method":"ping"}')] == [
        InvalidMessage
    ]
    assert [type(each) for each in messages('DEBUG -> {"jsonrpc":"2.0","id":9,"result":{}}')] == [
        InvalidMessage
    ]


def test_broken_line_of_another_request_is_junk() -> None:
    (found,) = messages('{"jsonrpc":"2.0","id":4,"result":{"a":NaN}}')
    assert isinstance(found, InvalidMessage)
    (found,) = messages('{"jsonrpc":"2.0","method":"notifications/x","params":{"id":3,"a":NaN}}')
    assert isinstance(found, InvalidMessage)


def test_what_a_request_hears_of_an_odd_answer_is_bounded() -> None:
    (found,) = messages('{"jsonrpc":"2.0","id":3,"error":["' + "x" * 100_000 + '"]}')
    assert isinstance(found, MalformedResponse)
    assert len(found.error.message) < 5000


def test_empty_result_of_a_request_without_one_is_taken() -> None:
    requests = OpenRequests()
    requests.asked(JSONRPCRequest(jsonrpc="2.0", id=1, method="ping"))
    (found,) = read(b'{"jsonrpc":"2.0","id":1,"result":null}', requests)
    assert isinstance(found, JSONRPCResponse)


async def through_a_pipe(pieces: list[bytes], *, close: bool = True) -> tuple[list[Any], list[str]]:
    """Return the messages that a reader makes of bytes written piece by piece, and what it found odd."""
    odd: list[str] = []
    inlet, outlet = os.pipe()
    try:
        os.set_blocking(inlet, False)
        reader = LineReader(inlet, OpenRequests(), lambda line, why: odd.append(f"{why}: {line!r}"))
        for piece in pieces:
            outlet_room = os.write(outlet, piece)
            assert outlet_room == len(piece)
            await asyncio.sleep(0)
        if close:
            os.close(outlet)
            outlet = -1
        found = [item.message async for item in reader]
        reader.release()
    finally:
        os.close(inlet)
        if outlet >= 0:
            os.close(outlet)
    return found, odd


FRAMES = {
    "headers": b'Content-Length: 33\r\n\r\n{"jsonrpc":"2.0","method":"abcd"}'
    b'content-length:33\n\n{"jsonrpc":"2.0","method":"efgh"}\n',
    "headers and lines": b'Content-Length: 33\r\nX: y\r\n\r\n{"jsonrpc":"2.0","method":"abcd"}\n\n'
    b'{"jsonrpc":"2.0","method":"efgh"}\n',
    "marks": b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"abcd"}\r\n'
    b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"efgh"}',
    "a body with line feeds": b'Content-Length: 34\r\n\r\n{"jsonrpc":"2.0",\n"method":"abcd"}'
    b'Content-Length: 33\r\n\r\n{"jsonrpc":"2.0","method":"efgh"}',
}


@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES.keys())
async def test_framing_does_not_depend_on_how_the_bytes_arrive(data: bytes) -> None:
    cuts = [[data], [data[i : i + 1] for i in range(len(data))]]
    cuts += [[data[:cut], data[cut:]] for cut in range(1, len(data))]
    for pieces in cuts:
        found, odd = await through_a_pipe(pieces)
        assert [message.method for message in found] == ["abcd", "efgh"]
        assert odd == []


async def test_message_cut_off_by_the_end_is_told_of() -> None:
    found, odd = await through_a_pipe([b'{"jsonrpc":"2.0","id":1,"res'])
    assert found == []
    assert odd == ['cut off, or not a message: b\'{"jsonrpc":"2.0","id":1,"res\'']


def test_flood_of_strays_leaves_room_in_the_log() -> None:
    log = ServerLogBuffer()
    log.feed(b"the reason\n")
    for number in range(10_000):
        log.odd(b"junk %d" % number, "not a message")
    lines = log.lines()
    assert lines[0] == "the reason"
    assert len(lines) < ODD_LINES + 10
    assert any("10,000 lines so far" in line for line in lines)


def test_errors_keep_their_form_when_they_have_one() -> None:
    (found,) = messages('{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"m","data":[1]}}')
    assert type(found) is JSONRPCError
    assert found.error.data == [1]
