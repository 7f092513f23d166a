"""The small parts: lines, the log's ring, the backoff, the gate of starts, the trimming of listings."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from omni_tui.security.urls import is_loopback, shown_url
from omni_tui.servers.connection_failure import root_cause
from omni_tui.servers.list_page import MAX_TOOLS, ListPage, read_tool
from omni_tui.servers.log_buffer import MAX_BYTES, MAX_LINES, ServerLogBuffer
from omni_tui.servers.reconnect import ReconnectBreaker, StartLimiter
from omni_tui.servers.tap import canonical
from omni_tui.servers.transports.frames import MAX_CONTAINERS, encode, parse
from omni_tui.servers.transports.json_rpc import InvalidMessage

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON))
def test_a_line_says_exactly_what_was_meant(arguments: dict[str, Any]) -> None:
    exact = canonical(arguments)
    params = {"name": "t", "arguments": json.loads(exact)}
    line = encode(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params=params))
    assert exact in line
    assert line.count(b"\n") == 1
    assert canonical(json.loads(line)["params"]["arguments"]) == exact
    back = parse(line)
    assert isinstance(back, JSONRPCRequest)
    assert back.params is not None
    assert canonical(back.params["arguments"]) == exact


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', JSONRPCResponse),
        (b'{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"m"}}', JSONRPCError),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}', JSONRPCError),
        (b'{"jsonrpc":"2.0","method":"m"}', JSONRPCNotification),
        (b'{"jsonrpc":"2.0","method":"m","params":null,"id":2}', JSONRPCRequest),
        (
            b'{"jsonrpc":"2.0","id":1,"result":{"a":"\\ud83d half","b":"\\ud83d\\ude00","c":"\\\\ud83d"}}',
            JSONRPCResponse,
        ),
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff\xfe"}}', JSONRPCResponse),
    ],
)
def test_messages_are_read(line: bytes, kind: type[Any]) -> None:
    message = parse(line)
    assert isinstance(message, kind)
    if b"half" in line:
        assert message.result == {"a": "\ufffd half", "b": "\U0001f600", "c": "\\ud83d"}


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"{}",
        b'{"jsonrpc":"2.0","id":1,"result":[]}',
        b'{"jsonrpc":"2.0","id":{},"result":{}}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}',
        b'{"a":' * 100_000,
        b'{"a":[' + b"[]," * MAX_CONTAINERS + b"[]]}",
    ],
)
def test_junk_is_junk(line: bytes) -> None:
    with pytest.raises(InvalidMessage):
        parse(line)


def test_log_keeps_the_last_lines_and_counts_the_others() -> None:
    log = ServerLogBuffer()
    log.feed(b"one\ntw")
    log.feed(b"o\r\n\n\x1b[31mred")
    assert log.lines() == ["one", "two", ""]
    log.flush()
    assert log.exit_reason == "red"
    log.feed(b"".join(b"%d\n" % number for number in range(MAX_LINES * 3)))
    assert len(log) == MAX_LINES
    assert log.lines()[-1] == str(MAX_LINES * 3 - 1)
    assert log.dropped == MAX_LINES * 2 + 4
    log.feed((b"x" * 5000 + b"\n") * 1000)
    assert sum(map(len, log.lines())) <= MAX_BYTES
    assert max(map(len, log.lines())) <= 2000
    log.begin()
    assert log.exit_reason == ""


def test_backoff_doubles_with_jitter_and_starts_over_after_a_steady_time() -> None:
    now = 0.0
    breaker = ReconnectBreaker(restarts=False, clock=lambda: now)
    delays = [breaker.failed(lasting=False) or 0 for _ in range(12)]
    assert all(0.5 * min(60, 2**n) <= delay <= min(60, 2**n) for n, delay in enumerate(delays))
    breaker.succeeded()
    now = 1.0
    assert (breaker.failed(lasting=False) or 0) >= 30, "a connection of a second does not count"
    breaker.succeeded()
    now = 100.0
    assert (breaker.failed(lasting=False) or 99) <= 1


def test_program_is_restarted_three_times_in_five_minutes() -> None:
    now = 0.0
    breaker = ReconnectBreaker(restarts=True, clock=lambda: now)
    delays = [breaker.failed(lasting=False) for _ in range(5)]
    assert [delay is None for delay in delays] == [False, False, False, True, True]
    now = 301.0
    assert breaker.failed(lasting=False) is not None
    for _ in range(3):
        breaker.failed(lasting=False)
    breaker.reset()
    assert breaker.failed(lasting=False) is not None


async def test_start_that_hangs_gives_its_place_away() -> None:
    gate = StartLimiter(1, hold=0.05)
    order: list[str] = []
    hanging = asyncio.Event()

    async def start(name: str, work: asyncio.Event | None = None) -> None:
        async with gate.place() as give_back:
            order.append(name)
            if work is not None:
                await work.wait()
            give_back()
            give_back()

    stuck = asyncio.create_task(start("stuck", hanging))
    await asyncio.gather(*(start(str(number)) for number in range(3)))
    assert order == ["stuck", "0", "1", "2"]
    hanging.set()
    await stuck
    await asyncio.wait_for(start("last"), 60)


def test_root_cause_is_found_inside_groups() -> None:
    cause = OSError("cause")
    group = BaseExceptionGroup("a", [asyncio.CancelledError(), BaseExceptionGroup("b", [cause])])
    assert root_cause(group) is cause
    assert root_cause(cause) is cause


def test_a_page_is_bounded_entry_by_entry() -> None:
    good = {"name": "t", "inputSchema": {"type": "object"}}
    deep: Any = {}
    for _ in range(100):
        deep = {"a": deep}
    page = ListPage("tools")
    large = {**good, "inputSchema": {"a": [0] * 30_000}}
    page.take({"tools": [good, {**good, "inputSchema": deep}, large]})
    assert (page.entries, len(page.left_out), page.over) == ([good], 2, 0)
    page = ListPage("tools")
    stand_in = page.take({"tools": [good] * (MAX_TOOLS + 3), "nextCursor": ""})
    assert (len(page.entries), page.over, page.cursor) == (MAX_TOOLS, 3, "")
    assert stand_in["nextCursor"] == ""
    for odd in ({"tools": "none"}, {}, {"tools": [], "nextCursor": 7}):
        page = ListPage("tools")
        page.take(odd)
        assert page.invalid
        assert not page.entries


JSON_OBJECTS = st.dictionaries(st.sampled_from(["name", "inputSchema", "type", "title", "_meta"]), JSON)


@given(st.lists(JSON_OBJECTS | JSON, max_size=5))
def test_every_entry_is_read_or_left_out_with_a_reason(listed: list[Any]) -> None:
    page = ListPage("tools")
    page.take({"tools": [*listed, {"name": "good", "inputSchema": {}}]})
    found = page.read(lambda entry: read_tool("s", entry))
    assert found[-1].name == "good"
    assert len(found) + len(page.left_out) == len(listed) + 1
    assert all(each.reason for each in page.left_out)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@example.com:8443/mcp?token=secret#secret", "https://example.com:8443/mcp?…"),
        ("http://[::1]:80/a/b", "http://[::1]:80/a/b"),
        ("http://[secret@broken?secret", "broken"),
    ],
)
def test_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback(host: str, here: bool) -> None:
    assert is_loopback(host) is here
