"""The wire log: bounded, redacted, harmless to show, and no burden on the connection it looks at."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

import pytest
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from omni_tui.security.redaction import MASK, Redactor
from omni_tui.security.text import safe
from omni_tui.servers import wire_frames, wire_log
from omni_tui.servers.tap import Tap
from omni_tui.servers.wire_log import WireLog, frame_json, frame_text, wire_frame

SECRET = "s3cr3t-value-of-this-person"


def redact(value: Any) -> Any:
    return Redactor([SECRET]).redact_value(value)


def request(number: int = 1, method: str = "tools/call", **params: Any) -> SessionMessage:
    return SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=number, method=method, params=params))


def answer(number: int = 1, **result: Any) -> SessionMessage:
    return SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=number, result=result))


def log(*, on: bool = True) -> WireLog:
    made = WireLog()
    made.switch(on)
    return made


def test_request_answer_error_and_notification_are_told_apart() -> None:
    frames = log()
    frames.note(request(1, name="echo"), sent=True)
    frames.note(answer(1, content=[]), sent=False, size=77)
    frames.note(request(1, "roots/list"), sent=False)
    frames.note(
        SessionMessage(JSONRPCError(jsonrpc="2.0", id=1, error=ErrorData(code=-1, message="no"))), sent=True
    )
    frames.note(SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/x")), sent=False)
    frames.note(ValueError("odd bytes"), sent=False)
    rows = [wire_frame(each, redact) for each in frames.after(0)]
    assert [(r.sent, r.kind, r.method, r.id) for r in rows] == [
        (True, "request", "tools/call", "1"),
        (False, "answer", "tools/call", "1"),
        (False, "request", "roots/list", "1"),
        (True, "error", "roots/list", "1"),
        (False, "note", "notifications/x", ""),
        (False, "broken", "ValueError", ""),
    ]
    assert rows[1].size == 77
    assert rows[1].after_ms is not None
    assert json.loads(frame_json(frames.after(0)[0], redact)) == {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "params",
    [{}, {"a": 'é\n"\\', "b": [1, 2.5, None, True, False], "c": {"d": []}}, {"deep": [[[[{"x": "y"}]]]]}],
)
def test_the_size_of_a_whole_frame_is_exact(params: dict[str, Any]) -> None:
    frames = log()
    noted = frames.note(request(7, **params), sent=True)
    line = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    assert noted.exact
    assert noted.size == len(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "result",
    [
        {"text": "x" * 14_000_000},
        {"rows": [{"n": n, "name": "some name"} for n in range(300_000)]},
        {"k" * 14_000_000: 1},
        {"value": 10**40_000},
        {"rows": [[]] * 3_000_000},
    ],
)
def test_a_huge_frame_is_cut_in_no_time_and_its_size_is_named(result: dict[str, Any]) -> None:
    frames = log()
    item = answer(1, **result)
    started = time.process_time()
    noted = frames.note(item, sent=False, size=14_000_123)
    assert time.process_time() - started < 0.25
    assert noted.cut
    assert (noted.size, noted.exact) == (14_000_123, True)
    assert not frames.note(item, sent=False).exact
    text, cut = frame_text(noted, redact)
    assert cut
    assert len(text) <= 2 * wire_frames.MAX_FRAME
    assert frames._kept < 200_000
    assert item.message.result is result or item.message.result == result  # type: ignore[union-attr]


def test_deep_nesting_is_cut() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    frames = log()
    assert frames.note(answer(1, deep=deep), sent=False).cut
    assert "nested deeper" in frame_text(frames.after(0)[0], redact)[0]


def test_escape_codes_are_shown_and_not_sent_to_the_terminal() -> None:
    frames = log()
    bad = "\x1b[2J\x1b]0;owned\x07 right\u202eleft \u200b\x9b"
    frames.note(request(1, bad, **{bad: bad}), sent=False)
    frames.note(ValueError(bad), sent=False)
    frames.note(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=bad, method="ping")), sent=False)
    for noted in frames.after(0):
        shown = wire_frame(noted, redact)
        for text in (shown.text, shown.method, shown.id, frame_text(noted, redact)[0]):
            assert safe(text) == text
            assert "\x1b" not in text


def test_secrets_are_taken_out_wherever_they_stand() -> None:
    frames = log()
    frames.note(
        request(
            1,
            arguments={"password": "correct horse", "api_key": 12345678, "note": f"it is {SECRET}"},
            header="Authorization: Bearer abcdef0123456789",
            inner=json.dumps({"access_token": "abcdefgh1234"}),
        ),
        sent=True,
    )
    text = frame_text(frames.after(0)[0], redact)[0] + wire_frame(frames.after(0)[0], redact).text
    for secret in (SECRET, "correct horse", "12345678", "abcdef0123456789", "abcdefgh1234"):
        assert secret not in text
    assert MASK in text


def test_a_secret_across_the_cut_is_taken_out_whole() -> None:
    for before in range(wire_frames.MAX_FRAME - 120, wire_frames.MAX_FRAME + 20, 7):
        frames = log()
        frames.note(answer(1, text="x" * before + SECRET + "y" * 100_000), sent=False)
        assert SECRET[:8] not in frame_json(frames.after(0)[0], redact)
        assert SECRET[:8] not in frame_text(frames.after(0)[0], redact)[0]


def test_ten_thousand_frames_a_second_stay_within_bounds() -> None:
    frames = log()
    items = [answer(n, content=[{"type": "text", "text": "some text of a frame"}]) for n in range(10_000)]
    started = time.process_time()
    for item in items:
        frames.note(item, sent=False)
    assert time.process_time() - started < 5
    assert len(frames) == wire_log.MAX_FRAMES
    assert frames.dropped == 8000
    assert [each.number for each in frames.after(9_998)] == [9_999, 10_000]
    assert frames.get(8000) is None
    found = frames.get(8001)
    assert found is not None
    assert found.number == 8001
    assert len(frames._open) == 0
    for item in (request(n) for n in range(3000)):
        frames.note(item, sent=True)
    assert len(frames._open) <= 512


def test_bytes_are_bounded_too() -> None:
    frames = log()
    for _ in range(400):
        frames.note(answer(1, text="x" * 100_000), sent=False)
    assert frames._kept <= wire_log.MAX_KEPT
    assert frames.dropped + len(frames) == 400
    assert len(frames) < 150


def test_switching_off_forgets() -> None:
    told: list[bool] = []
    frames = WireLog(lambda: told.append(frames.on))
    frames.switch(True)
    frames.note(request(), sent=True)
    frames.switch(True)
    frames.switch(False)
    assert (len(frames), frames.dropped, told) == (0, 0, [True, False])
    frames.switch(True)
    frames.note(request(), sent=True)
    assert frames.after(0)[0].number == 2


class Pipe:
    """A stream that gives and takes messages."""

    def __init__(self, *items: SessionMessage) -> None:
        self.items = deque(items)
        self.sent: list[SessionMessage] = []
        self.last_size = 0

    async def send(self, item: SessionMessage) -> None:
        self.sent.append(item)

    async def receive(self) -> SessionMessage:
        return self.items.popleft()


async def test_the_tap_notes_only_when_on_and_passes_the_very_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = [answer(n, text="x") for n in range(4)]
    pipe, frames = Pipe(*items), WireLog()
    reader, writer = Tap("s", lambda _: True, wire=frames).guard(pipe, pipe)  # type: ignore[arg-type]
    ping = request(9, "ping")
    assert await reader.receive() is items[0]
    await writer.send(ping)
    assert len(frames) == 0
    frames.switch(True)
    assert await reader.receive() is items[1]
    await writer.send(ping)
    assert pipe.sent == [ping, ping]
    assert [each.sent for each in frames.after(0)] == [False, True]

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake in the log")

    monkeypatch.setattr(frames, "note", broken)
    assert await reader.receive() is items[2]
    await writer.send(ping)
    assert len(pipe.sent) == 3


async def test_a_frame_that_the_transport_did_not_take_is_marked() -> None:
    import anyio

    class Closed(Pipe):
        async def send(self, item: SessionMessage) -> None:
            raise anyio.ClosedResourceError

    frames = log()
    _, writer = Tap("s", lambda _: True, wire=frames).guard(Closed(), Closed())  # type: ignore[arg-type]
    with pytest.raises(anyio.ClosedResourceError):
        await writer.send(request(9, "ping"))
    assert frames.after(0)[0].lost
