"""The debug view's recorder: nothing while nobody looks, no contents, bounded."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, JSONRPCResponse

from omni_tui.observability import debug_recorder
from omni_tui.observability.debug_recorder import LOOKS_S, DebugRecorder, FrameFacts
from omni_tui.protocol import SafeText
from omni_tui.protocol.commands import SendMessage
from omni_tui.protocol.context import ContextChanged
from omni_tui.protocol.conversation import ModelRequestFailed
from omni_tui.protocol.debug import DebugEntry, ReadDebug
from omni_tui.protocol.events import CommandFailed
from omni_tui.servers.frame_meter import FrameMeter
from tests.unit.test_trace_fold import MODEL, asked, said

SECRET = "the treasure lies under the old oak"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(clock: Clock) -> DebugRecorder:
    return DebugRecorder(clock, lambda: 7.0)


def entries(recorder: DebugRecorder, after: int = 0) -> list[DebugEntry]:
    return list(recorder.after(after, 10_000)[0])


def test_it_is_on_from_a_look_until_some_time_after(recorder: DebugRecorder, clock: Clock) -> None:
    states = [recorder.on]
    recorder.look()
    states.append(recorder.on)
    recorder.event_sent(said(1.0))
    clock.now += LOOKS_S - 1
    recorder.look()
    clock.now += LOOKS_S - 1
    states.append(recorder.on)
    clock.now += 2
    states.append(recorder.on)
    assert states == [False, True, True, False]
    assert entries(recorder) == [], "what nobody reads is not kept"


def test_commands_events_and_requests_are_told_without_contents(recorder: DebugRecorder) -> None:
    recorder.look()
    recorder.command_done(SendMessage(text=SECRET), 1.5, failed=True)
    recorder.command_done(ReadDebug(), 1.0, failed=False)
    recorder.event_sent(CommandFailed(what=SafeText(SECRET)))
    recorder.event_sent(ContextChanged(turn="t", model=MODEL, parts=(), total=1_200, offered=3))
    recorder.event_sent(asked(1.0, 3.0))
    recorder.event_sent(
        ModelRequestFailed(
            turn="t", model=MODEL, began=1.0, elapsed_ms=9.0, kind="transient", reason=SafeText(SECRET)
        )
    )
    found = entries(recorder)
    assert [(each.kind, each.what, each.failed) for each in found] == [
        ("command", "send_message", True),
        ("event", "command_failed", True),
        ("event", "context_changed", False),
        ("model", "request", False),
        ("event", "usage_changed", False),
        ("model", "answer", False),
        ("event", "model_request_failed", False),
        ("model", "failed", True),
    ]
    assert SECRET not in str(found)
    assert (found[0].ms, found[0].sent, found[1].sent) == (1.5, False, True)
    assert found[0].size > len(SECRET)
    assert found[5].ms == 2_000.0
    assert found[3].detail == "about 1,200 tokens, 3 tools"


def test_it_is_bounded_and_says_what_is_gone(
    recorder: DebugRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.look()
    for _ in range(debug_recorder.MOST + 30):
        recorder.event_sent(said(1.0))
    found, dropped = recorder.after(10, 5)
    assert (len(found), found[0].number, dropped) == (5, 31, 20)
    assert recorder.after(0, 5)[1] == 0, "a first reading misses nothing"
    assert recorder.after(debug_recorder.MOST + 30, 5) == ((), 0)


def message(body: Any) -> SessionMessage:
    return SessionMessage(body)


def test_messages_of_servers_have_method_size_and_time(recorder: DebugRecorder) -> None:
    meter = FrameMeter()
    asks = message(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params={"name": SECRET}))
    answers = message(JSONRPCResponse(jsonrpc="2.0", id=1, result={"content": SECRET}))
    states = [meter.on]
    recorder.look()
    meter.watch(recorder)
    meter.watch(recorder)
    assert [*states, meter.on] == [False, True]
    meter.note("files", asks, sent=True, size=0)
    meter.note("files", answers, sent=False, size=77)
    meter.note("files", ValueError("\x1b[31m" + SECRET), sent=False, size=0)
    meter.note("files", None, sent=False, size=0)  # type: ignore[arg-type]
    first, second, broken = entries(recorder)
    assert (first.what, first.sent, first.where, first.ms) == ("tools/call", True, "files", None)
    assert first.size > len(SECRET)
    assert (second.what, second.size, second.exact) == ("answer tools/call", 77, True)
    assert second.ms is not None
    assert second.ms >= 0
    assert broken.failed
    assert SECRET not in str(entries(recorder))


def test_a_meter_forgets_who_does_not_look_any_more(recorder: DebugRecorder, clock: Clock) -> None:
    meter = FrameMeter()
    recorder.look()
    meter.watch(recorder)
    clock.now += LOOKS_S + 1
    assert not meter.on
    assert meter._watchers == []


def test_a_hostile_method_is_made_safe(recorder: DebugRecorder) -> None:
    recorder.look()
    recorder.frame_passed(FrameFacts("x\u202e", False, "note", "a\x1b]0;b\x07" * 50, 1, True, None))
    (entry,) = entries(recorder)
    assert "\x1b" not in entry.what
    assert "\u202e" not in entry.where
    assert len(entry.what) <= 90
