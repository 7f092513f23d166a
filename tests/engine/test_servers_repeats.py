"""Servers that answer twice, repeat our secrets, stop, or say much: none of it gets through."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from omni_tui.config.spec import ServerSpec
from omni_tui.servers import CallError
from omni_tui.servers.transports.frames import MAX_LINE
from omni_tui.servers.transports.http_client import LONGEST, STEADY, StreamBackoff
from tests.engine.faults import repeats
from tests.engine.faults.harness import Harness, connected

TOKEN = "s3cr3t-v4lue-0f-mine"
PROGRAM = str(Path(repeats.__file__))


def program(*arguments: str, **more: Any) -> ServerSpec:
    args = ("-I", "-S", PROGRAM, *arguments)
    env = {"ITS_TOKEN": TOKEN}
    return ServerSpec(name="w", command=sys.executable, args=args, env=env, mode="legacy", **more)


Answer = Callable[[dict[str, Any]], tuple[str, bytes, dict[str, str]]]


class Seen:
    """What a server has got: `gets` counts the streams that were opened."""

    def __init__(self) -> None:
        self.url = ""
        self.gets = 0
        self.stream = b""
        self.farewell = gzip.compress(b"")
        self.opened = threading.Event()


@contextmanager
def web(answer: Answer, stream: bytes = b"") -> Iterator[Seen]:
    """Serve over streamable HTTP, with a session; `stream` is all that each stream of the server's says."""
    seen = Seen()
    seen.stream = stream

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            return None

        def do_GET(self) -> None:
            seen.gets += 1
            seen.opened.set()
            self.reply(200, "text/event-stream", seen.stream)

        def do_DELETE(self) -> None:
            self.reply(200, "text/plain", seen.farewell, content_encoding="gzip")

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if "id" not in message:
                self.reply(202, "text/plain", b"")
                return
            kind, body, headers = answer(message)
            self.reply(200, kind, body, **headers)

        def reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("mcp-session-id", "s1")
            self.send_header("content-length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    seen.url = f"http://127.0.0.1:{http.server_port}/mcp"
    try:
        yield seen
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def frames(message: dict[str, Any]) -> list[bytes]:
    return [json.dumps({"jsonrpc": "2.0", **each}).encode() for each in repeats.answers_to(message, TOKEN)]


def as_json(message: dict[str, Any]) -> tuple[str, bytes, dict[str, str]]:
    return "application/json", frames(message)[0], {}


def as_events(message: dict[str, Any]) -> tuple[str, bytes, dict[str, str]]:
    body = b"data: hello\n\n" + b"".join(b"data: " + frame + b"\n\n" for frame in frames(message))
    return "text/event-stream", body, {}


def behind(url: str, **more: Any) -> ServerSpec:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return ServerSpec(name="w", url=url, headers=headers, mode="legacy", **more)


@contextmanager
def reached(kind: str) -> Iterator[ServerSpec]:
    """Give the server in one way of reaching it."""
    if kind == "stdio":
        yield program()
    else:
        with web(as_json if kind == "json" else as_events) as seen:
            yield behind(seen.url)


WAYS = ["stdio", "json", "events"]


def log(servers: Harness) -> str:
    return "\n".join(servers.registry.get("w").log.lines())


# --- twice --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_the_first_of_two_answers_counts(tmp_path: Path, way: str) -> None:
    with reached(way) as spec:
        async with connected(tmp_path, spec) as servers:
            await servers.reach("w", "idle")
            for _ in range(3):
                result = await servers.call("w", "twice")
                assert [block["text"] for block in result.content] == ["first"]
            with pytest.raises(CallError, match="is wrong"):
                await servers.call("w", "refused_first")
            if way == "stdio":  # over HTTP the stream of an answer ends with the first
                await servers.call("w", "log")
                assert log(servers).count("was answered again; the first answer counts") == 4


async def test_an_answer_that_comes_again_later_answers_nothing_else(tmp_path: Path) -> None:
    async with connected(tmp_path, program()) as servers:
        await servers.reach("w", "idle")
        await servers.call("w", "log")
        for _ in range(2):
            assert (await servers.call("w", "late")).content[0]["text"] == "first"
        assert "was answered again" in log(servers)


# --- our secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_our_token_does_not_come_back(tmp_path: Path, way: str) -> None:
    with reached(way) as spec:
        async with connected(tmp_path, spec) as servers:
            await servers.reach("w", "idle")
            with pytest.raises(CallError) as caught:
                await servers.call("w", "refuse")
            assert "the token [redacted] is wrong" in caught.value.what
            assert TOKEN not in caught.value.what
            revealed = await servers.call("w", "reveal")
            assert revealed.content[0]["text"] == "it is [redacted]"
            assert revealed.structured == {"[redacted]": "[redacted]"}
            await servers.call("w", "log")
            assert TOKEN not in log(servers)
        assert TOKEN not in repr(servers.events)


async def test_what_is_no_secret_comes_as_it_was_sent(tmp_path: Path) -> None:
    async with connected(tmp_path, program()) as servers:
        told = await servers.reach("w", "idle")
        assert told.tools == len(repeats.NAMES)
        assert [tool.name for tool in servers.tools["w"]] == repeats.NAMES


# --- stopped ------------------------------------------------------------------------------------


async def test_a_stopped_program_is_not_green_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with connected(tmp_path, program(heartbeat=0.3)) as servers:
        await servers.reach("w", "idle")
        pid = servers.registry.get("w").pid
        assert pid is not None
        # It has answered a ping before, so that one which it does not answer means something.
        first = servers.last("w").latency_ms
        await servers.until(lambda: servers.last("w").latency_ms != first)
        os.kill(pid, signal.SIGSTOP)
        try:
            degraded = await servers.reach("w", "degraded")
            assert degraded.reason == "did not answer a heartbeat within 0.3 s"
            assert degraded.todo == "Omni TUI asks again. Reconnect it to restart it."
            misses = log(servers).count("missed a heartbeat")
            servers.registry.get("w").log.note("looking")
            await servers.until(lambda: log(servers).count("missed a heartbeat") >= misses + 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        await servers.until(lambda: servers.last("w").state == "idle")
        assert servers.registry.get("w").pid == pid  # it was not started anew
        assert servers.last("w").reason == ""
        assert servers.gone == []


async def test_a_program_that_never_answers_a_ping_is_asked_otherwise(tmp_path: Path) -> None:
    async with connected(tmp_path, program("silent", heartbeat=0.3)) as servers:
        first = await servers.reach("w", "idle")
        await servers.until(lambda: servers.last("w").latency_ms not in (first.latency_ms, 0.0))
        await servers.until(lambda: servers.states("w")[-2:] == ["degraded", "idle"])
        latency = servers.last("w").latency_ms
        await servers.until(lambda: servers.last("w").latency_ms != latency)
        assert servers.states("w") == ["connecting", "idle", "degraded", "idle"]


# --- much ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_that_unpacks_to_more_than_the_bound_fails_alone(tmp_path: Path, kind: str) -> None:
    def answer(message: dict[str, Any]) -> tuple[str, bytes, dict[str, str]]:
        if message["method"] != "tools/call" or message["params"]["name"] != "reveal":
            return as_json(message)
        body = {"jsonrpc": "2.0", "id": message["id"], "result": repeats.text("x" * (3 * MAX_LINE))}
        whole = json.dumps(body).encode()
        packed = gzip.compress(whole if kind == "application/json" else b"data: " + whole + b"\n\n")
        assert len(packed) < 100_000
        return kind, packed, {"content-encoding": "gzip"}

    with web(answer) as seen:
        async with connected(tmp_path, behind(seen.url)) as servers:
            await servers.reach("w", "idle")
            with pytest.raises(CallError) as caught:
                await servers.call("w", "reveal")
            assert "it is longer than 16 MiB" in caught.value.what
            assert caught.value.sent
            assert not caught.value.answered
            assert (await servers.call("w", "twice")).content[0]["text"] == "first"
            assert servers.last("w").state in ("idle", "active")


async def test_nobody_reads_what_comes_in_answer_to_a_farewell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    whole = httpx2.Response.aread

    async def aread(self: httpx2.Response) -> bytes:
        content = await whole(self)
        read.append(len(content))
        return content

    monkeypatch.setattr(httpx2.Response, "aread", aread)
    with web(as_json) as seen:
        seen.farewell = gzip.compress(b"x" * (4 * MAX_LINE))
        async with connected(tmp_path, behind(seen.url)) as servers:
            await servers.reach("w", "idle")
    assert max(read) < MAX_LINE


# --- streams that end at once -------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream", [b"", b": hello\n\n", b"id: 1\ndata:\n\n", b"retry: 0\n\n", b"retry: 0\ndata: \n\n"]
)
def test_fruitless_streams_get_rarer(stream: bytes) -> None:
    pauses = StreamBackoff()
    waited = []
    for _ in range(14):
        waited.append(pauses.seconds)
        pauses.watched(_Once(stream))
    assert waited[:5] == [0, 1, 2, 4, 8]
    assert waited[-1] == LONGEST
    assert sum(1 for at in range(len(waited)) if sum(waited[: at + 1]) < 55) <= 7


class _Once(httpx2.AsyncByteStream):
    """A stream of one piece."""

    def __init__(self, piece: bytes) -> None:
        self.piece = piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.piece


async def test_a_stream_of_use_sets_the_pause_back() -> None:
    now = [0.0]
    pauses = StreamBackoff(lambda: now[0])
    for _ in range(5):
        pauses.watched(_Once(b""))
    assert pauses.seconds > 1
    async for _ in pauses.watched(_Once(b'event: message\r\ndata: {"jsonrpc"')):
        pass
    assert pauses.seconds == 0
    for _ in range(5):
        pauses.watched(_Once(b""))
    steady = pauses.watched(_Once(b""))
    now[0] += STEADY
    await steady.aclose()
    assert pauses.seconds == 0


async def test_the_rest_of_an_answer_is_asked_for_soon() -> None:
    pauses = StreamBackoff(free=5, longest=2.0)
    waited = []
    for _ in range(20):
        waited.append(pauses.seconds)
        pauses.watched(_Once(b""))
    assert waited[:6] == [0.0] * 6
    assert max(waited) == 2.0


async def test_a_stream_that_ends_at_once_is_not_opened_all_the_time(tmp_path: Path) -> None:
    with web(as_json, stream=b"retry: 0\n\n") as seen:
        async with connected(tmp_path, behind(seen.url)) as servers:
            await servers.reach("w", "idle")
            for _ in range(30):
                await servers.call("w", "twice")
            assert seen.opened.wait(10)
        assert seen.gets <= 3  # without a pause between them there were hundreds


async def test_an_answer_that_goes_on_in_another_stream_is_fetched_there(tmp_path: Path) -> None:
    def answer(message: dict[str, Any]) -> tuple[str, bytes, dict[str, str]]:
        if message["method"] != "tools/call":
            return as_json(message)
        seen.stream = b"id: 2\ndata: " + frames(message)[0] + b"\n\n"
        return "text/event-stream", b"id: 1\nretry: 10\ndata:\n\n", {}

    with web(answer) as seen:
        async with connected(tmp_path, behind(seen.url)) as servers:
            await servers.reach("w", "idle")
            assert (await servers.call("w", "twice")).content[0]["text"] == "first"


async def test_an_answer_that_breaks_off_is_no_error_of_the_servers(tmp_path: Path) -> None:
    def answer(message: dict[str, Any]) -> tuple[str, bytes, dict[str, str]]:
        if message["method"] != "tools/call":
            return as_json(message)
        return "text/event-stream", b"data: hello\n\n", {}

    with web(answer) as seen:
        async with connected(tmp_path, behind(seen.url)) as servers:
            await servers.reach("w", "idle")
            with pytest.raises(CallError) as caught:
                await servers.call("w", "twice")
            assert caught.value.what == "the connection was cut; the call may or may not have run"
            assert not caught.value.answered


# --- errors of their own ------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_the_commonest_code_of_errors_means_no_lost_connection(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [sys.argv[0], "tools/list"])  # for the one in our own process
    with reached(way) as spec:
        if way == "stdio":
            spec = program("tools/list")
        async with connected(tmp_path, spec) as servers:
            told = await servers.reach("w", "degraded", "failed")
            assert told.state == "degraded"
            assert told.reason == "refuses to list its tools: the database is down (error -32000)"


async def test_a_ping_that_is_refused_is_a_sign_of_life(tmp_path: Path) -> None:
    async with connected(tmp_path, program("ping", heartbeat=0.2)) as servers:
        first = await servers.reach("w", "idle")
        for _ in range(3):
            await servers.until(lambda first=first: servers.last("w").latency_ms != first.latency_ms)  # type: ignore[misc]
            first = servers.last("w")
        assert servers.states("w") == ["connecting", "idle"]


async def test_a_program_of_another_protocol_version_is_not_started_again(tmp_path: Path) -> None:
    async with connected(tmp_path, program("future")) as servers:
        failed = await servers.reach("w", "failed")
        assert failed.reason.startswith("speaks the protocol in version 2031-01-01 only; Omni TUI speaks ")
        assert failed.next_try is None
