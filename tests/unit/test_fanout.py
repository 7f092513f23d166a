"""What an engine tells a face while it reads the journal to it."""

from __future__ import annotations

from omni_tui.engine.clients import EventBuffer
from omni_tui.protocol import AnyEvent, SafeText
from omni_tui.protocol.events import AnswerDelta, ReplayDone, SessionTitled


def queued(outbox: EventBuffer) -> list[AnyEvent]:
    return list(outbox._queue)


def test_what_streams_during_a_replay_does_not_come_before_what_is_replayed() -> None:
    outbox = EventBuffer()
    outbox.begin_replay()
    delta = AnswerDelta(turn="t", message="m", text=SafeText("hello"), ts=1.0)
    outbox.offer(delta)
    outbox.replayed(SessionTitled(title=SafeText("x"), seq=1))
    outbox.end_replay(1)
    outbox.replayed(ReplayDone(request=1, head=1))
    outbox.offer(delta)
    assert [type(event) for event in queued(outbox)] == [SessionTitled, ReplayDone, AnswerDelta]
